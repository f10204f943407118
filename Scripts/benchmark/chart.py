"""The results as a bar chart, SVG: each peer's speed as a share of this plugin's. A bar that ends before the line at 100 %
is a slower peer."""

from xml.sax.saxutils import escape

from results import Results
from servers import PEERS, RAW, title

# Pixels.
BAR = 11
GAP = 14
LEFT = 420
WIDTH = 420
TOP = 64
# The share at the right end. Longer bars are cut off there, with the value beside them.
MOST = 1.6
COLOURS = ("#0b6e99", "#c8501e", "#7b3fa0", "#2e7d32", "#b58900", "#5f6b6d", "#d6336c", "#1b998b", "#8d5524")


def chart(results: Results) -> str:
    peers = sorted(results.peers, key=[*PEERS, RAW, *results.peers].index)
    colours = {peer: COLOURS[index % len(COLOURS)] for index, peer in enumerate(peers)}
    parts, y = [], TOP
    for result in results.rows:
        compared = [comparison for peer in peers if (comparison := result.of(peer))]
        middle = y + len(compared) * BAR / 2 + 4
        parts.append(text(LEFT - 10, middle, result.row.title, "end"))
        for comparison in compared:
            parts += bar(y, 1 / max(comparison.ratio, 1e-6), colours[comparison.peer])
            y += BAR
        y += GAP
    height = y + 30
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        text(LEFT - 10, 18, f"speed at {results.about['limit_mib']} MiB of memory, Flexpage = 100 %", "end"),
        *legend(colours), *grid(y - GAP + 4), *parts, "</svg>",
    ]) + "\n"


def across(share: float) -> float:
    return LEFT + WIDTH * min(share, MOST) / MOST


def bar(y: float, share: float, colour: str) -> list[str]:
    end = across(share)
    return [
        f'<rect x="{LEFT}" y="{y}" width="{max(end - LEFT, 1):.1f}" height="{BAR - 1}" fill="{colour}"/>',
        text(end + 4, y + BAR - 2, f"{share * 100:.0f}", "start", 'font-size="9" fill="#444444"'),
    ]


def legend(colours: dict[str, str]) -> list[str]:
    parts, x, y = [], LEFT, 10
    for peer, colour in colours.items():
        label = title(peer)
        wide = 26 + 7 * len(label)
        if x + wide > LEFT + WIDTH + 40:
            x, y = LEFT, y + 17
        parts += [f'<rect x="{x}" y="{y}" width="11" height="11" fill="{colour}"/>', text(x + 15, y + 9, label, "start")]
        x += wide
    return parts


def grid(bottom: float) -> list[str]:
    parts = []
    for percent in range(0, int(MOST * 100) + 1, 20):
        x = across(percent / 100)
        line = 'stroke="#111111" stroke-width="1.5"' if percent == 100 else 'stroke="#dddddd"'
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" {line}/>')
        parts.append(text(x, bottom + 16, f"{percent} %", "middle"))
    return parts


def text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(words)}</text>'
