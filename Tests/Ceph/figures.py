"""What the filter does before Ceph, beside librbd's own cache with the same memory. Nothing depends on it."""

import contextlib
import os
import platform
import statistics
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Iterator

from chain import Filter, QemuNbd, await_export
from cluster import POOL, Cluster
from programs import Trouble, run

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts/benchmark"))
import fio  # noqa: E402
import machine  # noqa: E402

IMAGE = "figures"
# MiB of the image, and of each cache.
SIZE = 1024
MEMORY = 64
TURNS = 3

# Options that make qemu-nbd, from which several clients may read, use librbd's cache.
CACHE = ("rbd_cache=true", f"rbd_cache_size={MEMORY << 20}")


@dataclass(frozen=True)
class Server:
    title: str
    cache: str
    keys: tuple[str, ...] = ()
    is_filtered: bool = False


SERVERS = [
    Server("Flexpage", "none", is_filtered=True),
    Server("librbd's cache, rbd_cache_policy=writeback", "writeback", (*CACHE, "rbd_cache_policy=writeback")),
    Server("librbd's cache as it comes (writearound)", "writeback", CACHE),
    Server("no cache", "none"),
]


@dataclass(frozen=True)
class Row:
    title: str
    unit: str
    load: tuple[str, ...]


ROWS = [
    Row("4 KiB random reads, Zipf 1.1, depth 16", "IOPS",
        ("--rw=randread", "--bs=4k", "--iodepth=16", "--random_distribution=zipf:1.1", "--norandommap", "--time_based",
         "--ramp_time=10", "--runtime=8")),
    Row("256 KiB reads in sequence, depth 1", "MiB/s", ("--rw=read", "--bs=256k", "--iodepth=1", "--runtime=10")),
    Row("256 KiB reads in sequence, depth 4", "MiB/s", ("--rw=read", "--bs=256k", "--iodepth=4", "--runtime=10")),
]


@contextlib.contextmanager
def serving(server: Server, cluster: Cluster, filter: Path) -> Iterator[Path]:
    """The socket of a server that has just been started."""
    with QemuNbd(cluster, IMAGE, server.cache, server.keys, "-r", "--shared=4") as below:
        if not server.is_filtered:
            await_export(below.socket)
            yield below.socket
            return
        with Filter(filter, below, f"memory={MEMORY}M") as above:
            yield above.socket


def make_image(cluster: Cluster) -> None:
    """An image of incompressible data."""
    path = cluster.directory / "data"
    with path.open("wb") as file:
        for _ in range(SIZE):
            file.write(os.urandom(1 << 20))
    cluster.rbd("import", "--no-progress", str(path), f"{POOL}/{IMAGE}", seconds=900)
    path.unlink()


def speed(row: Row, server: Server, cluster: Cluster, filter: Path, seed: int) -> float:
    machine.drop_caches()
    with serving(server, cluster, filter) as socket:
        try:
            job, = fio.fio(*fio.client("load", f"nbd+unix:///?socket={socket}"), *row.load, *fio.seeded(seed))
        except OSError as error:
            raise Trouble(str(error)) from None
    return fio.speed(job, row.unit)


def measure(cluster: Cluster, filter: Path) -> None:
    """Prints for each load the filter's speed, and its ratio to that of each other server: median, minimum, maximum."""
    make_image(cluster)
    # fio leaves files in its working directory.
    os.chdir(cluster.directory)
    print(f"figures: {date.today()}, {os.cpu_count()} × {machine.processor()}, Linux {platform.release()}, "
          f"{machine.first_line('nbdkit', '--version')}, Ceph {cluster.version()}; an image of {SIZE} MiB, each cache "
          f"has {MEMORY} MiB; medians of {TURNS} turns (minimum to maximum); load average {os.getloadavg()[0]:.1f}")
    for row in ROWS:
        found = [
            [speed(row, server, cluster, filter, turn) for server in SERVERS] for turn in range(1, 1 + TURNS)
        ]
        unit = "/s" if row.unit == "IOPS" else row.unit
        print(f"figures: {row.title}: Flexpage {statistics.median(turn[0] for turn in found):.0f} {unit}")
        for number, server in enumerate(SERVERS[1:], 1):
            ratios = sorted(turn[0] / turn[number] for turn in found)
            print(f"figures: {row.title}: Flexpage over {server.title}, which has "
                  f"{statistics.median(turn[number] for turn in found):.0f} {unit}: "
                  f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})", flush=True)
