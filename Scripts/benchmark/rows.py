"""What is measured: each row's load, as options for fio, its peers and its goals."""

from dataclasses import dataclass, replace
from typing import Any

from servers import PEERS, RAW

ANY = ("file", "file-cache", "qemu-none", "qemu-writeback")
# For comparison: the cost of NBD itself.
BACKGROUND = ("null",)

# For goals: the best peer, and the same server without the disturbance.
BEST = "best"
ITSELF = "itself"

SEQUENTIAL = ("--rw=read", "--bs=256k")
READERS_PART = ("--size=32m",)


@dataclass(frozen=True)
class Goal:
    """The minimum for the median of the ratios to a peer."""

    minimum: float
    over: str = BEST


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    # Options for fio, in addition to those for all rows.
    fio: tuple[str, ...]
    peers: tuple[str, ...] = ANY
    goals: tuple[Goal, ...] = ()
    # IOPS, MiB/s, or "kept" for a scan: the share of its hit rate that a hot set keeps.
    unit: str = "IOPS"
    # Whether the image fits into memory and is read before the run. Otherwise it does not fit, and the run begins cold.
    is_cached: bool = False
    # Whether caches must be full before the run counts. A cache with free room evicts nothing, so its size and its policy
    # do not matter.
    fills_cache: bool = False
    # Whether a run reads the image once, instead of running for a time.
    is_one_pass: bool = False
    flushes_each_second: bool = False
    # Options for a second client that runs in parallel. Its results are stored, but are not part of the row's value.
    beside: tuple[str, ...] = ()
    # Options for a load before the run, except on servers that begin fresh.
    before: tuple[str, ...] = ()
    # fadvise= for the file plugin.
    advice: str = "random"

    @property
    def writes(self) -> bool:
        return any(kind in self.fio + self.beside for kind in ("--rw=randwrite", "--rw=randrw"))

    @property
    def contenders(self) -> list[str]:
        """The peers among which the best counts: those that serve from the disk and keep the promises of their flushes."""
        keys = [key for key in self.peers if key in PEERS and PEERS[key].is_rival]
        return [key for key in keys if PEERS[key].keeps_flush or not self.writes]


def anywhere(kind: str, depth: int, *more: str, spread: str = "random") -> tuple[str, ...]:
    """Random 4 KiB requests, with repetitions."""
    return (f"--rw={kind}", "--bs=4k", f"--iodepth={depth}", "--norandommap", f"--random_distribution={spread}", *more)


def reads(key: str, title: str, spread: str, depth: int, *goals: Goal, more: tuple[str, ...] = ()) -> Row:
    return Row(f"{key}-{depth}", f"4 KiB random reads, {title}, depth {depth}",
               anywhere("randread", depth, spread=spread), ANY + more, goals, fills_cache=True)


# As several queues of a virtual machine, or nbdcopy, or nbd-client -C do it.
CONNECTIONS = ("--numjobs=4", "--group_reporting")


def of_connections(row: Row) -> Row:
    """The same row with four connections of depth 4 in place of one of depth 16."""
    return replace(row, key=f"{row.key.removesuffix('-16')}-4x4",
                   title=row.title.replace("depth 16", "4 connections of depth 4"),
                   fio=(*(option.replace("--iodepth=16", "--iodepth=4") for option in row.fio), *CONNECTIONS),
                   peers=("file", "qemu-none", "qemu-writeback"), goals=(Goal(1.0),))


def in_order(key: str, depth: int, *goals: Goal) -> Row:
    return Row(key, f"256 KiB sequential reads, cold, depth {depth}", (*SEQUENTIAL, f"--iodepth={depth}"),
               ANY + (RAW,), goals, unit="MiB/s", is_one_pass=True, advice="sequential")


def phase(key: str, title: str, load: tuple[str, ...], before: tuple[str, ...], **more: Any) -> Row:
    return Row(key, title, load, ("fresh",), (Goal(0.95, "fresh"),), before=before, **more)


def writes(key: str, title: str, spread: str, *goals: Goal) -> Row:
    return Row(key, f"4 KiB random writes, {title}, depth 16, a flush each second",
               anywhere("randwrite", 16, spread=spread), ANY + BACKGROUND, goals, fills_cache=True,
               flushes_each_second=True)


def hits_beside(key: str, title: str, *more: str) -> Row:
    """One client reads cached data, one request at a time, while another writes. The first 32 MiB belong to the reader."""
    return Row(f"beside-{key}", f"4 KiB random reads of 32 MiB that are cached, depth 1, beside {title}",
               anywhere("randread", 1, *READERS_PART), ("file",), (Goal(1.0, "file"),),
               before=("--rw=read", "--bs=256k", "--iodepth=4", "--loops=2", *READERS_PART),
               beside=anywhere("randwrite", 16, "--offset=32m", "--fsync=8192", *more))


def flushes(clients: int, title: str, *goals: Goal, more: tuple[str, ...] = ()) -> Row:
    return Row(f"flush-{clients}", f"4 KiB random write + flush, {title}",
               anywhere("randwrite", 1, "--fsync=1", f"--numjobs={clients}", "--group_reporting"), ANY + more, goals)


ONE_CONNECTION = (
    Row("hits-4k", "all hits, 4 KiB random reads, depth 16", anywhere("randread", 16),
        ("memory", "file"), (Goal(0.95, "memory"), Goal(0.98, "file")), is_cached=True),
    Row("hits-256k", "all hits, 256 KiB sequential reads, depth 4", (*SEQUENTIAL, "--iodepth=4"), ("memory", "file"),
        (Goal(0.95, "memory"), Goal(1.2, "file")), unit="MiB/s", is_cached=True, advice="sequential"),
    reads("uniform", "uniform", "random", 1),
    reads("uniform", "uniform", "random", 16, Goal(1.2, "file"), Goal(1.0, "qemu-none"), more=BACKGROUND),
    reads("zipf09", "Zipf 0.9", "zipf:0.9", 1),
    reads("zipf09", "Zipf 0.9", "zipf:0.9", 16, Goal(1.4)),
    reads("zipf11", "Zipf 1.1", "zipf:1.1", 1),
    reads("zipf11", "Zipf 1.1", "zipf:1.1", 16, Goal(1.1), Goal(0.9, "memory"), more=("memory",)),
    in_order("sequential-1", 1),
    in_order("sequential", 4, Goal(1.1, "file"), Goal(0.9, RAW)),
    phase("random-after", "4 KiB random reads, uniform, depth 16, after sequential reads of it all",
          anywhere("randread", 16), (*SEQUENTIAL, "--iodepth=4")),
    phase("sequential-after", "256 KiB sequential reads, depth 4, after random reads of 512 MiB",
          (*SEQUENTIAL, "--iodepth=4"), (*anywhere("randread", 16), "--io_size=512m"), unit="MiB/s", is_one_pass=True),
    writes("write-uniform", "uniform", "random", Goal(1.8)),
    writes("write-zipf09", "Zipf 0.9", "zipf:0.9", Goal(2.0)),
    hits_beside("saturating", "4 KiB random writes as fast as they go, depth 16"),
    hits_beside("rated", "12,000 4 KiB random writes a second", "--rate_iops=12000"),
    flushes(1, "1 connection", Goal(1.0)),
    flushes(8, "8 connections", Goal(1.5), more=BACKGROUND),
    Row("mix", "70 % 4 KiB reads, 30 % writes, Zipf 0.9, depth 16, a flush each second",
        anywhere("randrw", 16, "--rwmixread=70", spread="zipf:0.9"), goals=(Goal(1.0),), fills_cache=True,
        flushes_each_second=True),
    Row("scan", "hit rate that a hot set keeps while a scan runs through", (), ("file", "file-cache", "qemu-writeback"),
        (Goal(0.95, ITSELF),), unit="kept"),
)

SHARED = ("uniform-16", "zipf09-16", "zipf11-16", "write-uniform", "write-zipf09", "mix")
ROWS = (*ONE_CONNECTION, *(of_connections(row) for row in ONE_CONNECTION if row.key in SHARED))

QUICK = ("uniform-16", "zipf09-16", "sequential", "write-zipf09")
QUICK_PEERS = ("file", "qemu-none")
