"""What seven images lose by an eighth whose disk hangs, with writers and readers of it under way.

One server serves them all, and a load runs on the seven throughout. The eighth's disk hangs and goes on in turns, each of
a few seconds, so that a pair of neighbouring stretches has the same machine. While it does not hang, its clients are
stopped. Stretches begin once both have settled.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

from fio import client
from hanging_disk import HangingDisk
from memory_group import MemoryGroup
from nbd import Connection
from session import say

SEVEN, SIZE, MEMORY = 7, 256 << 20, 128 << 20
SECONDS, SETTLING = 2, 1
INTERVAL_MS = 250

ANYWHERE = ("--bs=4k", "--norandommap", "--iodepth=4")
LOADS = {
    "reads": ("4 KiB random reads, uniform", ("--rw=randread", *ANYWHERE)),
    "mix": ("70 % 4 KiB reads, 30 % writes, Zipf 0.9, a flush each 1000 writes",
            ("--rw=randrw", "--rwmixread=70", "--random_distribution=zipf:0.9", "--fsync=1000", *ANYWHERE)),
    "writes": ("4 KiB random writes, uniform, a flush each 1000", ("--rw=randwrite", "--fsync=1000", *ANYWHERE)),
}
# The clients of the disk that hangs.
EIGHTH = (("--rw=randread", "--bs=4k", "--iodepth=16"), ("--rw=read", "--bs=256k", "--iodepth=4"),
          ("--rw=randwrite", "--bs=4k", "--iodepth=16", "--fsync=1000"), ("--rw=write", "--bs=256k", "--iodepth=4"))
ENDLESS = ("--time_based", "--runtime=36000")


def why_not() -> str | None:
    """The reason why this cannot be measured here; None if it can be."""
    return HangingDisk.why_not() or MemoryGroup.why_not()


def measure(load: str, plugin: Path, work: Path, turns: int) -> dict:
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(Memory(work / "memory"))
        logs = images / "log"
        disk = stack.enter_context(HangingDisk(work, SIZE))
        socket = work / "socket"
        # A server that gives up at its end leaves it.
        socket.unlink(missing_ok=True)
        exports = [f"export=image{number}:{images}/image{number}" for number in range(SEVEN)]
        server = subprocess.Popen(
            ["nbdkit", "-f", "-U", str(socket), str(plugin), *exports, f"export=eighth:{disk.path}", f"memory={MEMORY}",
             "end-time=2"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Its requests to the disk must fail before it can end.
        stack.callback(server.wait)
        stack.callback(server.terminate)
        stack.callback(disk.release)
        wait_for(socket, server)
        jobs = [word for number in range(SEVEN) for word in (
            *client(f"image{number}", uri(socket, f"image{number}")), *LOADS[load][1], *ENDLESS,
            f"--write_iops_log={logs}", f"--log_avg_msec={INTERVAL_MS}", "--log_unix_epoch=1")]
        seven = start("fio", *jobs)
        stack.callback(seven.wait)
        stack.callback(seven.send_signal, signal.SIGINT)
        eighth = Eighth(uri(socket, "eighth"), disk)
        stack.callback(eighth.end)
        time.sleep(5)
        stretches = []
        for turn in range(turns):
            for hangs in (turn % 2 == 0, turn % 2 != 0):
                with eighth.hanging() if hangs else eighth.stopped():
                    time.sleep(SETTLING)
                    begin = time.time()
                    time.sleep(SECONDS)
                    stretches.append((hangs, begin, time.time()))
        eighth.end()
        seven.send_signal(signal.SIGINT)
        seven.wait()
        return compared(load, stretches, logged(images))


def compared(load: str, stretches: list[tuple[bool, float, float]], points: list[tuple[float, int]]) -> dict:
    """The seven's requests per second in each stretch, and the ratios of neighbours."""
    found: dict = {"with": [], "without": []}
    for hangs, begin, end in stretches:
        speed = sum(value for moment, value in points if begin < moment <= end) * INTERVAL_MS / 1000 / (end - begin)
        found["with" if hangs else "without"].append(round(speed))
    found["ratios"] = [round(there / max(here, 1), 3) for there, here in zip(found["with"], found["without"])]
    say(f"  {load:8}{statistics.median(found['ratios']):.2f} of {statistics.median(found['without']):.0f}/s  {found['ratios']}")
    return found


def logged(directory: Path) -> list[tuple[float, int]]:
    """What fio has logged: moments, and requests per second of one job in the time before."""
    lines = [line for path in directory.glob("log_iops*") for line in path.read_text().splitlines()]
    return [(int(fields[0]) / 1000, int(fields[1])) for fields in (line.split(",") for line in lines)]


def uri(socket: Path, name: str) -> str:
    return f"nbd+unix:///{name}?socket={socket}"


def start(*command: str) -> subprocess.Popen:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)


def wait_for(socket: Path, server: subprocess.Popen) -> None:
    while True:
        try:
            return Connection(str(socket)).socket.close()
        except (FileNotFoundError, ConnectionRefusedError):
            if server.poll() is not None:
                raise OSError("Flexpage did not start") from None
            time.sleep(0.01)
        except OSError:
            # It serves: it has refused a client that names no export.
            return


class Memory:
    """A context manager for a tmpfs with the images of the seven."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> Path:
        self.path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3g", "none", str(self.path)], check=True)
        for number in range(SEVEN):
            with (self.path / f"image{number}").open("wb") as file:
                for _ in range(SIZE >> 20):
                    file.write(os.urandom(1 << 20))
        return self.path

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=False)
        self.path.rmdir()


class Eighth:
    """The clients of the disk that hangs."""

    def __init__(self, where: str, disk: HangingDisk):
        self.disk = disk
        self.clients = [start("fio", *client("eighth", where), *load, *ENDLESS, "--norandommap", "--thread")
                        for load in EIGHTH]

    def signal(self, number: int) -> None:
        for each in self.clients:
            os.killpg(each.pid, number)

    @contextlib.contextmanager
    def hanging(self):
        self.disk.hang()
        self.signal(signal.SIGCONT)
        yield
        self.signal(signal.SIGSTOP)
        self.disk.go_on()

    @contextlib.contextmanager
    def stopped(self):
        self.signal(signal.SIGSTOP)
        yield

    def end(self) -> None:
        clients, self.clients = self.clients, []
        for each in clients:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()
