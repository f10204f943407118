"""Draws ratios as horizontal bars, SVG. A bar begins at 1, ends at the median, and has a thin line from minimum to
maximum. To the right of 1, Flexpage is faster. The axis is logarithmic, so twice as fast and half as fast are equally far
from 1.

It needs matplotlib, which takes a second to load. So it is loaded when something is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A longer bar ends there, with an arrow. Only peers that keep nothing of something come so far.
MOST = 50.0
# Inches: of a bar, and of a panel.
BAR, WIDE = 0.14, 3.6
# Bars between groups.
GAP = 0.9
TICKS = ((1.5, (0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4)), (4, (0.4, 0.5, 0.7, 1, 1.4, 2, 3)),
         (12, (0.1, 0.25, 0.5, 1, 2, 4, 8)), (MOST**2, (0.02, 0.05, 0.2, 0.5, 1, 2, 5, 20, 50)))
# The same data always gives the same file.
STYLE = {"svg.hashsalt": "flexpage", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 9}
METADATA = {"Date": None, "Creator": None}


@dataclass(frozen=True)
class Bar:
    """The median of ratios, their minimum and their maximum, and what the legend calls it."""

    name: str
    middle: float
    least: float
    largest: float


@dataclass(frozen=True)
class Group:
    title: str
    bars: list[Bar]


@dataclass(frozen=True)
class Panel:
    title: str
    groups: list[Group]


def draw(path: Path, title: str, panels: list[Panel], colours: dict[str, str],
         footnotes: list[str] | tuple = ()) -> None:
    """Writes a chart. All panels have the same groups, with as many bars in each. `colours` has the names of bars."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        # The file is as large as what is drawn, so no label is cut off.
        figure(title, panels, colours, footnotes).savefig(path, format="svg", bbox_inches="tight", metadata=METADATA)


def figure(title: str, panels: list[Panel], colours: dict[str, str],
           footnotes: list[str] | tuple = ()) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [max(1, *(len(panel.groups[index].bars) for panel in panels)) for index in range(len(panels[0].groups))]
    names = max(wide(group.title) for group in panels[0].groups)
    drawing = Figure(figsize=(names + WIDE * len(panels), BAR * (sum(heights) + GAP * len(heights) + len(footnotes)) + 0.8),
                     layout="constrained")
    drawing.suptitle(title, fontweight="bold", fontsize=10)
    axes = drawing.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels):
        draw_panel(axis, panel, heights, colours)
    set_scale(axes[0], [bar for panel in panels for group in panel.groups for bar in group.bars])
    if footnotes:
        drawing.supxlabel("\n".join(footnotes), fontsize=7)
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    drawing.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=3, frameon=False)
    return drawing


def wide(words: str) -> float:
    """The inches that a name takes."""
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), words, size=STYLE["font.size"]).get_extents().width / 72


def draw_panel(axis: Axes, panel: Panel, heights: list[int], colours: dict[str, str]) -> None:
    """`heights` has the number of bars for which each group has room."""
    y, middles = 0.0, []
    for group, height in zip(panel.groups, heights):
        middles.append(y + (height - 1) / 2)
        for index, bar in enumerate(group.bars):
            draw_bar(axis, y + index, bar, colours[bar.name])
        y += height + GAP
    axis.set_title(panel.title, fontsize=9)
    axis.set_xscale("log")
    axis.set_yticks(middles, [group.title for group in panel.groups])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(y - GAP, -1)
    axis.axvline(1, color="#111111", linewidth=1.2)
    axis.grid(axis="x", color="#dddddd")
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def draw_bar(axis: Axes, y: float, bar: Bar, colour: str) -> None:
    end, least, largest = (within(value) for value in (bar.middle, bar.least, bar.largest))
    axis.barh(y, end - 1, left=1, height=0.85, color=colour)
    axis.plot([least, largest], [y, y], color="#222222", linewidth=0.8, solid_capstyle="butt")
    if end != bar.middle:
        axis.plot(end, y, marker=">" if end > 1 else "<", color=colour, markersize=7, clip_on=False)
    axis.annotate(told(bar.middle), (max(end, largest, 1), y), xytext=(6 if end != bar.middle else 3, 0),
                  textcoords="offset points", va="center", fontsize=7)


def within(ratio: float) -> float:
    return min(max(ratio, 1 / MOST), MOST)


def told(ratio: float) -> str:
    more = "> " if ratio > MOST else "< " if ratio < 1 / MOST else ""
    return f"{more}{within(ratio):.2f}"


def set_scale(axis: Axes, bars: list[Bar]) -> None:
    """Makes room for the bars, and for the figures beside them, on the axis that all panels share."""
    least = min([0.95, *(within(bar.least) for bar in bars), *(within(bar.middle) for bar in bars)])
    largest = max([1.15, *(within(bar.largest) for bar in bars), *(within(bar.middle) for bar in bars)])
    span = largest / least
    axis.set_xlim(least / span**0.05, largest * span**0.2)
    ticks = next(ticks for limit, ticks in TICKS if span <= limit)
    axis.set_xticks([tick for tick in ticks if least / span**0.05 <= tick <= largest * span**0.1])
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.minorticks_off()
