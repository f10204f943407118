"""The servers that are measured: how each is started, with the options that suit it best."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

# What a server needs beside its cached pages, bytes. Those that have a bound of their own get the limit less this.
BESIDE = 48 << 20


@dataclass(frozen=True)
class Setting:
    """What a server's command line depends on. Sizes in bytes."""

    image: Path
    socket: Path
    plugin: Path
    limit: int
    # For the file plugin's fadvise=: how the load reads.
    advice: str
    # Further keys of the plugin's.
    extra: tuple[str, ...] = ()

    @property
    def memory(self) -> int:
        return max(self.limit - BESIDE, 4 << 20)


@dataclass(frozen=True)
class Server:
    key: str
    title: str
    # As stated beside the results.
    options: str
    command: Callable[[Setting], list[str]]
    # Whether it runs in the memory group. One that holds the whole image in memory cannot.
    is_grouped: bool = True
    # Whether nothing else bounds the memory that it caches in.
    needs_group: bool = True
    # Whether it starts empty, and is given the image's bytes before the run.
    is_filled: bool = False
    # Whether what it has flushed is on the disk.
    keeps_flush: bool = True
    # Whether it counts where the best peer is asked for: it has the image on the disk, and is not this plugin itself.
    is_rival: bool = True
    # Whether it is spared what a row has servers do before the run.
    is_fresh: bool = False


def nbdkit(setting: Setting, *words: str) -> list[str]:
    return ["nbdkit", "-f", "-U", str(setting.socket), *words]


def flexpage(setting: Setting, *words: str) -> list[str]:
    return nbdkit(setting, str(setting.plugin), str(setting.image), f"memory={setting.memory}", *words, *setting.extra)


def qemu(setting: Setting, *words: str) -> list[str]:
    # Without -t it would end with its first client; up to 16 of them at once.
    return ["qemu-nbd", "-t", "-e", "16", "-f", "raw", "-k", str(setting.socket), *words, str(setting.image)]


FLEXPAGE = Server(
    "flexpage", "Flexpage", "`memory=` the limit less 48 MiB, `scheduling=batch`",
    lambda setting: flexpage(setting, "scheduling=batch"), needs_group=False, is_rival=False)

AS_IT_COMES = Server(
    "default", "Flexpage as it comes", "without `scheduling=batch`", flexpage, needs_group=False, is_rival=False)

FRESH = replace(
    FLEXPAGE, key="fresh", title="Flexpage just started", options="the same, without what came before the run", is_fresh=True)

NOTHING = Server(
    "null", "null plugin",
    "nbdkit's, which reads and keeps nothing: what is left for a server to do when all that the disk and a cache cost is "
    "gone",
    lambda setting: nbdkit(setting, "null", str(setting.image.stat().st_size)),
    is_grouped=False, needs_group=False, keeps_flush=False, is_rival=False)

MEMORY = Server(
    "memory", "memory plugin",
    "nbdkit's, filled with the image's data before each run; outside the group, as it holds the whole image in memory",
    lambda setting: nbdkit(setting, "memory", str(setting.image.stat().st_size)),
    is_grouped=False, needs_group=False, is_filled=True, keeps_flush=False, is_rival=False)

FILE = Server(
    "file", "file plugin",
    "nbdkit's; `fadvise=sequential` for sequential reads, else `fadvise=random` (it keeps a hot set best, too)",
    lambda setting: nbdkit(setting, "file", str(setting.image), f"fadvise={setting.advice}"))

FILTERED = Server(
    "file-cache", "file + cache filter",
    "the same with nbdkit's cache filter, `cache-on-read=true`, `cache-max-size=` the limit less 48 MiB; it answers a "
    "flush without having kept its promise",
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
    server.key: server for server in (MEMORY, FILE, FILTERED, QEMU_NONE, QEMU_WRITEBACK, AS_IT_COMES, NOTHING, FRESH)
}

# No server, but what the disk gives without one. See raw.py.
RAW = "raw"
RAW_TITLE = "raw O_DIRECT"
# Another build of this plugin, where one is given.
BASELINE = "baseline"


def title(key: str) -> str:
    """The name of a peer, as it stands in tables."""
    return PEERS[key].title if key in PEERS else RAW_TITLE if key == RAW else key
