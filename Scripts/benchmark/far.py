"""A source that is far away: nbdkit's file plugin, each request of which takes 20 ms (its delay filter), behind this
package's filter and behind what nbdkit has for it."""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import machine
import report
from cells import cells
from fio import client, fio, seeded, speed
from running import Running
from servers import BESIDE, Server, Setting, nbdkit
from session import make_image, say
from words import add_output, choice, positive

# Milliseconds that each request to the source takes.
DELAY = 20


def far(setting: Setting, filters: tuple[str, ...], *keys: str) -> list[str]:
    return nbdkit(
        setting, *(f"--filter={name}" for name in filters), "--filter=delay", "file", str(setting.image),
        f"rdelay={DELAY}ms", *keys)


CACHE = ("cache-on-read=true", "cache-max-size={}")


def cache(setting: Setting) -> list[str]:
    return [key.format(setting.memory) for key in CACHE]


SERVERS = [
    Server("filter", "Flexpage", "", lambda s: far(s, (str(s.plugin),), f"memory={s.memory}")),
    Server("bare", "nothing", "", lambda s: far(s, ())),
    Server("readahead", "readahead", "", lambda s: far(s, ("readahead",))),
    Server("cache", "cache", "", lambda s: far(s, ("cache",), *cache(s))),
    Server("both", "readahead + cache", "", lambda s: far(s, ("readahead", "cache"), *cache(s))),
]


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    # MiB of the image.
    image: int
    unit: str
    load: tuple[str, ...]


ROWS = [
    Row("seq-1", "256 KiB in sequence, depth 1", 512, "MiB/s", ("--rw=read", "--bs=256k", "--iodepth=1")),
    Row("seq-8", "256 KiB in sequence, depth 8", 512, "MiB/s", ("--rw=read", "--bs=256k", "--iodepth=8")),
    Row("zipf", "4 KiB, Zipf 1.1, depth 16, warm", 1024, "IOPS",
        ("--rw=randread", "--bs=4k", "--iodepth=16", "--random_distribution=zipf:1.1", "--norandommap")),
    Row("scan", "hits that a hot set keeps beside a scan", 512, "kept", ()),
]


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options

    def run(self, row: Row, server: Server, seed: int) -> float:
        machine.drop_caches()
        image = make_image(self.options.work, row.image)
        setting = Setting(
            image, self.options.work / "socket", self.options.plugin, (self.options.memory << 20) + BESIDE, "random")
        with Running(server, setting, None, self.options.work / "server.log") as running:
            if row.unit == "kept":
                return self.kept(running, image, seed)
            times = ("--time_based", f"--runtime={self.options.seconds}", f"--ramp_time={self.options.warm_up}")
            if row.unit == "MiB/s":
                # A second pass would find what the first has left.
                times = (f"--runtime={self.options.seconds}",)
            return speed(fio(*client("load", running.uri), *row.load, *times, *seeded(seed))[0], row.unit)

    def kept(self, running: Running, image: Path, seed: int) -> float:
        """The share of a hot set's reads that do not wait for the source, beside a scan of three times the memory."""
        memory = self.options.memory << 20
        hot = memory // 4
        reader = (*client("hot", running.uri), "--rw=randread", "--bs=4k", "--norandommap", f"--size={hot}")
        fill = (*client("fill", running.uri), "--rw=read", "--bs=256k", f"--size={hot}", "--loops=2")
        fio(*fill)
        fio(*reader, "--iodepth=16", f"--io_size={6 * hot}", *seeded(seed))
        scanner = (*client("scan", running.uri), "--rw=read", "--bs=256k", "--iodepth=4", f"--offset={hot}",
                   f"--size={min(3 * memory, image.stat().st_size - hot)}", "--rate=48m", "--exitall")
        jobs = fio(*reader, "--iodepth=4", "--time_based", "--runtime=60", "--rate_iops=2000", *seeded(seed + 1), *scanner)
        return quick(next(job for job in jobs if job["jobname"] == "hot"))

    def measure(self) -> dict[str, dict[str, list[float]]]:
        found: dict[str, dict[str, list[float]]] = {}
        wanted = [row for row in ROWS if self.options.only is None or row.key in self.options.only]
        for row in wanted:
            found[row.key] = {server.key: [] for server in SERVERS}
            for turn in range(self.options.turns):
                for server in SERVERS:
                    value = self.run(row, server, 1 + turn)
                    found[row.key][server.key].append(value)
                    say(f"  {row.title:42}{server.title:20}{amount(value, row.unit):>14}")
        return found


def quick(job: dict) -> float:
    """The share of a job's requests that took at most 10 ms."""
    total = sum(job["latency_ns"].values()) + sum(job["latency_us"].values())
    return (total + sum(share for limit, share in job["latency_ms"].items() if limit in ("2", "4", "10"))) / 100


def amount(value: float, unit: str) -> str:
    if unit == "kept":
        return f"{value * 100:.1f} %"
    return f"{value:.0f} {'/s' if unit == 'IOPS' else unit}"


def markdown(document: dict) -> str:
    about, runs = document["about"], document["runs"]
    rows = []
    for row in ROWS:
        if row.key in runs:
            values = [statistics.median(runs[row.key][server.key]) for server in SERVERS]
            rows.append((row.title, f"**{amount(values[0], row.unit)}**", *(amount(value, row.unit) for value in values[1:])))
    where = about["machine"]
    scan = (
        " The hot set is a quarter of the memory and is read 2000 times a second at depth 4, while the scan reads three "
        "times the memory at 48 MiB/s; a hit took at most 10 ms." if "scan" in runs else "")
    return "\n".join([
        *cells(f"each request to the source takes {DELAY} ms", *(server.title for server in SERVERS), rows=rows),
        f"Medians of {about['turns']} runs of {about['seconds']} s; the Zipf row after {about['warm_up']} s of the same load. "
        f"nbdkit's file plugin behind its delay filter; `memory={about['memory']}M`, or `cache-max-size=` the same with "
        f"`cache-on-read=true`.{scan} {where['processor']}, {where['kernel']}, {where['nbdkit']}; load average at the start "
        f"{about['load']}, nice {about['nice']}; {about['date']}.",
    ]) + "\n"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench far", description=__doc__)
    add = parser.add_argument
    add("--turns", type=positive, default=3, metavar="N", help="runs of each server in each row (3)")
    add("--seconds", type=positive, default=10, metavar="S", help="seconds of a run (10)")
    add("--warm-up", type=positive, default=20, metavar="S", help="seconds before the Zipf row (20)")
    add("--memory", type=positive, default=64, metavar="MIB", help="memory of each server (64)")
    add("--only", type=choice([row.key for row in ROWS]), metavar="ROW,…", help="some of the rows")
    add_output(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    with machine.reserved(options.work):
        about = machine.about(options.work) | {
            "turns": options.turns, "seconds": options.seconds, "warm_up": options.warm_up, "memory": options.memory,
        }
        document = {"about": about, "runs": Bench(options).measure()}
    report.write_document("far", document, markdown(document), options)
    return 0
