"""Threads that write an image of a ledger while something happens to what is below."""

import random
import threading
from pathlib import Path

import nbd

from chain import connect
from ledger import SECTOR, Ledger
from programs import Trouble, wait_until

# How many sectors a thread owns in turn: of 6 KiB in the first half of the image, so that threads meet in pages, and of
# 256 KiB in the second.
TURNS = (12, 512)


class Writers:
    """They write while the context lasts, each over a connection of its own. A request that fails is trouble, unless
    `is_over` has been set before."""

    def __init__(self, ledger: Ledger, socket: Path, count: int = 4, seed: int = 1):
        self.ledger = ledger
        self.socket = socket
        self.count = count
        self.is_over = False
        self.troubles: list[str] = []
        self.threads = [
            threading.Thread(target=self.run, args=(number, random.Random(seed * 31 + number))) for number in range(count)
        ]

    def __enter__(self) -> "Writers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """The server has ended. After trouble it may hang instead, and so may the threads."""
        self.is_over = True
        if kind:
            return
        for thread in self.threads:
            thread.join(300)
        if any(thread.is_alive() for thread in self.threads):
            raise Trouble("a request is not answered, though the server has ended")
        self.check()

    def check(self) -> None:
        if self.troubles:
            raise Trouble(f"a request has failed: {self.troubles[0]}")

    def await_flushes(self, count: int) -> None:
        """Waits until so many more flushes have been answered. The first of them may have begun before."""
        goal = self.ledger.flushes + count + 1

        def is_so() -> bool:
            self.check()
            return self.ledger.flushes >= goal
        wait_until("flushes are not answered", is_so, 300)

    def run(self, number: int, draw: random.Random) -> None:
        try:
            client = connect(self.socket)
            while True:
                self.step(client, number, draw)
        except nbd.Error as error:
            if not self.is_over:
                self.troubles.append(str(error))

    def step(self, client: nbd.NBD, number: int, draw: random.Random) -> None:
        ledger, kind = self.ledger, draw.randrange(40)
        if kind == 0:
            covered = ledger.begin_flush()
            client.flush()
            return ledger.end_flush(covered)
        first, count = self.sectors(number, draw)
        is_forced = not draw.randrange(12)
        flags = nbd.CMD_FLAG_FUA if is_forced else 0
        generation = ledger.begin(first, count, is_zero=kind < 5)
        if kind < 5:
            client.zero(count * SECTOR, first * SECTOR, flags | draw.choice((0, nbd.CMD_FLAG_NO_HOLE)))
        else:
            client.pwrite(ledger.data(first, count, generation), first * SECTOR, flags)
        ledger.end(first, count, generation, is_forced)

    def sectors(self, number: int, draw: random.Random) -> tuple[int, int]:
        """Sectors of this thread: the first, and how many."""
        half = self.ledger.sectors // 2
        part = draw.randrange(2)
        turn = TURNS[part]
        begin = part * half + (draw.randrange(half // turn // self.count) * self.count + number) * turn
        count = draw.randint(1, turn)
        return begin + draw.randint(0, turn - count), count
