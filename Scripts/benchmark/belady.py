"""What the best possible cache would read: Belady's OPT, which knows the future, at the granularity of pages.

It caches pages of 4 KiB and always gives up the page whose next use is furthest away. It reads only what a request
needs, so it does not read ahead. A write of a whole page needs no read. So a page that is overwritten before it is read
again is worth nothing, and a page that is worth nothing need not be cached.
"""

import heapq
from dataclasses import dataclass
from typing import Iterator

from prepared_trace import PAGE, Request, parts

NEVER = 1 << 62


@dataclass(frozen=True)
class Optimum:
    # Each run of neighbouring pages that a request misses is one read.
    reads: int
    bytes: int


# A page's number, and whether its old bytes are needed.
Access = tuple[int, bool]


def accesses(requests: list[Request]) -> Iterator[list[Access]]:
    """The page accesses of each request."""
    for request in requests:
        offset, length, is_write = request
        yield [(page, not is_write or page * PAGE < offset or (page + 1) * PAGE > offset + length)
               for page in parts(request, PAGE)]


def next_uses(pages: list[int], needs: list[bool]) -> list[int]:
    """For each access, when its page's bytes are needed next; NEVER if they are overwritten first."""
    upcoming: dict[int, int] = {}
    found = [NEVER] * len(pages)
    for time in range(len(pages) - 1, -1, -1):
        found[time] = upcoming.get(pages[time], NEVER)
        upcoming[pages[time]] = time if needs[time] else NEVER
    return found


def optimum(requests: list[Request], capacity: int) -> Optimum:
    """What a cache of so many pages reads at the least."""
    grouped = list(accesses(requests))
    pages = [page for group in grouped for page, _ in group]
    uses = next_uses(pages, [need for group in grouped for _, need in group])
    cache = Cache(capacity, pages)
    reads = missed = time = 0
    for group in grouped:
        was_missed = False
        for page, need in group:
            is_missed = need and page not in cache.until
            missed += is_missed
            reads += is_missed and not was_missed
            was_missed = is_missed
            cache.put(page, uses[time])
            time += 1
    return Optimum(reads, missed * PAGE)


class Cache:
    """Pages and their next uses. `pages` has the page of each access.

    No two accesses have the same time. So a use in the heap names its page, and one that has passed is smaller than all
    uses to come: the largest one is never out of date.
    """

    def __init__(self, capacity: int, pages: list[int]):
        self.capacity, self.pages = capacity, pages
        self.until: dict[int, int] = {}
        self.heap: list[int] = []

    def put(self, page: int, use: int) -> None:
        """Caches a page until its next use, or until another page is needed sooner."""
        if use == NEVER:
            self.until.pop(page, None)
            return
        self.until[page] = use
        heapq.heappush(self.heap, -use)
        if len(self.until) > self.capacity:
            del self.until[self.pages[-heapq.heappop(self.heap)]]
