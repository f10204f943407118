"""Instructions that the plugin executes for a request, counted by valgrind in a real nbdkit.

What starting and warming up take is in a short run as in a long one: the difference of the two, over the requests that
the long one has more, is what a request takes.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fio import client, fio, seeded
from running import Running
from servers import Server, Setting


@dataclass(frozen=True)
class Instructions:
    """A request's: `inside` the plugin's callback, libraries included; of those, `moving` bytes by memcpy, memset and the
    like; and the plugin's own code on its `other` threads. Per request."""

    inside: float
    moving: float
    other: float


@dataclass(frozen=True)
class Kind:
    """A kind of request. Sizes in MiB."""

    name: str
    callback: str
    rw: str
    image: int
    memory: int
    # Whether all of the image is read before.
    is_cached: bool = False


KINDS = (
    Kind("hit", "flexpage_pread", "randread", image=16, memory=64, is_cached=True),
    Kind("miss", "flexpage_pread", "randread", image=512, memory=16),
    Kind("write", "flexpage_pwrite", "randwrite", image=512, memory=64),
)

# valgrind cannot read the debugging information that Swift writes, but names of functions it can.
STRIPPED = "stripped-plugin.so"


def strip(plugin: Path, work: Path) -> Path:
    copy = work / STRIPPED
    shutil.copy(plugin, copy)
    subprocess.run(["strip", "--strip-debug", str(copy)], check=True)
    return copy


def count(kind: Kind, image: Path, plugin: Path, work: Path, requests: int) -> Instructions:
    """Runs of `requests` and of three times as many."""
    def difference(is_inside: bool) -> dict[str, float]:
        short, long = (run(kind, image, plugin, work, number, is_inside) for number in (requests, 3 * requests))
        return {key: (long[key] - short[key]) / (2 * requests) for key in long}

    inside, everywhere = difference(True), difference(False)
    return Instructions(inside["all"], inside["moving"], everywhere["own"] - inside["own"])


def run(kind: Kind, image: Path, plugin: Path, work: Path, requests: int, is_inside: bool) -> dict[str, int]:
    """The counts of one run: of the callback with all that it calls, or of the whole process."""
    out = work / "callgrind.out"
    out.unlink(missing_ok=True)
    where = ("--collect-atstart=no", f"--toggle-collect={kind.callback}") if is_inside else ()
    valgrind = Server("callgrind", "nbdkit under valgrind", "", lambda setting: [
        "valgrind", "--tool=callgrind", *where, f"--callgrind-out-file={out}",
        "nbdkit", "-f", "-U", str(setting.socket), str(plugin), str(setting.image), f"memory={setting.limit}",
        "readahead=off"])
    setting = Setting(image, work / "socket", plugin, kind.memory << 20, "random")
    with Running(valgrind, setting, None, work / "server.log") as running:
        if kind.is_cached:
            fio(*client("warm", running.uri), "--rw=read", "--bs=4k")
        fio(*client("load", running.uri), f"--rw={kind.rw}", "--bs=4k", "--norandommap", f"--size={kind.image}M",
            f"--io_size={requests * 4096}", *seeded(1))
    return read(out)


def read(out: Path) -> dict[str, int]:
    """Sums of the instructions of functions themselves: `all`, those that move bytes, and those of the plugin's file."""
    command = ["callgrind_annotate", "--threshold=100", "--auto=no", str(out)]
    counts = {"all": 0, "moving": 0, "own": 0}
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        found = re.match(r"\s*([\d,]+) \([^)]*\)\s+\S*?:(\S.*)$", line)
        if not found:
            continue
        number, function = int(found[1].replace(",", "")), found[2]
        counts["all"] += number
        if re.match(r"__(mem(cpy|move|set))", function):
            counts["moving"] += number
        if STRIPPED in function:
            counts["own"] += number
    if counts["own"] == 0:
        raise OSError(f"callgrind counted nothing in the plugin: see {out}")
    return counts
