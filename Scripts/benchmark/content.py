"""The contents of images for traces: incompressible, or real files."""

import os
import stat
from pathlib import Path
from typing import Iterator

from session import make_image, say

# What replay.c takes of a content.
SAMPLE = 16 << 20
# Where ordinary files are.
SOURCE = Path("/usr")
PIECE = 1 << 20


def make(kind: str, work: Path, mebibytes: int) -> Path:
    """An image, which is kept for later sessions, with what traces have written to it."""
    return make_image(work, mebibytes) if kind == "random" else make_real_image(work, mebibytes)


def sample(image: Path, work: Path) -> Path:
    """A copy of the beginning of an image, which a client can read without bringing the image itself into the page cache."""
    path = work / "trace-content"
    with image.open("rb") as file:
        path.write_bytes(file.read(SAMPLE))
    return path


def make_real_image(work: Path, mebibytes: int, source: Path = SOURCE) -> Path:
    """An image of ordinary files end to end. If they are too few, they are repeated."""
    path, size = work / f"real-image-{mebibytes}M", mebibytes << 20
    if path.exists() and path.stat().st_size == size:
        return path
    say(f"Making an image of {mebibytes} MiB of files in {source}")
    with path.open("wb") as image:
        while image.tell() < size:
            before = image.tell()
            for piece in pieces(source):
                image.write(piece[:size - image.tell()])
                if image.tell() == size:
                    break
            if image.tell() == before:
                raise OSError(f"{source} has no files for an image")
    return path


def pieces(source: Path) -> Iterator[bytes]:
    """The bytes of all files under a directory, always in the same order. Files with holes are left out."""
    for directory, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            yield from pieces_of(Path(directory, name))


def pieces_of(path: Path) -> Iterator[bytes]:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode) or about.st_blocks * 512 < about.st_size or not os.access(path, os.R_OK):
        return
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
