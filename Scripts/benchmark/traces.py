"""Traces of real block devices, replayed over NBD: this plugin and other servers with the same amount of memory, on a
volume as slow as a cloud's and on the disk as it is."""

import argparse
import contextlib
import functools
from dataclasses import dataclass, replace
from pathlib import Path

import content
import machine
import report
from belady import Optimum, optimum
from fitting import BESIDE_AT_FIRST, REQUESTS_OF_READ, RUNS, Killed, Starved, bounds, is_starved, largest
from loop_device import LoopDevice
from memory_group import MemoryGroup
from prepared_trace import PAGE, PreparedTrace, pick
from replay import Replay
from running import Running
from servers import FILE, FLEXPAGE, QEMU_NONE, QEMU_WRITEBACK, Server, Setting
from session import say
from throttle import Throttle
from trace_results import CONTENTS, OURS, TraceResults, TraceRow
from words import absolute, add_output, choice, numbers, positive

SERVERS = (replace(FLEXPAGE, key=OURS, title="Flexpage"), FILE, QEMU_NONE, QEMU_WRITEBACK)
PEERS = [server.key for server in SERVERS[1:]]
# The volumes, and whether they are throttled.
VOLUMES = {"slow": True, "free": False}
LIMITS = [64, 128, 512]
REQUESTS, QUICK_REQUESTS = 250_000, 20_000


@dataclass(frozen=True)
class Place:
    """Where a trace is replayed: its image, a memory group of so many MiB, and whether the disk is throttled."""

    trace: PreparedTrace
    image: Path
    replay: Replay
    limit: int
    is_throttled: bool


class Bench:
    def __init__(self, options: argparse.Namespace, results: TraceResults):
        self.options, self.results = options, results
        self.servers = [server for server in SERVERS if server.key in (OURS, *options.peers)]
        self.program = Replay.compiled(options.work)
        self.failures = 0

    def measure(self, traces: dict[str, Path]) -> None:
        for name, path in traces.items():
            trace = PreparedTrace.read(name, path, self.options.requests)
            say(f"\n{name}: {len(trace.requests)} requests, an image of {trace.size} MiB, of which "
                f"{trace.pages * PAGE >> 20} MiB are touched")
            image = content.make(self.options.content, self.options.work, trace.size)
            records = trace.write(self.options.work)
            try:
                self.measure_with(trace, image, records)
            finally:
                records.unlink()

    def measure_with(self, trace: PreparedTrace, image: Path, records: Path) -> None:
        sample = content.sample(image, self.options.work)
        try:
            self.measure_trace(trace, image, Replay(self.program, records, sample, self.options.depth))
        finally:
            sample.unlink()

    def measure_trace(self, trace: PreparedTrace, image: Path, replay: Replay) -> None:
        best = functools.cache(lambda memory: optimum(trace.requests, (memory << 20) // PAGE))
        for limit in useful_limits(self.options.limits, trace.pages):
            for volume in self.options.volumes:
                place = Place(trace, image, replay, limit, VOLUMES[volume])
                self.results.put(self.row(place, best))
                report.write_traces(self.results, self.options)

    def row(self, place: Place, best: "functools._lru_cache_wrapper[Optimum]") -> TraceRow:
        memory = self.fitted(place)
        runs = None
        while runs is None:
            say(f"  {place.limit} MiB, {'throttled' if place.is_throttled else 'the disk as it is'}, memory={memory}M")
            try:
                runs = self.turns(place, memory)
            except (Killed, Starved) as error:
                say(f"  {error}. All turns of the row begin again with 1 MiB less.")
                memory -= 1
                self.remember(place, memory)
        least = best(memory)
        trace = place.trace
        row = TraceRow(trace.name, place.limit, place.is_throttled, len(trace.requests), trace.size,
                       trace.pages * PAGE / 2**20, memory, least.reads, least.bytes, runs)
        if row.best:
            ratios = row.ratios(row.best)
            say(f"    best peer ({row.best}) / Flexpage {ratios[0]:.2f} {ratios[len(ratios) // 2]:.2f} {ratios[-1]:.2f}")
        return row

    def turns(self, place: Place, memory: int) -> dict[str, list[dict | None]]:
        """The runs of all servers, in turns, each of which begins with another server. Raises Killed if the plugin was, and
        Starved if it was in most turns: a few do not move the median.
        """
        runs: dict[str, list[dict | None]] = {server.key: [] for server in self.servers}
        ours = runs[OURS]
        for turn in range(self.options.turns):
            begin = turn % len(self.servers)
            for server in (*self.servers[begin:], *self.servers[:begin]):
                runs[server.key].append(self.attempt(place, server, memory))
            if not self.options.quick and sum(map(is_starved, ours)) * 2 > self.options.turns:
                raise Starved(memory, ours[-1]["major_faults"])
        return runs

    def attempt(self, place: Place, server: Server, memory: int) -> dict | None:
        """One run; None if a peer fails."""
        try:
            run = self.run(place, server, memory)
        except OSError as error:
            if server.key == OURS:
                raise
            say(f"    {server.title}: {error}")
            self.failures += 1
            return None
        say(f"    {server.title:20}{run['seconds']:8.2f} s{run['disk_reads']:9} reads{run['disk_bytes'] >> 20:7} MiB"
            f"   p50 {run['p50_us'] / 1000:7.2f} ms   p99 {run['p99_us'] / 1000:7.1f} ms")
        return run

    def run(self, place: Place, server: Server, memory: int) -> dict:
        """One replay on a new server with cold caches."""
        machine.drop_caches()
        machine.touch_memory(place.limit << 20)
        options = self.options
        with contextlib.ExitStack() as stack:
            group = stack.enter_context(MemoryGroup(place.limit << 20))
            image = stack.enter_context(LoopDevice(place.image)) if place.is_throttled else place.image
            throttle = stack.enter_context(
                Throttle(image, options.iops, options.mib << 20) if place.is_throttled else Throttle.unlimited(image))
            grouped = replace(server, command=lambda setting: throttle.starting(server.command(setting)))
            setting = Setting(image, options.work / "socket", options.plugin, place.limit << 20, "normal",
                              tuple(options.set), memory << 20)
            try:
                running = stack.enter_context(Running(grouped, setting, group, options.work / "server.log"))
                before = throttle.usage() | running.usage()
                outcome = place.replay.run(setting.socket)
                after = throttle.usage() | running.usage()
            except OSError as error:
                raise Killed(server.title, group) if group.kills() else error
            return outcome | {key: after[key] - before[key] for key in after} | group.usage()

    def fitted(self, place: Place) -> int:
        """The largest memory= with which the plugin survives, in MiB. It is searched for once, on the row's own volume: where
        reads limit it, more is read ahead, which fills memory that the same trace leaves empty on another.
        """
        known = self.results.fits.get(fit_key(place))
        if known and known | self.fit_settings(place) == known:
            return known["memory"]
        if self.options.quick:
            return place.limit - BESIDE_AT_FIRST
        say(f"  {place.limit} MiB: searching the largest memory= that survives {RUNS} runs")
        near = [fit["memory"] for key, fit in self.results.fits.items() if f", {place.limit} MiB" in key]
        found = largest(functools.partial(self.survives, place), *bounds(place.limit, place.trace.pages, *near[-1:]))
        self.remember(place, found)
        return found

    def survives(self, place: Place, memory: int, runs: int) -> bool:
        try:
            for _run in range(runs):
                run = self.run(place, self.servers[0], memory)
                if is_starved(run):
                    raise Starved(memory, run["major_faults"])
        except (Killed, Starved) as error:
            say(f"    {error}")
            return False
        say(f"    memory={memory}M: survived {runs}")
        return True

    def fit_settings(self, place: Place) -> dict:
        """With what a found memory= is valid."""
        return {"digest": place.trace.digest, "depth": self.options.depth, "extra": self.options.set,
                "requests_of_read": REQUESTS_OF_READ}

    def remember(self, place: Place, memory: int) -> None:
        self.results.fits[fit_key(place)] = {"memory": memory} | self.fit_settings(place)


def fit_key(place: Place) -> str:
    [volume] = (name for name, is_throttled in VOLUMES.items() if is_throttled == place.is_throttled)
    return f"{place.trace.name}, {place.limit} MiB, {volume}"


def useful_limits(limits: list[int], pages: int) -> list[int]:
    """The memory groups that differ for a trace: up to the smallest one in which all its pages fit."""
    limits = sorted(limits)
    fitting = [limit for limit in limits if pages * PAGE <= (limit - BESIDE_AT_FIRST << 20) * 10 // 11]
    return [limit for limit in limits if not fitting or limit <= fitting[0]]


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench traces", description=__doc__)
    add = parser.add_argument
    add("--traces", type=absolute, metavar="DIR", help="where the traces are: op,offset,length in .csv.zst or .csv files")
    add("--only", type=lambda word: word.split(","), metavar="TRACE,…", help="some of the traces")
    add("--quick", action="store_true",
        help=f"one trace, {QUICK_REQUESTS} requests, 64 MiB, one turn, no search: half a minute")
    add("--turns", type=positive, metavar="N", help="runs of each server in each row (5)")
    add("--requests", type=positive, metavar="N", help=f"requests of each trace at most ({REQUESTS})")
    add("--limits", type=numbers, metavar="MIB,…", help="memory groups (64,128,512)")
    add("--peers", type=choice(PEERS), default=PEERS, metavar="PEER,…", help=f"{','.join(PEERS)} (all)")
    add("--volumes", type=choice(list(VOLUMES)), default=list(VOLUMES), metavar="VOLUME,…", help="slow,free (both)")
    add("--iops", type=positive, default=3000, metavar="N", help="reads a second that the slow volume allows (3000)")
    add("--mib", type=positive, default=125, metavar="MIB", help="MiB a second that the slow volume allows (125)")
    add("--depth", type=positive, default=8, metavar="N", help="requests under way (8)")
    add("--content", choices=list(CONTENTS), default="random",
        help="what is in the images: random bytes, or files of this machine (random)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="another key for the plugin")
    add("--search", action="store_true", help="search memory= again where it is known from earlier sessions")
    add("--show", type=absolute, metavar="DIR", help="do not measure; write the table and the chart again from results")
    add_output(parser, keep="; with --only, --limits or --volumes, replace only those rows")
    options = parser.parse_args(words)
    options.is_part = options.keep and not options.quick and bool(
        options.only or options.limits or len(options.volumes) < len(VOLUMES))
    options.turns = options.turns or (1 if options.quick else 5)
    options.requests = options.requests or (QUICK_REQUESTS if options.quick else REQUESTS)
    options.limits = options.limits or (LIMITS[:1] if options.quick else LIMITS)
    return options


def chosen(options: argparse.Namespace) -> dict[str, Path]:
    """The traces to replay. Raises OSError if there are none."""
    traces = pick(options.traces, options.only)
    return dict(list(traces.items())[:1]) if options.quick else traces


def begun(options: argparse.Namespace) -> TraceResults:
    """Results without rows, or with those of earlier sessions if only some are to be replaced."""
    results = TraceResults(machine.about(options.work) | {
        "turns": options.turns, "most_requests": options.requests, "depth": options.depth, "iops": options.iops,
        "mib": options.mib, "content": options.content, "extra": options.set, "is_quick": options.quick,
    })
    for directory in (report.KEPT, report.directory(options)):
        if (directory / "traces.json").exists() and not options.search:
            kept = TraceResults.load(directory / "traces.json")
            results.fits |= kept.fits
    if options.is_part and (report.KEPT / "traces.json").exists():
        kept = TraceResults.load(report.KEPT / "traces.json")
        return results.continuing(replace(kept, fits={}) if options.search else kept)
    return results


def main(words: list[str]) -> int:
    options = arguments(words)
    if options.show:
        report.write_traces(TraceResults.load(options.show / "traces.json"), options, is_complete=True)
        return 0
    traces = chosen(options)
    if why_not := MemoryGroup.why_not() or Throttle.why_not():
        raise OSError(why_not)
    with machine.reserved(options.work):
        bench = Bench(options, begun(options))
        bench.measure(traces)
    report.write_traces(bench.results, options, is_complete=True)
    return 1 if bench.failures else 0
