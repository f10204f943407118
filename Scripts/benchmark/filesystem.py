"""A filesystem in an image, and how it is mounted through an export."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from pathlib import Path


def make_filesystem(work: Path, mebibytes: int) -> Path:
    """An image with an ext4 filesystem of incompressible files, which are as large as those of a system: half of them
    have less than 4 KiB, and most of the bytes are in a few large ones. It is kept for later sessions."""
    image = work / f"filesystem-{mebibytes}M"
    if image.exists():
        return image
    folder, new = work / "files", image.with_suffix(".new")
    shutil.rmtree(folder, ignore_errors=True)
    source, left, number = random.Random(mebibytes), mebibytes << 20, 0
    while left > 0:
        size = min(left, 8 << 20, int(source.lognormvariate(8.3, 2.0)) + 1)
        path = folder / f"{number % 97}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))
        left -= size
        number += 1
    with new.open("wb") as file:
        file.truncate(2 * mebibytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(folder), str(new)], check=True)
    shutil.rmtree(folder)
    new.rename(image)
    return image


class Mounted:
    """A context manager: the filesystem of a server's export is mounted, read-only, by nbdfuse and a loop device."""

    def __init__(self, work: Path, uri: str):
        self.fuse, self.place, self.uri = work / "fuse", work / "mounted", uri
        self.stack = contextlib.ExitStack()

    @staticmethod
    def why_not() -> str | None:
        """The reason why nothing can be mounted here; None if something can be."""
        if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
            return "a mounted filesystem needs root and FUSE"
        return None

    def __enter__(self) -> Path:
        with contextlib.ExitStack() as stack:
            for directory in (self.fuse, self.place):
                directory.mkdir(exist_ok=True)
            disk = self.fuse / "disk"
            process = subprocess.Popen(["nbdfuse", "-r", str(disk), self.uri], stdin=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(run, "umount", str(self.fuse))
            while not disk.exists():
                if process.poll() is not None:
                    raise OSError("nbdfuse did not start")
                time.sleep(0.002)
            device = run("losetup", "--find", "--show", "--read-only", str(disk)).strip()
            stack.callback(run, "losetup", "--detach", device)
            run("mount", "-o", "ro,noload", device, str(self.place))
            stack.callback(run, "umount", str(self.place))
            self.stack = stack.pop_all()
        return self.place

    def __exit__(self, *_: object) -> None:
        self.stack.close()


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
