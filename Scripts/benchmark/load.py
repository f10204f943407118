"""One run: a new server with cold caches in a new memory group, and fio as its client."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import machine
from fio import client, fio, latencies, requests, seeded, speed
from memory_group import MemoryGroup
from nbd import Flusher
from rows import Row
from running import Running
from scan import run_scan
from servers import Server, Setting


@dataclass(frozen=True)
class Length:
    """Seconds of a run that count, and seconds before them that do not: in general, and for rows that fill caches first."""

    seconds: int
    warm_up: int
    fill: int

    def options(self, row: Row) -> tuple[str, ...]:
        """The options for fio. The warm-up is part of the same job, because another job would have another hot set."""
        before = self.fill if row.fills_cache else self.warm_up
        return ("--time_based", f"--runtime={self.seconds}", f"--ramp_time={before}")


def run(row: Row, server: Server, setting: Setting, has_groups: bool, length: Length, seed: int) -> dict:
    """Runs a row on a server. Returns its `value` in the row's unit, and more about the run."""
    machine.drop_caches()
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(MemoryGroup(setting.limit)) if has_groups and server.is_grouped else None
        running = stack.enter_context(Running(server, setting, group, setting.socket.with_name("server.log")))
        if row.unit == "kept":
            outcome = run_scan(running, setting.image.stat().st_size, seed)
        else:
            outcome = run_load(row, running, length, seed)
        outcome["server_peak_bytes"] = running.peak_memory()
        return outcome | (group.usage() if group else {})


def run_load(row: Row, running: Running, length: Length, seed: int) -> dict:
    job = client("load", running.uri)
    if row.is_cached:
        fio(*job, "--rw=read", "--bs=256k", "--iodepth=4", "--loops=2")
    if row.before and not running.server.is_fresh:
        fio(*job, *row.before, *seeded(seed + 1000))
    with flushing(row, running) as outcome:
        before = running.usage()
        result, *others = fio(*job, *load_options(row, running, length, seed))
        after = running.usage()
    outcome |= {"value": speed(result, row.unit), "requests": requests(result)} | latencies(result)
    for other in others:
        outcome |= {f"beside_{key}": figure for key, figure in latencies(other).items()}
        outcome["beside_value"] = speed(other, row.unit)
    # These include the warm-up.
    return outcome | {f"server_{key}": after[key] - before[key] for key in after}


def load_options(row: Row, running: Running, length: Length, seed: int) -> tuple[str, ...]:
    """The options of fio for the row's own client, and for the parallel client, if there is one."""
    times = () if row.is_one_pass else length.options(row)
    own = (*row.fio, *times, *seeded(seed))
    if not row.beside:
        return own
    return (*own, *client("beside", running.uri), *row.beside, *times, *seeded(seed + 1))


@contextlib.contextmanager
def flushing(row: Row, running: Running) -> Iterator[dict]:
    """Flushes in parallel to the load, if the row says so. The yielded results are complete at the end."""
    outcome: dict = {}
    if row.flushes_each_second:
        with Flusher(str(running.setting.socket)) as flusher:
            yield outcome
        outcome["flush_seconds"] = [round(seconds, 4) for seconds in flusher.times]
        outcome["multi_conn"] = flusher.covers_other_connections
    else:
        yield outcome


class Raw:
    """The same load without a server: O_DIRECT reads of the image, at the depth that is best for the disk."""

    depths = (1, 2, 4, 8, 16, 32)

    def __init__(self) -> None:
        self.best: int | None = None

    def run(self, row: Row, image: Path) -> dict:
        if self.best is None:
            self.best = max(self.depths, key=lambda depth: self.at(depth, row, image)["value"])
        return self.at(self.best, row, image)

    @staticmethod
    def at(depth: int, row: Row, image: Path) -> dict:
        machine.drop_caches()
        load = [option for option in row.fio if not option.startswith("--iodepth=")]
        job = fio("--name=raw", "--ioengine=libaio", "--direct=1", f"--filename={image}", f"--iodepth={depth}", *load)[0]
        return {"value": speed(job, row.unit), "requests": requests(job), "depth": depth} | latencies(job)
