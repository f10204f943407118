"""Programs that run beside the test, and waiting for what they do."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable


class Trouble(Exception):
    """Something is not as it must be. The message says what."""


def wait_until(what: str, is_so: Callable[[], bool], seconds: float = 180) -> None:
    """Waits for something that comes in moments, but on a busy machine later.
    - what: What is wrong if it does not come."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise Trouble(f"{what}, after {seconds:.0f} s")
        time.sleep(0.1)


# The beginning of a command that ends with the test, however that ends. The kernel sees to it when the thread ends that
# has started it, so only the main thread may.
MORTAL = ("setpriv", "--pdeathsig", "KILL", "--")


def run(command: list[str], environment: dict[str, str] | None = None, seconds: float = 120) -> bytes:
    """Runs a command to its end, and returns its output."""
    try:
        done = subprocess.run(
            [*MORTAL, *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{' '.join(command)}: it does not end") from None
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


class Program:
    """A program that runs until it is stopped, and never longer than the test."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None):
        self.name = Path(command[0]).name
        self.log_path = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*MORTAL, *command], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def await_socket(self, path: Path) -> None:
        """Waits until it has made a socket. One that an earlier program left must be gone before."""
        wait_until(f"{self.name} does not serve: {self.log[-2000:]}", lambda: path.exists() or self.has_ended, 60)
        if self.has_ended:
            raise Trouble(f"{self.name} has ended: {self.log[-2000:]}")

    def kill(self) -> None:
        """Ends it as a crash does."""
        if not self.has_ended:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 120) -> int:
        """Ends it as a supervisor does, and returns its exit status."""
        if not self.has_ended:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Trouble(f"{self.name} does not end when told to: {self.log[-2000:]}") from None


class Tree:
    """Debian's packages, unpacked into a directory. What they lack is installed."""

    def __init__(self, path: Path):
        self.path = path
        self.libraries = [*path.glob("usr/lib/*-linux-gnu*"), *path.glob("lib/*-linux-gnu*")]

    def library(self, name: str) -> Path:
        """A directory of plugins."""
        for path in (*self.libraries, self.path / "usr/lib"):
            if (path / name).exists():
                return path / name
        raise Trouble(f"Debian's packages have no {name}")

    def program(self, name: str) -> str:
        for directory in ("usr/bin", "usr/sbin"):
            if (self.path / directory / name).exists():
                return str(self.path / directory / name)
        raise Trouble(f"Debian's packages have no {name}")

    @property
    def environment(self) -> dict[str, str]:
        libraries = [*self.libraries, *(path / "ceph" for path in self.libraries if (path / "ceph").is_dir())]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PYTHONPATH": str(self.path / "usr/lib/python3/dist-packages"),
            "QEMU_MODULE_DIR": str(self.library("qemu")),
        }
