"""Random commands over several connections, one at a time, and what the image must be after them."""

import errno
import random

import nbd

from programs import Trouble

# A trim is for whole pages; the rest of its range is left alone.
PAGE = 4096


def check(found: bytes | bytearray, wanted: bytes | bytearray, what: str, offset: int = 0) -> None:
    """Raises Trouble that tells the first byte in which they differ."""
    if found == wanted:
        return
    if len(found) != len(wanted):
        raise Trouble(f"{what}: {len(found)} bytes, not {len(wanted)}")
    place = next(index for index, (one, other) in enumerate(zip(found, wanted)) if one != other)
    wrong = sum(one != other for one, other in zip(found, wanted))
    raise Trouble(f"{what}: {wrong} bytes are wrong; byte {offset + place} is {found[place]}, not {wanted[place]}")


class Model:
    """The image begins as zeroes."""

    def __init__(self, size: int, clients: list[nbd.NBD], seed: int):
        self.bytes = bytearray(size)
        self.clients = clients
        self.random = random.Random(seed)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        for lower in range(0, len(self.bytes), 1 << 20):
            self.check(self.clients[0], lower, min(lower + (1 << 20), len(self.bytes)))

    def step(self) -> None:
        client = self.random.choice(self.clients)
        lower, upper = self.range()
        kind = self.random.randrange(16)
        if kind < 6:
            self.write(client, lower, upper)
        elif kind < 9:
            self.zero(client, lower, upper)
        elif kind < 11:
            self.trim(client, lower, upper)
        elif kind == 11:
            client.flush()
        elif kind == 12 and client.can_cache():
            client.cache(upper - lower, lower)
        else:
            self.check(client, lower, upper)

    def range(self) -> tuple[int, int]:
        """A range of any length, which begins at an edge of something in most cases, or ends at the image's end."""
        size = len(self.bytes)
        length = self.random.randint(1, self.random.choice((16, 600, 5000, 70_000, 6_000_000)))
        # Objects of the cluster have 4 MiB.
        grain = self.random.choice((1, 512, PAGE, 65_536, 4 << 20))
        lower = self.random.randrange(size) // grain * grain
        upper = min(lower + length, size)
        return (lower, upper) if self.random.randrange(8) else (size - (upper - lower), size)

    def flags(self) -> int:
        return 0 if self.random.randrange(8) else nbd.CMD_FLAG_FUA

    def write(self, client: nbd.NBD, lower: int, upper: int) -> None:
        new = self.random.randbytes(upper - lower)
        client.pwrite(new, lower, self.flags())
        self.bytes[lower:upper] = new

    def zero(self, client: nbd.NBD, lower: int, upper: int) -> None:
        flags = self.flags()
        if self.random.randrange(2):
            flags |= nbd.CMD_FLAG_NO_HOLE
        if client.can_fast_zero() and not self.random.randrange(3):
            flags |= nbd.CMD_FLAG_FAST_ZERO
        try:
            client.zero(upper - lower, lower, flags)
        except nbd.Error as error:
            if not flags & nbd.CMD_FLAG_FAST_ZERO or error.errnum not in (errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
            return self.check(client, lower, upper)
        self.bytes[lower:upper] = bytes(upper - lower)

    def trim(self, client: nbd.NBD, lower: int, upper: int) -> None:
        """Whole pages of it become zeroes, or all of it is as before. The rest is as before."""
        client.trim(upper - lower, lower, self.flags())
        first = -(-lower // PAGE) * PAGE
        last = upper if upper == len(self.bytes) else upper // PAGE * PAGE
        zeroes = bytes(max(0, last - first))
        if zeroes and client.pread(len(zeroes), first) == zeroes:
            self.bytes[first:last] = zeroes
        self.check(client, lower, upper)

    def check(self, client: nbd.NBD, lower: int, upper: int) -> None:
        check(client.pread(upper - lower, lower), self.bytes[lower:upper], "a read", lower)
