"""Writes results: the files in a directory, and the part of the README between its markers."""

import argparse
import json
import sys
from pathlib import Path

from chart import draw_chart
from headline import draw_headline
from results import Results
from table import notes, table, targets
from trace_chart import draw_traces
from trace_results import TraceResults
from trace_table import headline, section

# Where results are kept in the repository, the document that shows them, and the project's own.
KEPT = Path(__file__).parent / "results"
README = KEPT / "README.md"
FRONT = Path(__file__).parents[2] / "README.md"


def write(results: Results, directory: Path) -> None:
    """Writes peers.json, and what is generated from it: the table, the targets, and the two charts."""
    write_tables(results, directory)
    draw_chart(results, directory / "peers.svg")
    draw_headline(results, directory / "headline.svg")


def write_tables(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    results.save(directory / "peers.json")
    (directory / "peers.md").write_text(table(results) + "\n" + notes(results))
    (directory / "targets.md").write_text(targets(results))


def write_traces(results: TraceResults, options: argparse.Namespace, is_complete: bool = False) -> None:
    """Writes traces.json and traces.md, and at the end of a session the chart and, with --keep, both READMEs."""
    output = directory(options)
    output.mkdir(parents=True, exist_ok=True)
    results.save(output / "traces.json")
    text = section(results)
    (output / "traces.md").write_text(text)
    if not is_complete:
        return
    draw_traces(results, output / "traces.svg")
    if options.keep:
        put_into_readme("traces", f"![The same as a chart](traces.svg)\n\n{text}")
        put_into_readme("traces", headline(results), FRONT)
    print(text)
    print(f"Results: {output}", file=sys.stderr)


def directory(options: argparse.Namespace) -> Path:
    """Where the results of a measurement go."""
    return KEPT if options.keep else options.output or options.work / "results"


def write_document(name: str, document: dict, text: str, options: argparse.Namespace) -> None:
    """Writes NAME.json, and NAME.md, which is generated from it. With --keep, the README gets the text too."""
    output = directory(options)
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (output / f"{name}.md").write_text(text)
    if options.keep:
        put_into_readme(name, text)
    print(text)
    print(f"Results: {output}", file=sys.stderr)


def peers_section(results: Results) -> str:
    return f"{table(results)}\n![The same as a chart](peers.svg)\n\n{notes(results)}"


def put_into_readme(name: str, body: str, readme: Path = README) -> None:
    """Replaces the text between the markers of this name."""
    begin, end = f"<!-- Scripts/bench {name} --keep writes this -->\n", f"<!-- end of {name} -->"
    before, found, rest = readme.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise OSError(f"{readme} lacks the lines {begin.strip()} and {end}")
    readme.write_text(before + begin + "\n" + body + "\n" + end + after)
