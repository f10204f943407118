"""What clients have been promised of an image while several threads write it."""

import array
import struct
import threading

from programs import Trouble

SECTOR = 512


class Ledger:
    """Each write and each zero has a number, its generation. A written sector holds its own number and its generation in
    every word; generation 0 and a zero read as zeroes. No two threads write one sector, so the generations of a sector
    come in order. An image may hold of it the generation that was promised, or a later one, answered or not."""

    def __init__(self, sectors: int):
        self.sectors = sectors
        self.lock = threading.Lock()
        self.generation = 0
        self.issued = array.array("Q", bytes(8 * sectors))
        self.answered = self.issued[:]
        self.flushed = self.issued[:]
        # The last zero of each sector.
        self.zeroed = self.issued[:]
        self.flushes = 0

    def begin(self, first: int, count: int, is_zero: bool = False) -> int:
        """A change of sectors is about to be requested. Returns its generation."""
        with self.lock:
            self.generation += 1
            same = array.array("Q", [self.generation]) * count
            self.issued[first:first + count] = same
            if is_zero:
                self.zeroed[first:first + count] = same
            return self.generation

    def end(self, first: int, count: int, generation: int, is_forced: bool) -> None:
        """It has been answered."""
        with self.lock:
            same = array.array("Q", [generation]) * count
            self.answered[first:first + count] = same
            if is_forced:
                self.flushed[first:first + count] = same

    def begin_flush(self) -> array.array:
        """A flush is about to be requested. Returns what it covers."""
        with self.lock:
            return self.answered[:]

    def end_flush(self, covered: array.array) -> None:
        """It has been answered."""
        with self.lock:
            self.flushed = array.array("Q", map(max, self.flushed, covered))
            self.flushes += 1

    @staticmethod
    def data(first: int, count: int, generation: int) -> bytes:
        return b"".join(
            struct.pack("<II", sector + 1, generation) * (SECTOR // 8) for sector in range(first, first + count))

    def check(self, image: bytes, promise: array.array, what: str) -> None:
        """Checks that the image keeps the promise, `answered` or `flushed`."""
        if len(image) != self.sectors * SECTOR:
            raise Trouble(f"{what}: the image has {len(image)} bytes, not {self.sectors * SECTOR}")
        broken = []
        for sector in range(self.sectors):
            found = generation(image, sector)
            floor, last = promise[sector], self.issued[sector]
            if found is None:
                broken.append(f"sector {sector} is torn")
            elif found == 0 and self.zeroed[sector] < floor or found and not floor <= found <= last:
                broken.append(f"sector {sector} has {found}, not {floor}…{last}")
        if broken:
            raise Trouble(f"{what}: {len(broken)} sectors break the promise: {'; '.join(broken[:10])}")

    def take(self, image: bytes) -> None:
        """From now on, what the image holds is what was promised of it."""
        for sector in range(self.sectors):
            found = generation(image, sector) or 0
            self.issued[sector] = self.answered[sector] = self.flushed[sector] = found
            self.zeroed[sector] = 0


def generation(image: bytes, sector: int) -> int | None:
    """The generation that a sector holds, or None if it holds no whole one."""
    held = image[sector * SECTOR:(sector + 1) * SECTOR]
    if held != held[:8] * (SECTOR // 8):
        return None
    owner, number = struct.unpack("<II", held[:8])
    if (owner, number) == (0, 0):
        return 0
    return number if owner == sector + 1 and number else None
