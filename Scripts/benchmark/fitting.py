"""The largest memory= with which a server survives in a memory group, and is not starved."""

from typing import Callable

from memory_group import MemoryGroup


class Killed(OSError):
    """The kernel has killed a server because its memory group had no memory left."""

    def __init__(self, title: str, group: MemoryGroup):
        super().__init__(f"{title} needs more than {group.limit >> 20} MiB and was killed")


class Starved(OSError):
    """A server has read its own program again and again."""

    def __init__(self, memory: int, times: int):
        super().__init__(f"With memory={memory}M, the plugin had to read its own program {times} times")


# MiB of a group that the search leaves at the least, and where it begins. A server at rest has 12 MiB beside memory=.
LEAST_BESIDE, BESIDE_AT_FIRST = 2, 12
# Runs that a server must survive.
RUNS = 3


# For so many requests, a server may read its own program once. So many reads are allowed in any case, because each part of the
# program is read when it is used for the first time.
REQUESTS_OF_READ, LEAST_READS = 1000, 25


def is_starved(run: dict) -> bool:
    """Whether a server had so little beside memory= that it read its own program again and again. It survives so, but each
    such read pushes out other parts of the program, and here it takes a megabyte or more, because the disk reads ahead by 8.
    With 53 MiB of 64, runs of wsrch that had 47 to 210 such reads took 1.1 to 1.8 times as long as one with 24.
    """
    return run["major_faults"] > max(run["requests"] / REQUESTS_OF_READ, LEAST_READS)


def bounds(limit: int, pages: int, near: int | None = None) -> tuple[int, int, int]:
    """Where the search begins, and its least and largest result, in MiB, for a trace that touches so many pages. It begins
    at `near`, what was found for another trace, if that is given.

    More memory than a trace can use is not looked for: all of its pages, and a tenth for tables.
    """
    first = max(limit - BESIDE_AT_FIRST, 1)
    useful = (pages * 4096 >> 20) * 11 // 10 + 2
    most = min(max(first, useful), limit - LEAST_BESIDE)
    return min(near or first, most), max(limit // 4, 1), most


def largest(survives: Callable[[int, int], bool], begin: int, least: int, most: int) -> int:
    """The largest size from `least` to `most` that survives RUNS runs. `survives` takes a size and a number of runs.

    It looks upwards or downwards from `begin`, because a server that does not survive is soon dead, and one that does takes
    its time. Upwards, a single run decides at first.
    """
    size = begin
    if survives(size, 1):
        while size < most and survives(size + 1, 1):
            size += 1
    else:
        size -= 1
    while size >= least:
        if survives(size, RUNS):
            return size
        size -= 1
    raise OSError(f"the plugin does not survive with memory={least}M")
