"""Several images in one memory: what each keeps beside a greedy ninth one, and beside one whose disk hangs."""

import argparse
import datetime
import json
import os
import random
import statistics
from pathlib import Path

import hanging
import machine
import report
from fio import client, fio, requests, seeded
from many import BESIDE, KINDS, PAGE, Servers
from session import say
from words import add_output, choice, positive

EIGHT = 8
# Requests per second of each of the eight, and how many times as many the ninth sends.
RATE, TIMES = 200, 20
NINTH = {
    "scan": ("a scan of 128 MiB/s", lambda memory, size: (
        "--rw=read", "--bs=256k", "--iodepth=4", f"--rate={128 << 20}", f"--size={size}")),
    "zipf": (f"Zipf 0.9 over twice the memory, at {TIMES} times the rate of each", lambda memory, size: (
        "--rw=randread", "--bs=4k", "--iodepth=8", "--norandommap", "--random_distribution=zipf:0.9",
        f"--size={2 * memory}", f"--rate_iops={RATE * TIMES}")),
}


def make_images(work: Path, memory: int) -> list[Path]:
    """Incompressible images: eight small ones, and a large ninth one. They are kept for later sessions."""
    directory = work / f"images-{memory >> 20}M"
    directory.mkdir(exist_ok=True)
    sizes = [16 << 20] * EIGHT + [8 * memory]
    images = []
    for number, size in enumerate(sizes):
        path = directory / f"image{number}"
        if not path.exists() or path.stat().st_size != size:
            source = random.Random(number)
            with path.open("wb") as file:
                for _ in range(size >> 20):
                    file.write(source.randbytes(1 << 20))
        images.append(path)
    return images


def shares(kind: str, ninth: str, options: argparse.Namespace, seed: int) -> dict:
    """One run: the hit rate that the eight have alone, and beside the ninth."""
    machine.drop_caches()
    memory = (options.limit << 20) - BESIDE
    images = make_images(options.work, memory)
    # Nine active images share half of the memory equally. Tables take some of it.
    hot = memory * 9 // 10 // 18 // PAGE * PAGE
    with Servers(KINDS[kind], images, options.plugin, options.limit << 20, options.work) as servers:
        jobs = [(*client(f"image{number}", servers.uri(number)), "--rw=randread", "--bs=4k", f"--size={hot}")
                for number in range(EIGHT)]

        def together(*more: str, beside: tuple[str, ...] = ()) -> list[dict]:
            return fio(*(word for job in jobs for word in (*job, *more)), *beside, *seeded(seed))

        # fio reads each page once in a loop. (With repetitions it would begin each loop with the same seed.)
        together("--iodepth=4", "--loops=3")
        alone = hit_rate(servers, lambda: together("--iodepth=1", "--loops=2"))
        own = NINTH[ninth][1](memory, images[EIGHT].stat().st_size)
        times = ("--time_based", f"--runtime={options.seconds}")
        other = (*client("ninth", servers.uri(EIGHT)), *own, *times)
        beside = hit_rate(servers, lambda: together("--iodepth=1", f"--rate_iops={RATE}", *times, beside=other))
    return {"kept": beside["hit_rate"] / max(alone["hit_rate"], 0.001), "alone": alone, "beside": beside}


def hit_rate(servers: Servers, load) -> dict:
    before = [servers.misses(number) for number in range(EIGHT)]
    jobs = {job["jobname"]: job for job in load()}
    missed = [servers.misses(number) - before[number] for number in range(EIGHT)]
    reads = sum(requests(jobs[f"image{number}"]) for number in range(EIGHT))
    result = {"hit_rate": max(0.0, 1 - sum(missed) / reads), "requests": reads, "misses": missed}
    if "ninth" in jobs:
        result["ninth_mib_per_second"] = jobs["ninth"]["read"]["bw_bytes"] / 2**20
    return result


def measure_shares(options: argparse.Namespace) -> dict:
    found: dict = {}
    for ninth in NINTH:
        for _pair in range(options.pairs):
            for kind in KINDS:
                run = shares(kind, ninth, options, seed=1 + _pair)
                found.setdefault(ninth, {}).setdefault(kind, []).append(run)
                say(f"  {ninth:5}{kind:10}alone {run['alone']['hit_rate']:.3f}  kept {run['kept']:.3f}  "
                    f"ninth {run['beside']['ninth_mib_per_second']:.1f} MiB/s  misses {run['beside']['misses']}")
    return found


def shares_table(found: dict) -> list[str]:
    lines = ["| the ninth | " + " | ".join(kind.title for kind in KINDS.values()) + " |", "|---|" + "---|" * len(KINDS)]
    for ninth, runs in found.items():
        cells = []
        for kind in KINDS:
            kept = sorted(run["kept"] * 100 for run in runs[kind])
            cells.append(f"**{statistics.median(kept):.1f} %** ({kept[0]:.1f}–{kept[-1]:.1f})")
        lines.append(f"| {NINTH[ninth][0]} | " + " | ".join(cells) + " |")
    return lines


def hanging_table(found: dict) -> list[str]:
    lines = ["| work of the seven | with the hanging disk, of without it | requests a second without it |", "|---|---|---|"]
    for load, run in found.items():
        ratios = sorted(run["ratios"])
        quarter = len(ratios) // 4
        lines.append(f"| {hanging.LOADS[load][0]} | **{statistics.median(ratios) * 100:.0f} %** "
                     f"({ratios[quarter] * 100:.0f}–{ratios[-1 - quarter] * 100:.0f}) | "
                     f"{statistics.median(run['without']) / 1000:.1f} k |")
    return lines


def section(document: dict) -> str:
    """The results as Markdown."""
    about = document["about"]
    lines = []
    if document.get("shares"):
        lines += [*shares_table(document["shares"]), ""]
    if document.get("hanging"):
        lines += [*hanging_table(document["hanging"]), ""]
    where = about["machine"]
    lines += [
        f"Measured on {about['date']}: {where['processor']}, {where['kernel']}, {where['nbdkit']}, {where['qemu-nbd']}, "
        f"{where['fio']}; load average at the start {about['load']}.",
        "",
    ]
    if document.get("shares"):
        lines += shares_notes(about, count(document["shares"]))
    if document.get("hanging"):
        lines += hanging_notes(about)
    return "\n".join(lines) + "\n"


def count(found: dict) -> int:
    return min(len(runs) for kinds in found.values() for runs in kinds.values())


def shares_notes(about: dict, runs: int) -> list[str]:
    return [
        f"Beside a greedy ninth: the share of their hit rate that eight images keep, in a memory group of "
        f"{about['limit_mib']} MiB, page cache included; {runs} run{'s' if runs > 1 else ''}, median (minimum to maximum). Each of "
        f"the eight has a hot set that fits its default share, and {RATE} random 4 KiB reads a second. Misses of the other "
        "servers are the bytes that they read from the disk, so what the kernel reads ahead in vain counts against them.",
        "",
        *(f"- {kind.title}: {kind.options}" for kind in KINDS.values()),
        "",
    ]


def hanging_notes(about: dict) -> list[str]:
    return [
        "Beside a disk that hangs: what seven images answer while the disk of an eighth hangs under writers and readers, in "
        f"percent of what they answer while the eighth has nothing to do. {about['turns']} pairs of consecutive stretches of "
        f"{hanging.SECONDS} s on one server with `memory=128M`; medians of the ratios (the middle half). The seven images of "
        "256 MiB lie in a tmpfs, so that no other disk is measured.",
        "",
    ]


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench images", description=__doc__)
    add = parser.add_argument
    add("--only", type=choice(["shares", "hanging"]), metavar="WHAT,…", default=["shares", "hanging"], help="shares, hanging")
    add("--pairs", type=positive, default=3, metavar="N", help="runs of each server beside each ninth (3)")
    add("--seconds", type=positive, default=20, metavar="S", help="seconds of a run beside the ninth (20)")
    add("--turns", type=positive, default=20, metavar="N", help="pairs of stretches with and without a disk that hangs (20)")
    add("--limit", type=positive, default=192, metavar="MIB", help="the memory of all servers of a run together (192)")
    add_output(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    if why_not := hanging.why_not():
        raise OSError(why_not)
    path = report.directory(options) / "images.json"
    with machine.reserved(options.work):
        document = json.loads(path.read_text()) if options.keep and path.exists() else {}
        document["about"] = {
            "date": datetime.date.today().isoformat(), "machine": machine.description(options.work),
            "load": f"{os.getloadavg()[0]:.1f}", "limit_mib": options.limit, "turns": options.turns,
        }
        if "shares" in options.only:
            document["shares"] = measure_shares(options)
        if "hanging" in options.only:
            document["hanging"] = {load: hanging.measure(load, options.plugin, options.work, options.turns)
                                   for load in hanging.LOADS}
    report.write_document("images", document, section(document), options)
    return 0
