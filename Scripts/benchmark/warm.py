"""What `warm=` saves after a reboot: a filesystem is mounted and read by tar, cold against warm, on a volume as slow as a
cloud's."""

import argparse
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import machine
import report
from cells import cells
from filesystem import Mounted, make_filesystem
from running import Running
from servers import BESIDE, FLEXPAGE, Setting
from session import say
from throttle import Throttle
from words import add_output, positive

KINDS = {
    "cold": "cold",
    "at once": "warm, mounted at once",
    "later": "warm, mounted when the list has been read",
}


class Bench:
    def __init__(self, options: argparse.Namespace, throttle: Throttle):
        self.options, self.throttle = options, throttle
        self.image = make_filesystem(options.work, options.size)
        self.list = options.work / "warm.list"

    def setting(self, *keys: str) -> Setting:
        memory = 2 * self.options.size << 20
        return Setting(self.image, self.options.work / "socket", self.options.plugin, memory + BESIDE, "random", keys)

    def run(self, kind: str) -> dict:
        """The seconds that mounting and tar take with a server that has just started."""
        machine.drop_caches()
        keys = () if kind == "cold" else (f"warm={self.list}",)
        server = replace(FLEXPAGE, command=lambda setting: self.throttle.starting(FLEXPAGE.command(setting)))
        with Running(server, self.setting(*keys), None, self.options.work / "server.log") as running:
            began = time.monotonic()
            if kind == "later":
                self.await_quiet(running)
            ready = time.monotonic()
            with Mounted(self.options.work, running.uri) as place:
                mounted = time.monotonic()
                read = count_bytes(place)
                done = time.monotonic()
            return {"seconds": done - ready, "mount": mounted - ready, "ready": ready - began, "bytes": read,
                    "bytes_read": running.usage()["bytes_read"]}

    @staticmethod
    def await_quiet(running: Running) -> None:
        """Waits until the server has read nothing for half a second."""
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 0.5:
            now = running.usage()["bytes_read"]
            if now != before:
                before, since = now, time.monotonic()
            time.sleep(0.02)

    def measure(self) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
        self.list.unlink(missing_ok=True)
        # A server that begins cold makes the list at its end.
        self.run("at once")
        for _turn in range(self.options.turns):
            for kind in KINDS:
                run = self.run(kind)
                found[kind].append(run)
                say(f"  {KINDS[kind]:44}{run['seconds']:6.2f} s, of which mounting {run['mount']:5.2f} s; before it "
                    f"{run['ready']:5.2f} s; read {run['bytes_read'] >> 20} MiB")
        return found


def count_bytes(place: Path) -> int:
    """Reads all files, as tar does, which reads nothing if it writes to /dev/null itself."""
    tar = subprocess.Popen(["tar", "-cf", "-", "-C", str(place), "."], stdout=subprocess.PIPE)
    count = int(subprocess.run(["wc", "-c"], stdin=tar.stdout, capture_output=True, text=True, check=True).stdout)
    if tar.wait() != 0:
        raise OSError("tar has failed")
    return count


def markdown(document: dict) -> str:
    about, runs = document["about"], document["runs"]
    cold = statistics.median(run["seconds"] for run in runs["cold"])
    rows = []
    for kind, title in KINDS.items():
        times = [run["seconds"] for run in runs[kind]]
        middle = statistics.median(times)
        rows.append((
            title, f"**{middle:.2f} s** ({min(times):.2f}–{max(times):.2f})", f"{middle / cold:.2f}",
            f"{statistics.median(run['ready'] for run in runs[kind]):.2f} s",
            f"{statistics.median(run['bytes_read'] for run in runs[kind]) / 2**20:.0f} MiB"))
    where = about["machine"]
    return "\n".join([
        *cells("the server has just started", "mount and tar", "of cold", "before that", "read of the image", rows=rows),
        f"Medians of {about['turns']} runs (minimum to maximum). An ext4 filesystem with {about['size_mib']} MiB of small files, "
        f"which has been in use, is mounted, and read by tar, through nbdfuse and a loop device; `memory={2 * about['size_mib']}M`. The server may read "
        f"{about['iops']} times and {about['mib']} MiB a second (blkio). The list was made by a server that tar had read "
        f"through. Caches are dropped before each run. {where['processor']}, {where['kernel']}, {where['nbdkit']}; load average at "
        f"the start {about['load']}, nice {about['nice']}; {about['date']}.",
    ]) + "\n"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench warm", description=__doc__)
    add = parser.add_argument
    add("--size", type=positive, default=128, metavar="MIB", help="the files in the filesystem (128)")
    add("--turns", type=positive, default=5, metavar="N", help="runs of each kind (5)")
    add("--iops", type=positive, default=500, metavar="N", help="reads a second that the volume allows (500)")
    add("--mib", type=positive, default=60, metavar="MIB", help="MiB a second that the volume allows (60)")
    add_output(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    if why_not := Mounted.why_not() or Throttle.why_not():
        raise OSError(why_not)
    with machine.reserved(options.work), Throttle(options.work, options.iops, options.mib << 20) as throttle:
        about = machine.about(options.work) | {
            "size_mib": options.size, "turns": options.turns, "iops": options.iops, "mib": options.mib,
        }
        document = {"about": about, "runs": Bench(options, throttle).measure()}
    report.write_document("warm", document, markdown(document), options)
    return 0
