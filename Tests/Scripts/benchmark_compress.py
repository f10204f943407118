#!/usr/bin/env python3
"""Tests what `Scripts/bench compress` makes of simulations. Prints `PASS name` and `FAIL name: why`."""

import stat
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import compress  # noqa: E402
from checks import expect, status  # noqa: E402

COSTS = {"keeping": 6.54, "refusing": 2.0, "taking": 1.1, "keptShare": 0.75, "ratio": 1.6}


def row(trace: str, memory: int, share: int, far: float, throttled: float = 10.0, **more: object) -> dict:
    pager = {"trace": trace, "reads": 100 - share, "readsAhead": 20}
    return {"memory": memory << 20, "share": share, "pager": pager, "kept": share * 30, "refused": share * 10,
            "taken": share * 20, "processorSeconds": share / 100, "unthrottled": 5.0,
            "throttled": throttled, "far": far} | more


ALL = [row("a", 64, 0, 8.0), row("a", 64, 30, 4.0, 12.0), row("a", 64, 60, 6.0, 11.0),
       row("b", 64, 0, 2.0), row("b", 64, 30, 2.0), row("b", 64, 60, 4.0),
       row("fits", 64, 0, 0.1), row("fits", 64, 30, 0.1, kept=0, refused=0), row("fits", 64, 60, 0.1)]
MAIN = [each | {"far": 1.0} for each in ALL]
MORE = [{"reads": 60, "readsAhead": 20}, {"reads": 100, "readsAhead": 20}, {"reads": 1, "readsAhead": 0}]


def tables() -> None:
    groups = compress.grouped(ALL)
    expect("simulations of a trace and a memory are together", list(groups) == [("a", 64), ("b", 64), ("fits", 64)], groups)
    groups = compress.pressed(groups)
    expect("what fits into the memory is left out", list(groups) == [("a", 64), ("b", 64)], groups)
    of_main = compress.grouped(MAIN)
    found = compress.times(groups, of_main, "far")
    expect("a time is a share of that without a tier, and the best is bold",
           found[2] == "| a | 64 MiB | 8.0 s | **0.50** | 0.75 |", found)
    expect("a tier that saves nothing is not bold", found[3] == "| b | 64 MiB | 2.0 s | 1.00 | 2.00 |", found)
    expect("the mean is geometric", found[4] == "| geometric mean |  |  | **0.71** | 1.22 |", found)
    expect("the other admission has its mean", found[5] == "| the same, from main only |  |  | 1.00 | 1.00 |", found)
    expect("processor time is in all means of this source", len(found) == 7, found)
    found = compress.times(groups, of_main, "throttled")
    expect("a tier that costs time is shown as well", found[2] == "| a | 64 MiB | 10.0 s | 1.20 | 1.10 |", found)
    # The roots of 11.7 × 9.7 and 10.4 × 9.4, of 10.
    expect("hidden processor time is taken off", found[6].endswith("processor time hidden |  |  | 1.07 | **0.99** |"), found)
    found = compress.work(groups, dict(zip(compress.grouped(ALL), MORE)))
    expect("work is that of one share", found[2] == "| a | 64 MiB | 80 | 0.62 | 0.50 | 1,200 | 0.50 | 0.30 s |", found)
    expect("more memory need not save reads", found[3] == "| b | 64 MiB | 80 | 0.62 | 1.00 | 1,200 | 0.50 | 0.30 s |", found)


def sizes() -> None:
    # Three quarters of the pages are kept, in half of a page each: (1 / 1.6 - 1 / 4) * 4 / 3.
    found = compress.gained(COSTS)
    expect("a tier holds fewer pages than bytes alone would say", abs(found - 4096 / (2048 / 124 * 128 + 96)) < 1e-9, found)
    expect("nothing is gained if nothing compresses", compress.gained({"keptShare": 0, "ratio": 1}) == 1)
    expect("more memory is what the share makes of it", compress.more(64, 2) == round(64 * 1024 * 1.3), compress.more(64, 2))


def document() -> None:
    about = {"image_mib": 12, "load": "1.0", "nice": 0, "date": "2000-01-01",
             "machine": {"processor": "2 × P", "kernel": "Linux 1"}}
    costs = {"all": COSTS, "main": COSTS | {"keeping": 9.9}}
    text = compress.markdown({"about": about, "costs": costs, "all": ALL, "main": MAIN, "gain": 2, "more": MORE})
    expect("all sources have a table", text.count("| geometric mean |") == len(compress.SOURCES), text)
    expect("costs are told", "75 % of the pages" in text and "6.5 µs to keep" in text and "12 MiB of ordinary" in text, text)
    expect("the bound is told", "1.30 times the memory" in text, text)
    expect("what is left out is named", "nothing is recycled: fits with 64 MiB." in text, text)
    expect("only the throttled table hides processor time", text.count("processor time hidden |") == 1, text)
    fits = [each for each in ALL if each["pager"]["trace"] == "fits"]
    text = compress.markdown({"about": about, "costs": costs, "all": fits, "main": fits, "gain": 2, "more": MORE[2:]})
    expect("if everything fits into memory, that is said, and what to do",
           text == "Left out, because nothing is recycled: fits with 64 MiB.\n\n"
           "That is all of them: each trace fits into the memory. Give less --memory.\n", text)


def documents_of_simulations() -> None:
    # Costs are measured anew for each admission.
    found = {"all": [{"costs": COSTS}], "main": [{"costs": COSTS | {"keeping": 9.9}}]}
    costs = compress.costs_of(found)
    expect("each admission keeps its costs", (costs["all"]["keeping"], costs["main"]["keeping"]) == (6.54, 9.9), costs)
    expect("and its rows need none", found == {"all": [{}], "main": [{}]}, found)


def the_tool() -> None:
    with tempfile.TemporaryDirectory() as name:
        tool = Path(name) / "tool"
        tool.write_text('#!/bin/sh\necho "[\\"$*\\"]"\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        found = compress.with_tier(tool, [Path("t.csv"), Path("u.csv")], Path("i.img"), [64, 256], [10, 20])
        wanted = "simulate t.csv u.csv --pages ahead --json --compress i.img --compress-from {} --compress-shares 10,20 --memory 64M,256M"
        expect("the tool is asked for all traces, memories and shares at once",
               found == {each: [wanted.format(each)] for each in ("all", "main")}, found)
        found = compress.with_more(tool, [Path("t.csv")], [64], 2)
        expect("and for more memory", found == ["simulate t.csv --pages ahead --json --memory 85197K"], found)
        tool.write_text("#!/bin/sh\nexit 1\n")
        try:
            compress.with_more(tool, [Path("t.csv")], [64], 2)
            told = ""
        except OSError as error:
            told = str(error)
        expect("a simulation that fails is an error", told == "tool simulate has failed", told)


tables()
sizes()
document()
documents_of_simulations()
the_tool()
sys.exit(status())
