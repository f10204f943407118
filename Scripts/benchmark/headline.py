"""The most important rows as a chart for the README: this plugin's speed divided by each peer's."""

from pathlib import Path

from chart import bar
from drawing import Group, Panel, draw
from results import Results

# Keys and titles of rows, in the order of the chart.
ROWS = {
    "hits-4k": "cached, 4 KiB random reads",
    "uniform-16": "4 KiB random reads, uniform",
    "zipf09-16": "4 KiB random reads, Zipf 0.9",
    "sequential": "256 KiB sequential reads, cold",
    "write-uniform": "4 KiB random writes, uniform",
    "mix": "70 % reads, 30 % writes, Zipf 0.9",
}
PEERS = {"file": ("nbdkit's file plugin", "#0b6e99"), "qemu-none": ("qemu-nbd, no cache", "#c8501e")}


def draw_headline(results: Results, path: Path) -> None:
    limit = results.about["limit_mib"]
    shown = chosen(results)
    draw(path, f"Flexpage's speed as a multiple of other servers', at {limit} MiB of memory",
         [Panel("right of the line: Flexpage is faster", groups(shown))], dict(PEERS.values()),
         shown.footnotes.plain_lines)


def chosen(results: Results) -> Results:
    """The rows of the chart alone."""
    return Results(results.about, [result for key in ROWS for result in results.rows if result.row.key == key])


def groups(results: Results) -> list[Group]:
    footnotes = results.footnotes
    return [
        Group(footnotes.marked(ROWS[result.row.key], result.conditions),
              [bar(found, PEERS[peer][0]) for peer in PEERS if (found := result.of(peer))])
        for result in results.rows
    ]
