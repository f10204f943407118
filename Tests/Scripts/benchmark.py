#!/usr/bin/env python3
"""Tests what Scripts/bench computes from its measurements: ratios, targets, tables, and its part of the README.
Prints `PASS name` and `FAIL name: why`."""

import json
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import events  # noqa: E402
import report  # noqa: E402
from checks import expect, status  # noqa: E402
from conditions import Conditions, Footnotes  # noqa: E402
from load import Length, load_options  # noqa: E402
from results import Comparison, Results, RowResult  # noqa: E402
from rows import ROWS  # noqa: E402
from servers import PEERS, RAW  # noqa: E402
from session import Plan  # noqa: E402
from table import notes, table, targets  # noqa: E402

USUAL = Conditions(date="2000-01-01", load="0.1", kernel="<kernel> & more", margin=20, pairs=1, seconds=1, warm_up=1, fill=2, extra=("dirty=20%",))
LATER = replace(USUAL, date="2000-01-02", load="3.5", extra=())


def compared(peer: str, *pairs: tuple[float, float]) -> Comparison:
    return Comparison(peer, [({"value": ours}, {"value": theirs}) for ours, theirs in pairs])


def result(key: str, *comparisons: Comparison, conditions: Conditions = USUAL) -> RowResult:
    return RowResult(next(row for row in ROWS if row.key == key), conditions, list(comparisons))


def verdicts(key: str, *comparisons: Comparison) -> list[tuple[bool, float]]:
    return [(verdict.is_met, round(verdict.measured, 6)) for verdict in result(key, *comparisons).verdicts]


def ratios() -> None:
    three = compared("file", (300, 100), (100, 100), (400, 200))
    expect("ratios are computed pair by pair, and sorted", three.ratios == [1, 2, 3], three.ratios)
    expect("the median is that of the ratios", three.ratio == 2, three.ratio)
    expect("a peer that keeps nothing has a finite ratio", compared("file", (1, 0)).ratio < 1e6)
    row = result("uniform-16", compared("file", (1, 1), (5, 1)), compared("qemu-none", (9, 1)))
    expect("this plugin's figure is the median of all its runs", row.ours == 5, row.ours)


def goals() -> None:
    found = verdicts("zipf09-16", compared("file", (150, 100)), compared("qemu-none", (300, 100)))
    expect("the best peer is the one with the least ratio", found == [(True, 1.5)], found)
    found = verdicts("zipf09-16", compared("file", (139, 100)))
    expect("a target is not reached below its ratio", found == [(False, 1.39)], found)
    found = verdicts("write-uniform", compared("file-cache", (1, 100)), compared("file", (180, 100)))
    expect("a server that does not keep a flush's promise is not a peer for writes", found == [(True, 1.8)], found)
    found = verdicts("flush-8", compared("null", (1, 100)), compared("file", (2, 1)))
    expect("the null plugin is not the best peer", found == [(True, 2)], found)
    found = verdicts("zipf11-16", compared("memory", (95, 100)), compared("file", (120, 100)))
    expect("the memory plugin has its own target, and is not the best peer", found == [(True, 1.2), (True, 0.95)], found)
    found = verdicts("scan", compared("file", (0.94, 0.2)))
    expect("what a hot set keeps is compared with itself", found == [(False, 0.94)], found)
    found = verdicts("uniform-16", compared("file-cache", (100, 1)))
    expect("a target whose peer was not measured is not judged", found == [], found)


def rows() -> None:
    keys = [row.key for row in ROWS]
    expect("rows have keys of their own", len(keys) == len(set(keys)), keys)
    unknown = [peer for row in ROWS for peer in row.peers if peer not in PEERS and peer != RAW]
    expect("rows name existing servers", unknown == [], unknown)
    named = [goal.over for row in ROWS for goal in row.goals if goal.over not in (*row.peers, "best", "itself")]
    expect("targets name peers of their rows", named == [], named)


def beside() -> None:
    row = next(row for row in ROWS if row.key == "beside-rated")
    running = type("Running", (), {"uri": "nbd://"})()
    options = load_options(row, running, Length(seconds=3, warm_up=2, fill=10), seed=1)
    begin = options.index("--name=beside")
    own, other = options[:begin], options[begin:]
    expect("a parallel client is a job of its own", "--rw=randread" in own and "--rw=randwrite" in other, options)
    expect("and runs as long", "--runtime=3" in own and "--runtime=3" in other, options)
    expect("a row with one that writes is a row of writes", row.writes)
    alone = next(row for row in ROWS if row.key == "hits-4k")
    options = load_options(alone, running, Length(seconds=3, warm_up=2, fill=10), seed=1)
    expect("the others have one job", not any("--name" in option for option in options), options)


def connections() -> None:
    by_key = {row.key: row for row in ROWS}
    one, four = by_key["zipf09-16"], by_key["zipf09-4x4"]
    expect("a row of four connections has the same load", {*four.fio} - {*one.fio}
           == {"--iodepth=4", "--numjobs=4", "--group_reporting"}, four.fio)
    expect("and as many requests at once", "depth 16" in one.title and "4 connections of depth 4" in four.title, four.title)
    expect("and asks for as much as the best peer", [(goal.minimum, goal.over) for goal in four.goals] == [(1.0, "best")])
    expect("all such rows have a title of their own", len({row.title for row in ROWS}) == len(ROWS))


def counted_events() -> None:
    text = "100;;sched:sched_switch;9;100.00;;\n<not counted>;;irq:irq_handler_entry;0;0;;\n\n7;;sched:sched_wakeup;9;100;;\n"
    found = events.events(text)
    expect("events are what perf has counted", found == {"sched:sched_switch": 100, "sched:sched_wakeup": 7}, found)
    counting = events.Counting(seconds=2, warm_up=0)
    counting.result = dict.fromkeys(events.EVENTS, 300.0) | dict.fromkeys(events.TIMES, 0.5)
    shares = counting.per_request(100)
    expect("they are divided by the requests of the same time", shares["switches"] == 1.5, shares)
    expect("processor time is in microseconds", shares["system"] == 2500, shares)
    found = events.times("cpu  100 200 300 4 5 600 700 800 0 0")
    ticks = os.sysconf("SC_CLK_TCK")
    expect("processor time that was not idle has its kinds", {title: round(found[title] * ticks) for title in found}
           == {"user": 300, "system": 300, "interrupts": 1300, "stolen": 800}, found)
    counting.result, counting.why_not = {}, "perf has not counted anything"
    try:
        counting.per_request(1)
        expect("a failure of perf is one", False)
    except OSError as error:
        expect("a failure of perf is one", "anything; it needs root" in str(error), error)
    shown = events.table({"file": {"rate": 12345} | shares})
    expect("a table has a line for each figure", len(shown) == 2 + 1 + len(events.TIMES) + len(events.EVENTS) + 1, shown)
    expect("and names the server", "file plugin" in shown[0] and "12,345" in shown[2], shown)


def lengths() -> None:
    length = Length(seconds=3, warm_up=2, fill=10)
    ramps = {row.key: length.options(row)[-1] for row in ROWS if not row.is_one_pass}
    filling = sorted(key for key, ramp in ramps.items() if ramp == "--ramp_time=10")
    at_random = sorted(row.key for row in ROWS if row.key.startswith(("uniform", "zipf", "write", "mix")))
    expect("rows at random in a large image fill caches before they count", filling == at_random, ramps)
    expect("and the others do not", set(ramps.values()) == {"--ramp_time=10", "--ramp_time=2"}, ramps)


def some_results() -> Results:
    machine = {key: f"<{key}> & more" for key in ("processor", "memory", "disk", "nbdkit", "qemu-nbd", "fio")}
    about = {"machine": machine, "limit_mib": 192, "image_mib": 2048, "cached_image_mib": 96, "has_groups": True}
    raw = Comparison(RAW, [({"value": 500}, {"value": 1000, "depth": 8})])
    return Results(about, [
        result("uniform-16", compared("file", (2000, 1000)), compared("qemu-none", (1000, 4000))),
        result("sequential", compared("file", (500, 400)), raw),
        result("scan", compared("file", (0.99, 0.5))),
    ])


def outputs() -> None:
    results = some_results()
    lines = table(results).splitlines()
    expect("the table has a line per row", len(lines) == 2 + len(results.rows), lines)
    expect("the lines of the table have equally many cells", len({line.count("|") for line in lines}) == 1, lines)
    aims = [line for line in targets(results).splitlines() if line.startswith("| ") and "target" not in line]
    expect("each target has a line, and says whether it is reached", [line.split("|")[-2].strip() for line in aims]
           == ["reached", "short", "reached", "short", "reached"], aims)


def parts() -> None:
    kept, part = some_results(), some_results()
    whole = part.continuing(kept)
    whole.put(result("sequential", compared("file", (900, 400)), conditions=LATER))
    whole.put(result("mix", compared("file", (3, 2)), conditions=LATER))
    keys = [each.row.key for each in whole.rows]
    expect("rows are replaced and added, in the order of a whole session", keys == ["uniform-16", "sequential", "mix", "scan"],
           keys)
    expect("with their new figures", whole.rows[1].ours == 900 and whole.rows[0].ours == 1500)
    found = [each.conditions for each in whole.rows]
    expect("and each with what it was measured with", found == [USUAL, LATER, LATER, USUAL], found)
    for what, about in (("limit_mib", part.about | {"limit_mib": 64}),
                        ("disk", part.about | {"machine": part.about["machine"] | {"disk": "another"}}),
                        ("nbdkit", part.about | {"machine": part.about["machine"] | {"nbdkit": "another"}})):
        try:
            Results(about).continuing(kept)
            expect(f"rows with another {what} are refused", False)
        except OSError as error:
            expect(f"rows with another {what} are refused", str(error).startswith(f"{what} is {about.get(what, 'another')},"), error)


def footnotes() -> None:
    alone = Footnotes([USUAL, replace(USUAL, load="9.9")])
    expect("rows that differ in nothing have no footnote", alone.lines == alone.plain_lines == [], alone.lines)
    expect("and no mark", alone.marked("row", USUAL) == "row")
    longer = replace(USUAL, seconds=7, fill=9, margin=48)
    three = Footnotes([LATER, USUAL, longer, USUAL])
    found = [three.marked("row", each) for each in (USUAL, longer, LATER)]
    expect("rows of other conditions are marked", found == ["row", "row\u00a0¹", "row\u00a0²"], found)
    expect("a footnote says what differs, and nothing else", three.lines == [
        "¹ Measured with `memory=` 48 MiB below the limit, in runs of 7 s, after 9 s to fill caches.",
        "² Measured on 2000-01-02, with no key but `memory=`."], three.lines)
    expect("in a chart it has no markup, and the other rows are described too", three.plain_lines[1:] == [
        "² Measured on 2000-01-02, with no key but memory=.",
        "The others: on 2000-01-01, with memory= 20 MiB below the limit, in runs of 1 s, after 2 s to fill caches, "
        "with dirty=20%."], three.plain_lines)
    results = some_results()
    results.rows[1].conditions = LATER
    lines = table(results).splitlines()
    expect("the table marks the row", "¹ |" in lines[3] and "¹" not in lines[2] + lines[4], lines)
    told = notes(results)
    expect("and the notes have the footnote", "\n¹ Measured on 2000-01-02, with no key but `memory=`.\n" in told, told)
    expect("beside what most rows have in common", "Measured on 2000-01-01:" in told and "Flexpage: `memory=` as said above, "
           "`dirty=20%`\n" in told, told)
    expect("with the load of all sessions", "load average at the start 0.1 to 3.5." in told, told)
    expect("and the depth of the disk itself", "at depth 8, the best" in told, told)


def sizes() -> None:
    whole, part = (Plan([], None, 1, Length(1, 1, 1), limit, 64, Path(), None, (), Path(), Path()) for limit in (192, 64))
    expect("an image that is cached fits the memory of each server", (whole.cached_image, part.cached_image) == (96, 10))


def files() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        report.write_tables(some_results(), directory)
        told = (directory / "peers.md").read_text()
        expect("the notes say with which options", "`memory=` is 20 MiB less" in told and ", `dirty=20%`" in told, told)
        again = Results.load(directory / "peers.json")
        expect("results are read back as they were written", again == some_results(), again)
        document = json.loads((directory / "peers.json").read_text())
        for row in document["rows"]:
            document["about"]["machine"]["kernel"] = row["conditions"].pop("kernel")
        (directory / "old.json").write_text(json.dumps(document))
        again = Results.load(directory / "old.json")
        expect("a kernel that is told of all rows is that of each", again == some_results(), again)
        readme = directory / "README.md"
        begin, end = re.findall(r"<!-- .*peers.* -->", report.README.read_text())
        readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
        report.put_into_readme("peers", "new", readme)
        text = readme.read_text()
        expect("the README's part is replaced, and nothing else", text.startswith("before\n") and text.endswith("\nafter\n")
               and "new" in text and "old" not in text, text)
        report.put_into_readme("peers", "new", readme)
        expect("and comes out the same a second time", readme.read_text() == text, readme.read_text())
    expect("the README has a place for the cost", "<!-- end of cost -->" in report.README.read_text())
    places = [page.read_text().count("<!-- end of traces -->") for page in (report.README, report.FRONT)]
    expect("both READMEs have a place for the traces", places == [1, 1], places)


if __name__ == "__main__":
    for check in (ratios, goals, rows, beside, connections, counted_events, lengths, sizes, outputs, parts, footnotes,
                  files):
        check()
    sys.exit(status())
