"""The most important rows as a chart for the README: this plugin's speed divided by each peer's. Longer bars are better.

A bar ends at the median of the ratios, a thin line spans minimum to maximum, and the value follows. The axis is
logarithmic, so twice as fast and half as fast are equally far from the line at 1.
"""

import math

from chart import text
from results import Comparison, Results

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

# Pixels.
LEFT, RIGHT, TOP, BAR, GAP = 240, 300, 46, 12, 12
# Ratios at the ends of the axis. A longer bar is cut off there, and its value says so.
LOW, HIGH = 0.5, 4.0


def headline(results: Results) -> str:
    rows = [result for key in ROWS for result in results.rows if result.row.key == key]
    parts, y = [], float(TOP)
    for result in rows:
        drawn = [(peer, found) for peer in PEERS if (found := result.of(peer))]
        parts.append(text(LEFT - 10, y + len(drawn) * BAR / 2 + 4, ROWS[result.row.key], "end"))
        for peer, comparison in drawn:
            parts += bar(y, comparison, PEERS[peer][1])
            y += BAR
        y += GAP
    height = y + 24
    limit = results.about["limit_mib"]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + RIGHT + 90}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(10, 18, f"Flexpage's speed as a multiple of… (at {limit} MiB of memory; right of the line: Flexpage is faster)", "start",
             'font-weight="bold"'),
        *legend(), *grid(y - GAP + 4), *parts, "</svg>",
    ]) + "\n"


def across(ratio: float) -> float:
    return LEFT + RIGHT * math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)


def bar(y: float, comparison: Comparison, colour: str) -> list[str]:
    one, end = across(1), across(comparison.ratio)
    minimum, maximum = across(comparison.ratios[0]), across(comparison.ratios[-1])
    middle = y + (BAR - 1) / 2
    more = "> " if comparison.ratio > HIGH else "< " if comparison.ratio < LOW else ""
    return [
        f'<rect class="bar" x="{min(one, end):.1f}" y="{y:.1f}" width="{max(abs(end - one), 1):.1f}" height="{BAR - 1}" '
        f'fill="{colour}"/>',
        f'<line x1="{minimum:.1f}" y1="{middle:.1f}" x2="{maximum:.1f}" y2="{middle:.1f}" stroke="#222222"/>',
        text(max(maximum, end, one) + 5, y + BAR - 2, f"{more}{comparison.ratio:.2f}", "start", 'font-size="10"'),
    ]


def legend() -> list[str]:
    parts, x = [], float(LEFT)
    for label, colour in PEERS.values():
        parts += [f'<rect x="{x}" y="26" width="10" height="10" fill="{colour}"/>', text(x + 14, 35, label, "start")]
        x += 160
    return parts


def grid(bottom: float) -> list[str]:
    parts = []
    for ratio in (0.5, 1, 2, 4):
        x = across(ratio)
        line = 'stroke="#111111" stroke-width="1.5"' if ratio == 1 else 'stroke="#dddddd"'
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom:.1f}" {line}/>')
        parts.append(text(x, bottom + 15, f"{ratio:g}×", "middle"))
    return parts
