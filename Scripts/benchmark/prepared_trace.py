"""A block trace, prepared for a replay: from a CSV file of requests to records for replay.c and the size of an image."""

import hashlib
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator

PAGE = 4096
MEGABYTE = 1 << 20
# libnbd refuses a longer request.
LONGEST = 32 << 20
SUFFIXES = (".csv.zst", ".csv")
# One request for replay.c.
RECORD = struct.Struct("=QII")

# Offset, length, and whether it is a write.
Request = tuple[int, int, bool]


@dataclass(frozen=True)
class PreparedTrace:
    """Requests to an image of only those megabytes that the trace touches, in their order.

    Megabytes that are neighbours stay neighbours, and offsets within a megabyte stay the same, so sequences and alignment
    stay as they were. Parts that were far apart may become neighbours.
    """

    name: str
    requests: list[Request]
    # Megabytes of the image.
    size: int
    # Pages of 4 KiB that are touched.
    pages: int
    # Requests in the file, as far as it was read.
    digest: str

    @staticmethod
    def read(name: str, path: Path, most: int | None) -> "PreparedTrace":
        """Reads the first `most` requests of a file."""
        return PreparedTrace.pack(name, list(first(parsed(lines(path), path), most)))

    @staticmethod
    def pack(name: str, requests: list[Request]) -> "PreparedTrace":
        if not requests:
            raise OSError(f"trace {name} has no requests")
        touched = sorted({part for request in requests for part in parts(request, MEGABYTE)})
        places = {part: place for place, part in enumerate(touched)}
        packed = [(places[offset // MEGABYTE] * MEGABYTE + offset % MEGABYTE, length, is_write)
                  for offset, length, is_write in requests]
        pages = len({page for request in packed for page in parts(request, PAGE)})
        return PreparedTrace(name, packed, len(touched), pages, hashlib.sha256(records(packed)).hexdigest()[:16])

    def write(self, work: Path) -> Path:
        """Writes the records for replay.c."""
        path = work / f"trace-{self.name}-{self.digest}"
        path.write_bytes(records(self.requests))
        return path


def records(requests: list[Request]) -> bytes:
    return b"".join(RECORD.pack(offset, length, is_write) for offset, length, is_write in requests)


def parts(request: Request, size: int) -> range:
    """The numbers of the parts of this size that a request touches."""
    offset, length, _ = request
    return range(offset // size, (offset + length - 1) // size + 1)


def find(directory: Path | None) -> dict[str, Path]:
    """The traces of a directory by name, in alphabetical order."""
    advice = "Name a directory of traces (op,offset,length in .csv.zst or .csv files) with --traces DIR or FLEXPAGE_TRACES"
    if directory is None:
        raise OSError(f"there are no traces. {advice}")
    found = {path.name.removesuffix(suffix): path for suffix in SUFFIXES for path in directory.glob(f"*{suffix}")}
    if not found:
        raise OSError(f"there are no traces in {directory}. {advice}")
    return dict(sorted(found.items(), key=lambda each: each[0].lower()))


def pick(directory: Path | None, names: list[str] | None) -> dict[str, Path]:
    """These traces of a directory, or all. Raises OSError if there are none."""
    known = find(directory)
    names = names or list(known)
    if unknown := [name for name in names if name not in known]:
        raise OSError(f"unknown trace: {', '.join(unknown)}; {directory} has {', '.join(known)}")
    return {name: known[name] for name in names}


def lines(path: Path) -> Iterator[str]:
    if path.name.endswith(".zst"):
        yield from unpacked(path)
    else:
        with path.open() as file:
            yield from file


def unpacked(path: Path) -> Iterator[str]:
    with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield from process.stdout
        if process.wait() != 0:
            raise OSError(f"{path}: zstd cannot unpack it")


def first(requests: Iterator[Request], most: int | None) -> Iterator[Request]:
    for number, request in enumerate(requests):
        if number == most:
            return
        yield request


def parsed(text: Iterator[str] | IO[str], path: Path) -> Iterator[Request]:
    """The requests of lines `op,offset,length`: R or W, bytes, bytes. The first line may be a heading."""
    for number, line in enumerate(text, 1):
        fields = line.strip().split(",")
        if number == 1 and fields == ["op", "offset", "length"]:
            continue
        if len(fields) != 3 or fields[0] not in ("R", "W") or not all(field.isdecimal() for field in fields[1:]):
            raise OSError(f"{path}, line {number}: {line.strip()[:60]!r} is not R or W, an offset and a length in bytes")
        offset, length = int(fields[1]), int(fields[2])
        if not 0 < length <= LONGEST:
            raise OSError(f"{path}, line {number}: the length is {length}; expected 1 to {LONGEST}")
        yield offset, length, fields[0] == "W"
