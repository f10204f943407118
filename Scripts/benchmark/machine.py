"""Describes this machine, and prepares it for runs."""

import contextlib
import datetime
import fcntl
import mmap
import os
import platform
import subprocess
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def reserved(work: Path) -> Iterator[None]:
    """Reserves a working directory. Two sessions at once would disturb each other and use the same socket."""
    work.mkdir(parents=True, exist_ok=True)
    # fio leaves files in its working directory.
    os.chdir(work)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError("another benchmark is running") from None
        yield


def drop_caches() -> bool:
    """Drops the page cache, so that no run profits from the previous one. Needs root. Returns whether it succeeded."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return True
    except OSError:
        return False


# Linux 5.14's MADV_POPULATE_WRITE, which Python has no name for.
POPULATE_WRITE = 23


def touch_memory(size: int) -> None:
    """Uses so many bytes of free memory once, in huge pages. A virtual machine may give free huge pages back to its host
    within seconds (free page reporting). The next process that uses them waits for the host: 5 ms for each 2 MiB here,
    instead of 0.2. The page cache seldom waits, because it takes small pages. A server that takes huge ones would wait in
    each run, which begins with a new process, but no more once it has filled its memory.
    """
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
            memory.madvise(POPULATE_WRITE)


def description(directory: Path) -> dict[str, str]:
    """A description of the machine for readers of the results. `directory` contains the images."""
    return {
        "processor": f"{os.cpu_count()} × {processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "disk": disk(directory),
        "nbdkit": first_line("nbdkit", "--version"),
        "qemu-nbd": first_line("qemu-nbd", "--version"),
        "fio": first_line("fio", "--version"),
    }


def about(directory: Path) -> dict:
    """When, where and beside what load a measurement begins."""
    return {
        "date": datetime.date.today().isoformat(), "machine": description(directory),
        "load": f"{os.getloadavg()[0]:.1f}", "nice": os.nice(0),
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def disk(directory: Path) -> str:
    """The filesystem of a directory, and its device."""
    number = os.stat(directory).st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    words = last_line("df", "--output=fstype", str(directory))
    if (device / "queue/write_cache").exists():
        words += f" on {device.resolve().name} ({(device / 'queue/write_cache').read_text().strip()})"
    return words


def first_line(*command: str) -> str:
    """The first line of a command's output; empty if the command does not exist."""
    return (lines(*command) or [""])[0]


def last_line(*command: str) -> str:
    return (lines(*command) or [""])[-1]


def lines(*command: str) -> list[str]:
    try:
        return [line.strip() for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]
    except OSError:
        return []
