"""Instructions that the plugin executes per request, counted by valgrind in a real nbdkit.

A short and a long run contain the same instructions for the start and the warm-up. So their difference, divided by the
additional requests of the long run, is the cost of a request.
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
    """Instructions per request: `inside` the plugin's callback, libraries included; of these, `moving` bytes by memcpy,
    memset and the like; and the plugin's own code on its `other` threads."""

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
    # Whether the whole image is read first.
    is_cached: bool = False


KINDS = (
    Kind("hit", "flexpage_pread", "randread", image=16, memory=64, is_cached=True),
    Kind("miss", "flexpage_pread", "randread", image=512, memory=16),
    Kind("write", "flexpage_pwrite", "randwrite", image=512, memory=64),
)

# valgrind cannot read the debugging information that Swift writes. It can read function names.
STRIPPED = "stripped-plugin.so"


def strip(plugin: Path, work: Path) -> Path:
    copy = work / STRIPPED
    shutil.copy(plugin, copy)
    subprocess.run(["strip", "--strip-debug", str(copy)], check=True)
    return copy


def count(kind: Kind, image: Path, plugin: Path, work: Path, requests: int) -> Instructions:
    """Compares runs of `requests` and of three times as many requests."""
    def difference(is_inside: bool) -> dict[str, float]:
        short, long = (run(kind, image, plugin, work, number, is_inside) for number in (requests, 3 * requests))
        return {key: (long[key] - short[key]) / (2 * requests) for key in long}

    inside, everywhere = difference(True), difference(False)
    return Instructions(inside["all"], inside["moving"], everywhere["own"] - inside["own"])


def run(kind: Kind, image: Path, plugin: Path, work: Path, requests: int, is_inside: bool) -> dict[str, int]:
    """The counts of one run: of the callback with everything that it calls, or of the whole process."""
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
    """Sums of functions' own instructions: of all functions, of those that move bytes, and of those in the plugin."""
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
        raise OSError(f"callgrind counted no instructions of the plugin; see {out}")
    return counts
