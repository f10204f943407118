"""The results beside other servers as a chart: this plugin's speed divided by each peer's."""

from pathlib import Path

from drawing import Bar, Group, Panel, draw
from results import Comparison, Results
from servers import PEERS, RAW, title

COLOURS = ("#0b6e99", "#c8501e", "#7b3fa0", "#2e7d32", "#b58900", "#5f6b6d", "#d6336c", "#1b998b", "#8d5524", "#333333")


def draw_chart(results: Results, path: Path) -> None:
    peers = sorted(results.peers, key=[*PEERS, RAW, *results.peers].index)
    colours = {title(peer): COLOURS[index % len(COLOURS)] for index, peer in enumerate(peers)}
    limit = results.about["limit_mib"]
    draw(path, f"Flexpage's speed as a multiple of other servers', at {limit} MiB of memory",
         [Panel("right of the line: Flexpage is faster", groups(results, peers))], colours,
         results.footnotes.plain_lines)


def groups(results: Results, peers: list[str]) -> list[Group]:
    footnotes = results.footnotes
    return [
        Group(footnotes.marked(result.row.title, result.conditions),
              [bar(found, title(peer)) for peer in peers if (found := result.of(peer))])
        for result in results.rows
    ]


def bar(comparison: Comparison, name: str) -> Bar:
    return Bar(name, comparison.ratio, comparison.ratios[0], comparison.ratios[-1])
