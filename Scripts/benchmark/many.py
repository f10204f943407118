"""Servers of several images: how each is started, and what it has read and found in memory for each image."""

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from memory_group import MemoryGroup
from nbd import Connection

PAGE = 4096
# Bytes that the server of all images has beside its memory=: more than that of one image, because of its clients.
BESIDE = 48 << 20


@dataclass(frozen=True)
class Kind:
    title: str
    # As stated with the results.
    options: str
    # The command of a server of one image; None if one process serves all of them.
    command: Callable[[Path, Path], list[str]] | None


KINDS = {
    "flexpage": Kind("Flexpage", "one process, `dir=`, `memory=` is the limit minus 48 MiB", None),
    "file": Kind("file plugin", "a process for each image, all in one memory group, `fadvise=random`", lambda image, socket: [
        "nbdkit", "-f", "-U", str(socket), "file", str(image), "fadvise=random"]),
    "qemu": Kind("qemu-nbd", "a process for each image, all in one memory group, `--cache=writeback --aio=threads`",
                 lambda image, socket: ["qemu-nbd", "-t", "-e", "16", "-f", "raw", "-k", str(socket), "--cache=writeback",
                                        "--aio=threads", str(image)]),
}


class Servers:
    """A context manager for the processes that serve all images of a directory in one memory group."""

    def __init__(self, kind: Kind, images: list[Path], plugin: Path, limit: int, work: Path):
        self.kind, self.images, self.plugin, self.limit, self.work = kind, images, plugin, limit, work
        self.log = work / "server.log"
        self.stack = contextlib.ExitStack()
        self.pids: list[int] = []

    def socket(self, number: int) -> Path:
        return self.work / (f"socket-{number}" if self.kind.command else "socket")

    def uri(self, number: int) -> str:
        name = "" if self.kind.command else self.images[number].name
        return f"nbd+unix:///{name}?socket={self.socket(number)}"

    def __enter__(self) -> "Servers":
        try:
            group = self.stack.enter_context(MemoryGroup(self.limit))
            if self.kind.command:
                for number, image in enumerate(self.images):
                    self.start(group.starting(self.kind.command(image, self.socket(number))), self.socket(number))
            else:
                command = ["nbdkit", "-f", "-v", "-D", "flexpage.verbose=1", "-U", str(self.socket(0)), str(self.plugin),
                           f"dir={self.images[0].parent}", f"memory={self.limit - BESIDE}", f"default={self.images[0].name}"]
                self.start(group.starting(command), self.socket(0), keeps_counters=True)
        except BaseException:
            self.stack.close()
            raise
        return self

    def start(self, command: list[str], socket: Path, keeps_counters: bool = False) -> None:
        socket.unlink(missing_ok=True)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE if keeps_counters else subprocess.DEVNULL)
        if keeps_counters:
            # Not all of the log: it has a line for each request, and its pages would be charged to the group.
            log = self.stack.enter_context(self.log.open("w"))
            subprocess.Popen(["grep", "--line-buffered", " misses="], stdin=process.stderr, stdout=log)
        self.pids.append(process.pid)
        self.stack.callback(self.end, process, socket)
        while True:
            try:
                return Connection(str(socket)).close()
            except (FileNotFoundError, ConnectionRefusedError):
                if process.poll() is not None:
                    raise OSError(f"{self.kind.title} did not start") from None
                time.sleep(0.01)

    @staticmethod
    def end(process: subprocess.Popen, socket: Path) -> None:
        process.terminate()
        process.wait()
        socket.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def misses(self, number: int) -> int:
        """Pages of the image that had to be read so far. Ask when its clients have left."""
        if self.kind.command:
            moved = dict(line.split(": ") for line in Path(f"/proc/{self.pids[number]}/io").read_text().splitlines())
            return int(moved["read_bytes"]) // PAGE
        name = f'export "{self.images[number].name}": '
        lines = [line for line in self.log.read_text().splitlines() if name in line]
        return int(lines[-1].split(" misses=")[1].split()[0]) if lines else 0
