"""What the kernel does for a request that misses: its context switches, wake-ups, interrupts and system calls, and the
processor time that it takes, client included. The plugin beside other servers with the same amount of memory."""

import argparse
import contextlib
import os
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import machine
from cells import cells
from fio import client, fio, seeded, speed
from memory_group import MemoryGroup
from rows import anywhere
from running import Running
from servers import FLEXPAGE, PEERS, Server, Setting
from session import make_image, say
from words import add_places, choice, numbers, positive

# Trace points by the title of their column.
EVENTS = {
    "switches": ("sched:sched_switch",),
    "wake-ups": ("sched:sched_wakeup",),
    "from one processor to the other": ("sched:sched_migrate_task",),
    "interrupts between processors": ("irq_vectors:reschedule_entry", "irq_vectors:call_function_single_entry"),
    "interrupts of devices": ("irq:irq_handler_entry",),
    "futex": ("syscalls:sys_enter_futex",),
    "send": ("syscalls:sys_enter_sendto", "syscalls:sys_enter_sendmsg", "syscalls:sys_enter_write",
             "syscalls:sys_enter_writev"),
    "receive": ("syscalls:sys_enter_recvfrom", "syscalls:sys_enter_recvmsg", "syscalls:sys_enter_read"),
    "poll": ("syscalls:sys_enter_poll", "syscalls:sys_enter_ppoll", "syscalls:sys_enter_epoll_wait"),
    "reads of the image": ("block:block_rq_issue",),
}
SERVERS = {server.key: server for server in (FLEXPAGE, PEERS["file"], PEERS["qemu-none"], PEERS["null"])}
SPREADS = {"uniform": "random", "zipf09": "zipf:0.9"}
# The fields of /proc/stat that are not idle time, by the title of their column.
TIMES = {"user": (0, 1), "system": (2,), "interrupts": (5, 6), "stolen": (7,)}

# Requests that wait at a time, on all connections.
REQUESTS = 16

# What perf runs: it sleeps, and prints the processor time of the machine before that and after it.
WATCHED = ("sh", "-c", 'head -n 1 /proc/stat; sleep "$0"; head -n 1 /proc/stat')


@dataclass(frozen=True)
class Load:
    spread: str
    connections: int
    depth: int

    @property
    def title(self) -> str:
        return f"{self.spread}, {self.connections} × depth {self.depth}"

    def options(self, seconds: int, warm_up: int) -> tuple[str, ...]:
        return (*anywhere("randread", self.depth, spread=SPREADS[self.spread]), f"--numjobs={self.connections}",
                "--group_reporting", "--time_based", f"--runtime={seconds + 1}", f"--ramp_time={warm_up}")


class Counting:
    """Counts events and processor time of the whole machine, in a thread, for some seconds after a warm-up."""

    def __init__(self, seconds: int, warm_up: int):
        self.seconds, self.warm_up = seconds, warm_up
        self.thread = threading.Thread(target=self.count)
        self.result: dict[str, float] = {}
        self.why_not = ""

    def count(self) -> None:
        time.sleep(self.warm_up + 0.5)
        names = ",".join(name for group in EVENTS.values() for name in group)
        words = ("perf", "stat", "--all-cpus", "--field-separator", ";", "--event", names, *WATCHED, str(self.seconds))
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            self.why_not = f"perf cannot be started: {error.strerror}"
            return
        counted = events(done.stderr)
        if missing := [name for group in EVENTS.values() for name in group if name not in counted]:
            self.why_not = f"perf has not counted {', '.join(missing)}: {done.stderr.strip()[:400]}"
            return
        # perf's own start and end are not among these.
        before, after = (times(line) for line in done.stdout.splitlines() if line.startswith("cpu "))
        self.result = {title: sum(counted[name] for name in names) for title, names in EVENTS.items()}
        self.result |= {title: after[title] - before[title] for title in TIMES}

    def __enter__(self) -> "Counting":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()

    def per_request(self, rate: float) -> dict[str, float]:
        """Raises OSError if perf has failed."""
        if not self.result:
            raise OSError(f"{self.why_not}; it needs root, x86 and a kernel with CONFIG_FTRACE")
        requests = rate * self.seconds
        return {title: figure / requests * (1e6 if title in TIMES else 1) for title, figure in self.result.items()}


def events(text: str) -> dict[str, float]:
    """The counts in perf's lines `count;unit;event;…`."""
    lines = [line.split(";") for line in text.splitlines()]
    return {fields[2]: float(fields[0]) for fields in lines if len(fields) > 3 and fields[0].isdecimal()}


def times(line: str) -> dict[str, float]:
    """The seconds of processor time that the machine has used so far, from the first line of /proc/stat."""
    fields = [int(word) / os.sysconf("SC_CLK_TCK") for word in line.split()[1:]]
    return {title: sum(fields[index] for index in indexes) for title, indexes in TIMES.items()}


def run(server: Server, load: Load, image: Path, options: argparse.Namespace, seed: int) -> dict[str, float]:
    machine.drop_caches()
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(MemoryGroup(options.limit << 20)) if server.is_grouped else None
        setting = Setting(image, options.work / "socket", options.plugin, options.limit << 20, "random", tuple(options.set))
        running = stack.enter_context(Running(server, setting, group, options.work / "server.log"))
        counting = stack.enter_context(Counting(options.seconds, options.fill))
        job = fio(*client("load", running.uri), *load.options(options.seconds, options.fill), *seeded(seed))[0]
        stack.pop_all().close()
    rate = speed(job, "IOPS")
    return {"rate": rate} | counting.per_request(rate)


def measure(options: argparse.Namespace) -> list[str]:
    """The tables of all loads, in Markdown."""
    image = make_image(options.work, options.image)
    lines = []
    for load in (Load(spread, count, REQUESTS // count) for spread in options.spreads for count in options.connections):
        say(load.title)
        runs: dict[str, list[dict[str, float]]] = {key: [] for key in options.servers}
        for turn in range(options.turns):
            for key in options.servers:
                runs[key].append(run(SERVERS[key], load, image, options, turn))
                say(f"  {key}: {runs[key][-1]['rate']:.0f}/s")
        medians = {key: {title: statistics.median(each[title] for each in of) for title in of[0]}
                   for key, of in runs.items()}
        lines += [f"{load.title}:", "", *table(medians)]
    return lines


def table(medians: dict[str, dict[str, float]]) -> list[str]:
    rows = [("requests a second", *(f"{each['rate']:,.0f}" for each in medians.values()))]
    rows += [(f"{title}, µs", *(f"{each[title]:.1f}" for each in medians.values())) for title in TIMES]
    rows += [(title, *(f"{each[title]:.2f}" for each in medians.values())) for title in EVENTS]
    return cells("for a request", *(SERVERS[key].title for key in medians), rows=rows)


def divisors(words: str) -> list[int]:
    """Parses numbers of connections. Each has the same number of the requests."""
    counts = numbers(words)
    for count in counts:
        if REQUESTS % count != 0:
            raise argparse.ArgumentTypeError(f"{count} connections cannot share {REQUESTS} requests; expected 1, 2, 4, 8 or 16")
    return counts


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench events", description=__doc__)
    add = parser.add_argument
    add("--turns", type=positive, default=3, metavar="N", help="runs of each server (3)")
    add("--seconds", type=positive, default=5, metavar="S", help="seconds that are counted (5)")
    add("--fill", type=positive, default=10, metavar="S", help="seconds before them (10)")
    add("--servers", type=choice(list(SERVERS)), default=list(SERVERS), metavar="SERVER,…", help=", ".join(SERVERS))
    add("--spreads", type=choice(list(SPREADS)), default=["uniform"], metavar="SPREAD,…", help=", ".join(SPREADS))
    add("--connections", type=divisors, default=[1, 4], metavar="N,…", help=f"connections, which share {REQUESTS} requests (1,4)")
    add("--limit", type=positive, default=192, metavar="MIB", help="the memory of each server (192)")
    add("--image", type=positive, default=2048, metavar="MIB", help="the size of the image (2048)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="another key for the plugin")
    add_places(parser)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    with machine.reserved(options.work):
        print("\n".join(measure(options)))
    return 0
