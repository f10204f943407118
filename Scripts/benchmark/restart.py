"""What a restart costs with `state=`: the time until the next server answers, and what it still has in memory."""

import argparse
import contextlib
import fcntl
import os
import random
import signal
import statistics
import time
from dataclasses import replace
from pathlib import Path

import machine
import report
from cells import cells
from fio import client, fio, requests, seeded
from many import PAGE
from nbd import Connection
from running import Running
from servers import BESIDE, FLEXPAGE, Setting
from session import make_image, say
from words import absolute, add_output, positive

# Bytes of memory= for tables and the like, beside each byte of pages.
TABLES = 1 / 12
# Where the state file has the number of servers in a row that have died young (CStateFormat.h).
SHORT_LIVES = 104
# How the memory is filled before the server is killed, and whether a restart leaves it as it was.
FILLS = {
    "clean, read in order": (("--rw=read", "--bs=256k", "--iodepth=4"), True),
    "clean, read at random, 4 KiB each": (("--rw=randread", "--bs=4k", "--iodepth=16"), True),
    # By a client that stays connected: one that leaves has its writes brought to the image.
    "written at random, 4 KiB each": (None, False),
}
# Half of what may be dirty is dirty when the server is killed. The rest has been written out.
KEYS = ("dirty=90%", "dirty-age=3600", "flush-time=off", "readahead=off")


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.image = make_image(options.work, options.size)
        self.state = options.state / f"flexpage-bench-{os.getpid()}"
        # The last server, which may be dead.
        self.running: Running | None = None

    def close(self) -> None:
        if self.running:
            kill(self.running)
        self.state.unlink(missing_ok=True)

    def setting(self, memory: int, *keys: str) -> Setting:
        return Setting(self.image, self.options.work / "socket", self.options.plugin, memory + BESIDE, "random", keys)

    def with_state(self, setting: Setting) -> Setting:
        return replace(setting, extra=(*setting.extra, f"state={self.state}"))

    def start(self, setting: Setting) -> tuple[Running, float]:
        """A new server, and the seconds until it has answered its first request."""
        if self.state.exists():
            # They have lived for seconds only, because they were killed here.
            with self.state.open("r+b") as file:
                file.seek(SHORT_LIVES)
                file.write(bytes(4))
        running = Running(FLEXPAGE, setting, None, self.options.work / "server.log")
        begin = time.monotonic()
        self.running = running.__enter__()
        try:
            connection = Connection(str(setting.socket))
            connection.read(0, PAGE)
        except OSError as error:
            raise running.failed(error) from error
        took = time.monotonic() - begin
        connection.close()
        if " is dropped" in running.log.read_text():
            raise running.failed(OSError("the cache was not taken over"))
        return running, took

    def forget(self) -> None:
        """The next server takes nothing over.

        A server that was killed while it wrote has the image locked until the kernel has written. One that takes over
        waits for that, and one that does not know of it refuses its clients. So it is waited for here.
        """
        self.state.unlink(missing_ok=True)
        with self.image.open("rb") as image:
            fcntl.lockf(image, fcntl.LOCK_SH)

    def measure_times(self) -> dict[str, dict]:
        size = self.options.size << 20
        setting = self.setting(int(size * (1 + TABLES)), *KEYS)
        found: dict[str, dict] = {}
        for _turn in range(self.options.turns):
            self.fresh(found, "without state=", setting)
            self.fresh(found, "new state file", self.with_state(setting))
        for name, fill in FILLS.items():
            self.take_over(found, name, self.with_state(setting), *fill)
        return found

    def fresh(self, found: dict, name: str, setting: Setting) -> None:
        self.forget()
        running, took = self.start(setting)
        cpu = running.usage()["cpu_seconds"]
        kill(running)
        note(found, name, took, cpu, 0)

    def take_over(self, found: dict, name: str, setting: Setting, load: tuple[str, ...] | None, stays: bool) -> None:
        self.forget()
        running, _ = self.start(setting)
        for turn in range(self.options.turns):
            # Without a client, what is owed is written out.
            with held(setting) as connection:
                if load is None:
                    connection.write_all(shuffled(connection.size, seed=1 + turn), bytes([1 + turn]) * PAGE)
                elif turn == 0 or not stays:
                    fio(*client("fill", running.uri), *load, *seeded(1 + turn))
                kill(running)
            running, took = self.start(setting)
            note(found, name, took, running.usage()["cpu_seconds"], owed(running))
        kill(running)

    def measure_hits(self) -> dict[str, list[dict]]:
        """Cold and warm in turn, with the same requests: for a hot set that fits."""
        hot = self.options.size << 18
        setting = self.setting(int(hot * (1 + 2 * TABLES)), "readahead=off")
        found: dict[str, list[dict]] = {"cold": [], "warm": []}
        for _turn in range(self.options.turns):
            self.forget()
            running, _ = self.start(self.with_state(setting))
            self.read(running, hot)
            kill(running)
            warm, _ = self.start(self.with_state(setting))
            found["warm"].append(self.hits(warm, hot))
            self.forget()
            cold, _ = self.start(setting)
            found["cold"].append(self.hits(cold, hot))
        return found

    def hits(self, running: Running, hot: int) -> dict:
        before = running.usage()["bytes_read"]
        job = self.read(running, hot, "--norandommap", "--time_based", f"--runtime={self.options.seconds}")
        missed = (running.usage()["bytes_read"] - before) // PAGE
        kill(running)
        result = {"hit_rate": 1 - missed / requests(job), "per_second": requests(job) / self.options.seconds}
        say(f"  hit rate {result['hit_rate']:.3f}  {result['per_second']:.0f} requests a second")
        return result

    def read(self, running: Running, hot: int, *more: str) -> dict:
        return fio(*client("load", running.uri), "--rw=randread", "--bs=4k", "--iodepth=16", f"--size={hot}", *more,
                   *seeded(1))[0]


class held:
    """A client that stays connected while the context lasts. The server may be gone by its end."""

    def __init__(self, setting: Setting):
        self.connection = Connection(str(setting.socket))

    def __enter__(self) -> Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.socket.close()


def shuffled(size: int, seed: int) -> list[int]:
    """The offsets of all pages, in a random order."""
    offsets = list(range(0, size, PAGE))
    random.Random(seed).shuffle(offsets)
    return offsets


def kill(running: Running) -> None:
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    running.setting.socket.unlink(missing_ok=True)


def owed(running: Running) -> int:
    """Pages that the last server owed to the image."""
    words = running.log.read_text().split(" pages that the last server owed")[0].split()
    return int(words[-1]) if words and words[-1].isdecimal() else 0


def note(found: dict, name: str, seconds: float, cpu_seconds: float, owed_pages: int) -> None:
    say(f"  {name:36}{seconds * 1000:7.0f} ms  {cpu_seconds * 1000:5.0f} ms of processor time  owed {owed_pages}")
    found.setdefault(name, {"seconds": [], "cpu_seconds": [], "owed": []})
    found[name]["seconds"].append(seconds)
    found[name]["cpu_seconds"].append(cpu_seconds)
    found[name]["owed"].append(owed_pages)


def markdown(document: dict) -> str:
    about = document["about"]
    times = [
        (name, f"**{statistics.median(run['seconds']) * 1000:.0f} ms** "
               f"({min(run['seconds']) * 1000:.0f}–{max(run['seconds']) * 1000:.0f})",
         f"{statistics.median(run['cpu_seconds']) * 1000:.0f} ms",
         f"{statistics.median(run['owed']) * PAGE / 2**20:.0f} MiB") for name, run in document["times"].items()]
    hits = [
        (name, f"**{statistics.median(run['hit_rate'] for run in runs) * 100:.1f} %** "
               f"({min(run['hit_rate'] for run in runs) * 100:.1f}–{max(run['hit_rate'] for run in runs) * 100:.1f})",
         f"{statistics.median(run['per_second'] for run in runs) / 1000:.1f} k/s") for name, runs in document["hits"].items()]
    where = about["machine"]
    size = about["size_mib"]
    return "\n".join([
        *cells(f"what is in the memory, {size} MiB of pages", "from its start to the first answer", "processor time of that",
               "of it not on the image", rows=times),
        *cells(f"the first {about['seconds']} s", "hit rate", "requests", rows=hits),
        f"Medians of {about['turns']} runs (minimum to maximum). The server is killed with SIGKILL, and the next one is started "
        f"at once, with `state=` on {about['filesystem']}. Hit rates: 4 KiB random reads, uniform, depth 16, of {size // 4} MiB that "
        f"fit in the memory. Cold is a server without `state=`, warm one that takes over from a server that has read them once. "
        f"{where['processor']}, {where['kernel']}, {where['nbdkit']}, {where['fio']}; "
        f"load average at the start {about['load']}, nice {about['nice']}; {about['date']}.",
    ]) + "\n"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench restart", description=__doc__)
    add = parser.add_argument
    add("--size", type=positive, default=1024, metavar="MIB", help="the image, all of it in memory (1024)")
    add("--turns", type=positive, default=5, metavar="N", help="restarts of each kind (5)")
    add("--seconds", type=positive, default=10, metavar="S", help="seconds for which hits are counted (10)")
    add("--state", type=absolute, default=Path("/dev/shm"), metavar="DIR", help="a directory on a tmpfs (/dev/shm)")
    add_output(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    with machine.reserved(options.work), contextlib.closing(Bench(options)) as bench:
        about = machine.about(options.work) | {
            "size_mib": options.size, "turns": options.turns, "seconds": options.seconds,
            "filesystem": machine.last_line("df", "--output=fstype", str(options.state)),
        }
        document = {"about": about, "times": bench.measure_times(), "hits": bench.measure_hits()}
    report.write_document("restart", document, markdown(document), options)
    return 0
