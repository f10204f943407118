"""A disk that can be made to hang: its requests are neither done nor failed, and cost no processor time meanwhile."""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path


class HangingDisk:
    """A context manager for a file whose requests hang once `hang` has been called.

    The file is the export of an nbdkit with the pause filter, through nbdfuse. Kill or end what has it open only after
    `release`, which fails all its requests: until then the kernel keeps processes that wait for it.
    """

    def __init__(self, work: Path, size: int):
        self.mount = work / "hanging"
        self.path = self.mount / "disk"
        self.socket, self.control = work / "hanging.sock", work / "hanging-control.sock"
        self.size = size
        self.stack = contextlib.ExitStack()

    @staticmethod
    def why_not() -> str | None:
        """The reason why there can be no such disk here; None if there can be."""
        if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
            return "a disk that hangs needs root and FUSE"
        return None

    def __enter__(self) -> "HangingDisk":
        self.mount.mkdir(exist_ok=True)
        for path in (self.socket, self.control):
            path.unlink(missing_ok=True)
        self.start(["nbdkit", "-f", "-U", str(self.socket), "--filter=pause", "memory", str(self.size),
                    f"pause-control={self.control}"], self.socket)
        # nbdfuse uses its connections in turn, and sends nothing more on one whose request hangs.
        self.start(["nbdfuse", "-C", "64", str(self.path), f"nbd+unix:///?socket={self.socket}"], self.path)
        return self

    def start(self, command: list[str], sign: Path) -> None:
        """Starts a program that is ended at the end, and waits until `sign` exists."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.stack.callback(self.end, process)
        for _attempt in range(3000):
            if sign.exists():
                return
            if process.poll() is not None:
                break
            time.sleep(0.01)
        self.release()
        raise OSError(f"{command[0]} did not start")

    @staticmethod
    def end(process: subprocess.Popen) -> None:
        process.kill()
        process.wait()

    def hang(self) -> None:
        """From now on, nothing is done. Waits for requests under way."""
        self.tell(b"p")

    def go_on(self) -> None:
        """All that waits is done."""
        self.tell(b"r")

    def tell(self, letter: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.control))
            control.sendall(letter)
            if control.recv(1) != letter.upper():
                raise OSError("the disk does not listen")

    def release(self) -> None:
        """The disk is gone: requests that wait fail."""
        self.stack.close()
        subprocess.run(["umount", "-l", str(self.mount)], capture_output=True, check=False)

    def __exit__(self, *_: object) -> None:
        self.release()
        self.mount.rmdir()
