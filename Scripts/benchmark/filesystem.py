"""A filesystem in an image, and how it is mounted through an export."""

import contextlib
import os
import random
import subprocess
import time
from pathlib import Path


def make_filesystem(work: Path, mebibytes: int) -> Path:
    """An image with an ext4 filesystem of incompressible files, which are as large as those of a tree of sources: half of
    them have less than 4 KiB, and their mean is 9 KiB. It has been in use: files of all directories were written in turn,
    and others that lay between them have been deleted. It is kept for later sessions."""
    image, new = work / f"used-filesystem-{mebibytes}M", work / "new-filesystem"
    if image.exists():
        return image
    with new.open("wb") as file:
        file.truncate(3 * mebibytes << 20)
    run("mkfs.ext4", "-q", "-F", str(new))
    place = work / "mounted"
    place.mkdir(exist_ok=True)
    run("mount", "-o", "loop", str(new), str(place))
    try:
        fill(place, mebibytes << 20, random.Random(mebibytes))
    finally:
        run("umount", str(place))
    new.rename(image)
    return image


def fill(place: Path, left: int, source: random.Random) -> None:
    """Leaves files of `left` bytes in 97 directories."""
    number = 0
    doomed = []
    while left > 0:
        size = min(left, int(source.lognormvariate(8.3, 1.3)) + 1)
        path = place / f"{source.randrange(97)}" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.randbytes(size))
        number += 1
        if source.random() < 0.5:
            doomed.append(path)
        else:
            left -= size
        if len(doomed) == 500:
            # What is written is on the disk by then, and has its place.
            os.sync()
            for path in doomed:
                path.unlink()
            doomed = []
    for path in doomed:
        path.unlink()


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
