"""The measured servers: how each is started, with the best options for it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

# Bytes that a server needs in addition to cached pages. A server with its own bound gets the limit minus this. At rest,
# Flexpage has 12 MiB beside memory=: 3 of its own, and 9 of the program and its libraries, which are page cache.
BESIDE = 20 << 20


@dataclass(frozen=True)
class Setting:
    """The parameters of a server's command line. Sizes are in bytes."""

    image: Path
    socket: Path
    plugin: Path
    limit: int
    # How the load reads, for fadvise= of the file plugin.
    advice: str
    # More keys for the plugin.
    extra: tuple[str, ...] = ()
    # The plugin's memory=, if it is not the limit minus BESIDE.
    granted: int | None = None

    @property
    def memory(self) -> int:
        return self.granted or max(self.limit - BESIDE, 4 << 20)


@dataclass(frozen=True)
class Server:
    key: str
    title: str
    # As stated with the results.
    options: str
    command: Callable[[Setting], list[str]]
    # Whether it runs in the memory group. A server that holds the whole image in memory cannot.
    is_grouped: bool = True
    # Whether only a group bounds its cache.
    needs_group: bool = True
    # Whether it starts empty and gets the image's bytes before the run.
    is_filled: bool = False
    # Whether flushed data is on the disk.
    keeps_flush: bool = True
    # Whether it can be the best peer: it serves from the disk, and is not this plugin itself.
    is_rival: bool = True
    # Whether it skips the load that a row has before the run.
    is_fresh: bool = False


def nbdkit(setting: Setting, *words: str) -> list[str]:
    return ["nbdkit", "-f", "-U", str(setting.socket), *words]


def flexpage(setting: Setting, *words: str) -> list[str]:
    return nbdkit(setting, str(setting.plugin), str(setting.image), f"memory={setting.memory}", *words, *setting.extra)


def qemu(setting: Setting, *words: str) -> list[str]:
    # Without -t, it would exit with its first client. -e 16 allows 16 clients at once.
    return ["qemu-nbd", "-t", "-e", "16", "-f", "raw", "-k", str(setting.socket), *words, str(setting.image)]


# As it comes: its only key is its amount of memory.
FLEXPAGE = Server(
    "flexpage", "Flexpage", "`memory=` as said above", flexpage, needs_group=False, is_rival=False)

FRESH = replace(
    FLEXPAGE, key="fresh", title="Flexpage just started", options="the same, without the load before the run", is_fresh=True)

NOTHING = Server(
    "null", "null plugin",
    "nbdkit's, which reads and stores nothing: the cost of NBD itself, without a disk and a cache",
    lambda setting: nbdkit(setting, "null", str(setting.image.stat().st_size)),
    is_grouped=False, needs_group=False, keeps_flush=False, is_rival=False)

MEMORY = Server(
    "memory", "memory plugin",
    "nbdkit's, filled with the image's data before each run; not in the group, because it holds the whole image in memory",
    lambda setting: nbdkit(setting, "memory", str(setting.image.stat().st_size)),
    is_grouped=False, needs_group=False, is_filled=True, keeps_flush=False, is_rival=False)

FILE = Server(
    "file", "file plugin",
    "nbdkit's; `fadvise=sequential` for sequential reads, otherwise `fadvise=random` (which also keeps a hot set best)",
    lambda setting: nbdkit(setting, "file", str(setting.image), f"fadvise={setting.advice}"))

FILTERED = Server(
    "file-cache", "file + cache filter",
    "the same with nbdkit's cache filter, `cache-on-read=true`, `cache-max-size=` as Flexpage's `memory=`; it "
    "answers flushes without making data durable",
    lambda setting: nbdkit(
        setting, "--filter=cache", "file", str(setting.image), f"fadvise={setting.advice}",
        "cache-on-read=true", f"cache-max-size={setting.memory}"),
    keeps_flush=False)

QEMU_NONE = Server(
    "qemu-none", "qemu-nbd none", "`-e 16 --cache=none --aio=native`",
    lambda setting: qemu(setting, "--cache=none", "--aio=native"), needs_group=False)

QEMU_WRITEBACK = Server(
    "qemu-writeback", "qemu-nbd writeback", "`-e 16 --cache=writeback --aio=threads` (it refuses `native` with a page cache)",
    lambda setting: qemu(setting, "--cache=writeback", "--aio=threads"))

PEERS = {
    server.key: server for server in (MEMORY, FILE, FILTERED, QEMU_NONE, QEMU_WRITEBACK, NOTHING, FRESH)
}

# The disk itself, without a server; see Raw in load.py.
RAW = "raw"
RAW_TITLE = "raw O_DIRECT"
# Another build of this plugin, if one is given.
BASELINE = "baseline"


def title(key: str) -> str:
    """The name of a peer in tables."""
    return PEERS[key].title if key in PEERS else RAW_TITLE if key == RAW else key
