"""This plugin compared with other NBD servers, with the same amount of memory."""

import argparse
import sys
from pathlib import Path

import machine
import report
from load import Length
from results import Results
from rows import QUICK, QUICK_PEERS, ROWS
from servers import PEERS, RAW
from session import Plan, Session
from words import absolute, add_output, choice, positive


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench peers", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="four rows, two peers, one pair of short runs: two minutes in all")
    add("--pairs", type=positive, metavar="N", help="pairs of runs of each row with each peer (3)")
    add("--seconds", type=positive, metavar="S", help="seconds of a run that count (10)")
    add("--warm-up", type=positive, metavar="S", help="seconds before them that do not count (5)")
    add("--fill", type=positive, metavar="S", help="the same, for random rows in an image larger than the memory (10)")
    add("--only", type=choice([row.key for row in ROWS]), metavar="ROW,…", help=", ".join(row.key for row in ROWS))
    add("--peers", type=choice([*PEERS, RAW]), metavar="PEER,…", help=", ".join([*PEERS, RAW]))
    add("--limit", type=positive, default=192, metavar="MIB", help="the memory of each server (192)")
    add("--image", type=positive, default=2048, metavar="MIB", help="the size of the image (2048)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="another key for the plugin")
    add("--baseline", type=absolute, metavar="PLUGIN", help="another build of the plugin, as one more peer")
    add("--show", type=absolute, metavar="DIR", help="do not measure; write the table and the charts again from results")
    add_output(parser, keep="; with --only, replace or add only those rows", output="; the same with --only")
    return parser.parse_args(words)


def plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    keys = options.only or (QUICK if quick else [row.key for row in ROWS])
    return Plan(
        rows=[row for row in ROWS if row.key in keys],
        peers=options.peers or (list(QUICK_PEERS) if quick else None),
        pairs=options.pairs or (1 if quick else 3),
        length=Length(options.seconds or (3 if quick else 10), options.warm_up or (1 if quick else 5),
                      options.fill or (1 if quick else 10)),
        limit=options.limit, image=options.image, plugin=options.plugin, baseline=options.baseline,
        extra=tuple(options.set), work=options.work, output=output(options))


def output(options: argparse.Namespace) -> Path:
    return report.KEPT if options.keep else options.output or options.show or options.work / "results"


def begun(options: argparse.Namespace) -> Path | None:
    """Results of which only some rows are to be replaced, or to which some are to be added, if there are such."""
    path = output(options) / "peers.json"
    return path if options.only and (options.keep or options.output) and path.exists() else None


def main(words: list[str]) -> int:
    options = arguments(words)
    failures = 0
    if options.show:
        results = Results.load(options.show / "peers.json")
        report.write(results, output(options))
    else:
        session_plan = plan(options)
        with machine.reserved(session_plan.work):
            session = Session(session_plan)
            if path := begun(options):
                session.results = session.results.continuing(Results.load(path))
            results, failures = session.run(), session.failures
    if options.keep:
        report.put_into_readme("peers", report.peers_section(results))
    print(f"Results: {output(options)}", file=sys.stderr)
    return 1 if failures else 0
