#!/usr/bin/env python3
"""Tests what `Scripts/bench traces` computes, and its client. Prints `PASS name`, `FAIL name: why` and `SKIP name: why`."""

import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import belady  # noqa: E402
import content  # noqa: E402
import fitting  # noqa: E402
import prepared_trace as prepared  # noqa: E402
import throttle  # noqa: E402
import trace_table  # noqa: E402
import traces  # noqa: E402
from checks import expect, status  # noqa: E402
from prepared_trace import MEGABYTE, PAGE, PreparedTrace  # noqa: E402
from replay import Replay, output  # noqa: E402
from trace_results import TraceResults, TraceRow  # noqa: E402


def refusal(act) -> str:
    """What an action says when it refuses; empty if it does not."""
    try:
        act()
    except OSError as error:
        return str(error)
    return ""


def reading() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "small.csv"
        path.write_text("op,offset,length\nR,4096,512\nW,0,1048576\nR,0,1\n")
        found = list(prepared.parsed(prepared.lines(path), path))
        expect("a trace has reads and writes in order", found == [(4096, 512, False), (0, MEGABYTE, True), (0, 1, False)], found)
        trace = PreparedTrace.read("small", path, 2)
        expect("it can be cut short", len(trace.requests) == 2, trace)
        if shutil.which("zstd"):
            subprocess.run(["zstd", "-q", str(path), "-o", str(directory / "packed.csv.zst")], check=True)
            packed = PreparedTrace.read("packed", directory / "packed.csv.zst", None)
            expect("a compressed trace is the same", packed.requests == PreparedTrace.read("small", path, None).requests, packed)
            (directory / "packed.csv.zst").write_bytes(b"no")
            told = refusal(lambda: PreparedTrace.read("packed", directory / "packed.csv.zst", None))
            expect("a broken file is refused", "packed.csv.zst: zstd cannot unpack it" in told, told)
        else:
            print("SKIP compressed traces: there is no zstd")
        for line in ("X,0,512", "R,0", "R,-1,512", "R,0,0", f"R,0,{64 << 20}"):
            path.write_text(f"R,0,512\n{line}\n")
            told = refusal(lambda: PreparedTrace.read("small", path, None))
            expect(f"a line such as {line} is refused with its number", f"{path}, line 2: " in told, told)
        path.write_text("")
        told = refusal(lambda: PreparedTrace.read("small", path, None))
        expect("so is an empty trace", "has no requests" in told, told)
        found = list(prepared.find(directory))
        expect("traces are found by name", found == ["packed", "small"] or found == ["small"], found)
        told = refusal(lambda: prepared.find(None))
        expect("without a directory, it says how to name one", "--traces DIR or FLEXPAGE_TRACES" in told, told)


def choosing() -> None:
    with tempfile.TemporaryDirectory() as name:
        for trace in ("b", "A", "c"):
            Path(name, f"{trace}.csv").write_text("R,0,512\n")
        words = ["--traces", name, "--work", name, "--plugin", name]
        found = [list(traces.chosen(traces.arguments([*words, *more]))) for more in ([], ["--only", "c,b"], ["--quick"])]
        expect("all traces are replayed, or some, or one", found == [["A", "b", "c"], ["c", "b"], ["A"]], found)
        told = refusal(lambda: traces.chosen(traces.arguments([*words, "--only", "A,x"])))
        expect("an unknown trace is refused", told == f"unknown trace: x; {name} has A, b, c", told)
    options = traces.arguments([*words, "--keep", "--only", "A"])
    expect("with --only, --keep replaces some rows", options.is_part)
    expect("without, all", not traces.arguments([*words, "--keep"]).is_part)
    quick = traces.arguments([*words, "--quick"])
    expect("a quick run is short", (quick.turns, quick.requests, quick.limits) == (1, 20_000, [64]), quick)


def packing() -> None:
    last = 900 * MEGABYTE
    trace = PreparedTrace.pack("t", [(last + 512, 512, False), (2 * MEGABYTE - 512, 1024, True), (0, PAGE, False)])
    expect("the image has the megabytes that are touched", trace.size == 4, trace)
    expect("offsets within a megabyte stay, and so do neighbours",
           trace.requests == [(3 * MEGABYTE + 512, 512, False), (2 * MEGABYTE - 512, 1024, True), (0, PAGE, False)], trace)
    expect("pages are counted once", trace.pages == 4, trace)
    one = PreparedTrace.pack("t", [(5 * MEGABYTE, 512, False)])
    expect("a trace that begins late begins at 0", one.requests == [(0, 512, False)] and one.size == 1, one)
    expect("other requests are another trace", one.digest != trace.digest)


def least_misses(requests: list[prepared.Request], capacity: int) -> int:
    """The least number of pages that any cache has to read, by trying everything that a cache can do."""
    states = {frozenset(): 0}
    for group in belady.accesses(requests):
        for page, need in group:
            after: dict[frozenset, int] = {}
            for state, misses in states.items():
                misses += need and page not in state
                choices = state | {page}
                for size in range(min(capacity, len(choices)) + 1):
                    for kept in map(frozenset, itertools.combinations(sorted(choices), size)):
                        after[kept] = min(after.get(kept, 1 << 30), misses)
            states = after
    return min(states.values())


def best_cache() -> None:
    source = random.Random(1)
    shapes = ((0, PAGE), (0, 2 * PAGE), (512, 512), (512, PAGE))
    wrong = []
    for _case in range(200):
        requests = []
        for _request in range(source.randrange(1, 10)):
            begin, length = source.choice(shapes)
            requests.append((source.randrange(5) * PAGE + begin, length, source.random() < 0.4))
        capacity = source.randrange(1, 4)
        found = belady.optimum(requests, capacity).bytes // PAGE
        if found != (least := least_misses(requests, capacity)):
            wrong.append((requests, capacity, found, least))
    expect("OPT reads as little as any cache can", not wrong, wrong[:1])
    found = belady.optimum([(0, 8 * PAGE, False), (0, 16 * PAGE, False), (0, 16 * PAGE, False)], 100)
    expect("pages that a request misses side by side are one read", found == belady.Optimum(2, 16 * PAGE), found)
    found = belady.optimum([(2 * PAGE, PAGE, False), (0, 5 * PAGE, False)], 100)
    expect("and a page in memory parts two reads", found == belady.Optimum(3, 5 * PAGE), found)
    found = belady.optimum([(0, 2 * PAGE, True), (512, PAGE, False)], 100)
    expect("a written page need not be read", found == belady.Optimum(0, 0), found)


def fits() -> None:
    for most in (30, 33):
        for threshold in range(16, 40):
            found = fitting.largest(lambda size, runs: size <= threshold, 28, 16, most)
            if found != min(threshold, most):
                expect(f"the largest memory= is found, for {threshold}", False, found)
    tried: list[tuple[int, int]] = []
    fitting.largest(lambda *asked: tried.append(asked) or asked[0] <= 25, 28, 16, 33)
    expect("downwards, only the last size survives", tried == [(28, 1), (27, 3), (26, 3), (25, 3)], tried)
    found = fitting.largest(lambda size, runs: size <= (31 if runs == 1 else 29), 28, 16, 33)
    expect("upwards, one run is not enough in the end", found == 29, found)
    told = refusal(lambda: fitting.largest(lambda size, runs: False, 28, 16, 33))
    expect("a server that never survives is refused", "memory=16M" in told, told)
    runs = [(1000, 25), (1000, 26), (30_000, 30), (30_000, 31)]
    starved = [fitting.is_starved({"requests": requests, "major_faults": faults}) for requests, faults in runs]
    expect("a server that reads its program again and again is starved", starved == [False, True, False, True], starved)
    expect("a large trace is looked for up to the group's end", fitting.bounds(64, 1 << 20) == (52, 16, 62), fitting.bounds(64, 1 << 20))
    expect("a small one no further than is useful", fitting.bounds(64, 100) == (52, 16, 52), fitting.bounds(64, 100))
    found = [fitting.bounds(64, pages, 57)[0] for pages in (100, 1 << 20)]
    expect("it begins near what another trace has got", found == [52, 57], found)
    mib = MEGABYTE // PAGE
    found = [traces.useful_limits([512, 64, 128], pages) for pages in (40 * mib, 60 * mib, 200 * mib, 900 * mib)]
    expect("groups larger than a trace needs are left out", found == [[64], [64, 128], [64, 128, 512], [64, 128, 512]], found)


class Counted(traces.Bench):
    """A benchmark whose servers do nothing. The plugin reads its program 31 times on a slow volume with more than 50 MiB."""

    def __init__(self, turns: int):
        self.options = Namespace(turns=turns, quick=False)
        self.servers, self.failures, self.asked = list(traces.SERVERS[:2]), 0, []

    def run(self, place, server, memory: int) -> dict:
        self.asked.append(server.key)
        starves = server.key == traces.OURS and place.is_throttled and memory > 50
        return run(1.0) | {"requests": 1000, "major_faults": 31 if starves else 0}


def starving() -> None:
    bench = Counted(4)
    slow = traces.Place(PreparedTrace("a", [], 1, 1, ""), Path(), None, 64, True)
    found = [bench.survives(place, memory, 1) for place in (slow, replace(slow, is_throttled=False)) for memory in (50, 51)]
    expect("memory= is searched on the row's volume", found == [True, False, True, True], found)
    bench.asked.clear()
    told = refusal(lambda: bench.turns(slow, 51))
    expect("a row in most of whose turns the plugin starves is given up", "memory=51M" in told and "31 times" in told, told)
    expect("as soon as that is certain", len(bench.asked) == 6, bench.asked)
    found = {key: len(runs) for key, runs in bench.turns(slow, 50).items()}
    expect("any other row is measured to its end", found == {traces.OURS: 4, "file": 4}, found)


def counters() -> None:
    text = "7:0 Read 12\n7:0 Write 3\n7:0 Total 15\n254:0 Read 99\nTotal 114\n"
    found = [throttle.read_count(text, disk) for disk in ("7:0", "254:0", "8:0")]
    expect("reads are those of the disk", found == [12, 99, 0], found)


def contents() -> None:
    with tempfile.TemporaryDirectory() as name:
        source, work = Path(name, "files"), Path(name, "work")
        (source / "b").mkdir(parents=True)
        work.mkdir()
        (source / "b" / "late").write_bytes(b"late" * 100_000)
        (source / "a").write_bytes(b"early" * 100_000)
        (source / "link").symlink_to("a")
        with (source / "holes").open("wb") as file:
            file.truncate(1 << 20)
        image = content.make_real_image(work, 2, source)
        found = image.read_bytes()
        expected = (b"early" * 100_000 + b"late" * 100_000) * 3
        expect("files lie end to end, are repeated, and holes are left out", found == expected[:2 << 20], found[:20])
        expect("the image has no holes", image.stat().st_blocks * 512 >= 2 << 20, image.stat())
        sample = content.sample(image, work)
        expect("what writes repeat is a file of its own", sample != image and sample.read_bytes() == found, sample)
        (source / "a").write_bytes(b"")
        (source / "b" / "late").unlink()
        told = refusal(lambda: content.make_real_image(work, 1, source))
        expect("a directory without files is refused", "has no files" in told, told)


def run(seconds: float, reads: int = 1000) -> dict:
    return {"seconds": seconds, "disk_reads": reads, "disk_bytes": reads * PAGE, "p50_us": 1000.0, "p99_us": 2000.0}


def row(trace: str, limit: int, is_throttled: bool, **times: list) -> TraceRow:
    return TraceRow(trace, limit, is_throttled, 5000, 30, 25.5, limit - 10, 700, 700 * PAGE,
                    {key.replace("_", "-"): [run(time) if time else None for time in each] for key, each in times.items()})


def some_results() -> TraceResults:
    where = {key: f"<{key}>" for key in ("processor", "memory", "kernel", "disk", "nbdkit", "qemu-nbd", "fio")}
    about = {"date": "2000-01-01", "machine": where, "load": "0.1", "nice": 0, "turns": 3, "most_requests": 5000, "depth": 8,
             "iops": 3000, "mib": 125, "content": "random", "extra": ["dirty=20%"], "is_quick": False}
    results = TraceResults(about)
    results.put(row("b", 64, True, flexpage=[1, 2, 4], file=[2, 2, 2], qemu_none=[9, 9, 9]))
    results.put(row("A", 64, True, flexpage=[1, 1, 1], file=[4, 4, 4], qemu_none=[2, 4, 3]))
    results.put(row("A", 128, False, flexpage=[1, None, 1], file=[1, 3, 1.5], qemu_none=[None, None, None]))
    return results


def computations() -> None:
    results = some_results()
    one, other = results.of(True)
    expect("traces are in alphabetical order", (one.trace, other.trace) == ("A", "b"), results.rows)
    expect("ratios are computed turn by turn, and sorted", other.ratios("file") == [0.5, 1, 2], other.ratios("file"))
    expect("the best peer has the least median", (one.best, other.best) == ("qemu-none", "file"), (one.best, other.best))
    free = results.of(False)[0]
    expect("turns in which one failed are left out", free.ratios("file") == [1, 1.5] and free.best == "file", free)
    expect("the mean is geometric", abs(results.mean(64, True) - 3 ** 0.5) < 1e-9, results.mean(64, True))
    mixed = results.mean(None, False)
    expect("over all groups too", mixed is not None and abs(mixed - 1.25) < 1e-9, mixed)
    expect("there is none of what was not measured", results.mean(512, True) is None)
    results.put(row("A", 64, True, flexpage=[1], file=[7]))
    expect("a row measured again replaces the old one", len(results.rows) == 3 and results.of(True)[0].ratios("file") == [7])
    with tempfile.TemporaryDirectory() as name:
        results.save(Path(name) / "traces.json")
        expect("results are read back as they were written", TraceResults.load(Path(name) / "traces.json") == results)
    part = TraceResults(results.about | {"date": "2000-01-02"}, {"b, 64 MiB": {"memory": 3}})
    whole = part.continuing(results)
    expect("kept rows can be continued", whole.rows == results.rows and whole.fits == part.fits, whole)
    part.about["depth"] = 9
    told = refusal(lambda: part.continuing(results))
    expect("rows of other runs are refused", "depth is 9, but 8 in the kept results" in told, told)


def tables() -> None:
    results = some_results()
    text = trace_table.section(results)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    expect("there is a table for each volume", sum(line.startswith("| trace") for line in lines) == 2, lines)
    expect("the lines of a table have equally many cells", len({line.count("|") for line in lines}) == 1, lines)
    line = next(line for line in lines if line.startswith("| b, 64 MiB"))
    expect("a ratio has its spread", "| **1.00 (0.50–2.00)** |" in line, line)
    expect("OPT stands beside the reads", "| 1.0 k / 1.0 k / 0.7 k |" in line, line)
    expect("the mean has a line", any(line.startswith("| geometric mean, 64 MiB, ") and "**1.73**" in line for line in lines), lines)
    expect("a server that always failed has no ratio", "failed" in next(line for line in lines if line.startswith("| A, 128")), lines)
    expect("the notes say how much of the traces was replayed", "the first 5000 requests" in text, text)
    expect("and with which options", "`dirty=20%`" in text, text)
    told = trace_table.headline(results)
    expect("the README has the mean of the slow volume", "the geometric mean is 1.73 at 64 MiB." in told, told)


class Server:
    """A context manager for nbdkit's file plugin."""

    def __init__(self, image: Path):
        self.socket, self.image = image.with_name("socket"), image

    def __enter__(self) -> "Server":
        self.process = subprocess.Popen(["nbdkit", "-f", "-U", str(self.socket), "file", str(self.image)])
        while not self.socket.exists() and self.process.poll() is None:
            time.sleep(0.002)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def sum_of(trace: PreparedTrace, image: bytes) -> str:
    """The sum of replay.c over a trace that only reads."""
    total = 0
    for number, (offset, length, _) in enumerate(trace.requests):
        value = 14695981039346656037 ^ number
        for byte in image[offset:offset + length]:
            value = (value ^ byte) * 1099511628211 % 2**64
        total += value
    return f"{total % 2**64:016x}"


def replaying() -> None:
    if not (shutil.which("cc") and shutil.which("nbdkit")):
        print("SKIP replays: there is no cc or no nbdkit")
        return
    source = random.Random(2)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        image, other = work / "image", work / "other"
        image.write_bytes(source.randbytes(2 << 20))
        requests = [(source.randrange(4000) * 512, 512 * source.randrange(1, 9), False) for _ in range(300)]
        trace = PreparedTrace.pack("t", requests)
        replay = Replay(Replay.compiled(work), trace.write(work), image, 8)
        with Server(image) as server:
            for depth in (1, 8):
                found = replace(replay, depth=depth).run(server.socket, "--checksum")
                expect(f"a replay reads what the trace says, at depth {depth}", found["sum"] == sum_of(trace, image.read_bytes()), found)
            asked = sum(length for _, length, _ in requests)
            expect("it tells requests and bytes", (found["requests"], found["reads"], found["bytes_asked"]) == (300, 300, asked), found)
            expect("latencies have an order", 0 < found["p50_us"] <= found["p99_us"] <= found["seconds"] * 1e6, found)
            writes = PreparedTrace.pack("w", [(offset, length, True) for offset, length, _ in requests])
            other.write_bytes(b"content")
            found = replace(replay, trace=writes.write(work), content=other).run(server.socket)
            expect("writes are writes", (found["writes"], found["bytes_sent"], "read_p50_us" in found) == (300, asked, False), found)
            expected = bytearray(image.read_bytes())
            for offset, length, _ in requests:
                expected[offset:offset + length] = (b"content" * (length // 7 + 2))[offset % 7:offset % 7 + length]
            expect("a byte that is written depends only on its place", image.read_bytes() == expected)
            beyond = PreparedTrace.pack("x", [(0, 512, False), (2 * MEGABYTE, 512, False), (MEGABYTE, 512, False)])
            told = refusal(lambda: replace(replay, trace=beyond.write(work)).run(server.socket))
            expect("a request that fails ends it", told.startswith("replay: "), told)
            other.write_bytes(b"123")
            told = refusal(lambda: replace(replay, trace=other).run(server.socket))
            expect("a file that is no trace is refused", "not a prepared trace" in told, told)
        told = refusal(lambda: replay.run(server.socket))
        expect("without a server, it says so", told.startswith("replay: "), told)
    told = refusal(lambda: output("sleep", "60", seconds=0.1))
    expect("what hangs is stopped", told == "sleep was not done after 0.1 s, and was stopped", told)


if __name__ == "__main__":
    for check in (reading, choosing, packing, best_cache, fits, starving, counters, contents, computations, tables, replaying):
        check()
    sys.exit(status())
