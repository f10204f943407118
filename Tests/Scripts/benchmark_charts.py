#!/usr/bin/env python3
"""Tests the charts of Scripts/bench: nothing is cut off, and the same results give the same file. Prints `PASS name`,
`FAIL name: why` and `SKIP name: why`."""

import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import benchmark  # noqa: E402
import benchmark_traces  # noqa: E402
import chart  # noqa: E402
import drawing  # noqa: E402
import headline  # noqa: E402
import trace_chart  # noqa: E402
from checks import expect, status  # noqa: E402
from drawing import Bar, Group, Panel  # noqa: E402

LONG = "4 KiB random reads of a very long name, uniform, depth 16, after sequential reads of it all & <more>"
COLOURS = {"one": "#0b6e99", "other": "#c8501e"}


def panel(*ratios: float) -> Panel:
    return Panel("panel", [Group(f"{LONG} {number}", [Bar("one", ratio, ratio / 2, ratio * 2), Bar("other", 1, 0.9, 1.1)])
                           for number, ratio in enumerate(ratios)])


def figure(*panels: Panel, footnotes: list[str] | tuple = ()):
    """A chart, and what measures its parts."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with matplotlib.rc_context(drawing.STYLE):
        made = drawing.figure("title", list(panels), COLOURS, footnotes)
        canvas = FigureCanvasAgg(made)
        canvas.draw()
    return made, canvas.get_renderer()


def labels() -> None:
    made, renderer = figure(panel(2, 0.6), panel(1.2, 0.99))
    page = made.get_tightbbox(renderer).transformed(made.dpi_scale_trans)
    axis = made.axes[0]
    names = [label for label in axis.get_yticklabels()]
    expect("all names are drawn", [name.get_text() for name in names] == [f"{LONG} 0", f"{LONG} 1"], names)
    boxes = [name.get_window_extent(renderer) for name in names]
    cut = [box for box in boxes if box.x0 < page.x0 - 1 or box.x1 > axis.get_window_extent(renderer).x0]
    expect("names are whole, and beside the bars", not cut, (cut, page))
    values = [text for each in made.axes for text in each.texts]
    outside = [text.get_text() for text in values if not page.x0 <= text.get_window_extent(renderer).x1 <= page.x1 + 1]
    expect("so are the values", not outside and len(values) == 8, outside)
    over = [text.get_text() for text in made.axes[0].texts
            if text.get_window_extent(renderer).x1 > made.axes[1].get_window_extent(renderer).x0]
    expect("values of one panel stay out of the next", not over, over)


def footnotes() -> None:
    plain, _ = figure(panel(2, 0.6))
    made, renderer = figure(panel(2, 0.6), footnotes=["¹ One.", "The others."])
    expect("without footnotes there is only the title", [each.get_text() for each in plain.texts] == ["title"], plain.texts)
    [text] = [each for each in made.texts if each.get_text() != "title"]
    expect("footnotes are drawn", text.get_text() == "¹ One.\nThe others.", text)
    top, axis = text.get_window_extent(renderer).y1, made.axes[0].get_tightbbox(renderer)
    expect("below the axis", top <= axis.y0 + 1, (top, axis))
    expect("and above the legend", made.legends[0].get_window_extent(renderer).y1 <= text.get_window_extent(renderer).y0 + 1)


def bars() -> None:
    made, _ = figure(panel(2, 0.6))
    axis = made.axes[0]
    shapes = [(round(shape.get_x(), 6), round(shape.get_x() + shape.get_width(), 6)) for shape in axis.patches]
    expect("a bar reaches from 1 to the ratio", shapes == [(1, 2), (1, 1), (1, 0.6), (1, 1)], shapes)
    low, high = axis.get_xlim()
    inside = all(low < end < high for shape in shapes for end in shape)
    spread = [tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2]
    expect("no bar is clipped", inside, (low, high, shapes))
    expect("its line spans minimum to maximum, whole", (1.0, 4.0) in spread and (0.3, 1.2) in spread and low < 0.3 and high > 4, spread)
    expect("a longer bar is a faster Flexpage", axis.get_xscale() == "log" and not axis.xaxis_inverted())
    made, _ = figure(panel(1.01), panel(3))
    expect("panels have one scale", made.axes[0].get_xlim() == made.axes[1].get_xlim(), made.axes[0].get_xlim())
    made, _ = figure(panel(900, 0.001))
    axis = made.axes[0]
    told = [text.get_text() for text in axis.texts]
    expect("what is out of all bounds says so", told[0] == "> 50.00" and told[2] == "< 0.02", told)
    arrows = [line.get_marker() for line in axis.lines if line.get_marker() in ("<", ">")]
    expect("and has an arrow", arrows == [">", "<"], arrows)


def peers() -> None:
    results = benchmark.some_results()
    names = [group.title for group in chart.groups(results, results.peers)]
    expect("the chart has all rows", names == [each.row.title for each in results.rows], names)
    found = chart.groups(results, results.peers)[0].bars[0]
    expect("with the ratio to each peer, and its spread", found == Bar("file plugin", 2, 2, 2), found)
    groups = headline.groups(headline.chosen(results))
    expect("the README's chart has some rows and two peers", [len(group.bars) for group in groups] == [2, 1], groups)
    results.rows[1].conditions = benchmark.LATER
    names = [group.title for group in chart.groups(results, results.peers)]
    expect("the chart marks a row that was measured otherwise", [name[-2:] == "\u00a0¹" for name in names]
           == [False, True, False], names)
    names = [group.title for group in headline.groups(headline.chosen(results))]
    expect("so does the README's, where the later of two rows is the usual one",
           [name[-2:] == "\u00a0¹" for name in names] == [True, False], names)


def traces() -> None:
    slow, free = trace_chart.panels(benchmark_traces.some_results())
    expect("panels have the same groups", [each.title for each in slow.groups] == [each.title for each in free.groups]
           == ["A", "b", trace_chart.MEAN], (slow, free))
    expect("a bar is the best peer's ratio", slow.groups[1].bars == [Bar("64 MiB", 1, 0.5, 2)], slow)
    expect("a trace without results has none", free.groups[1].bars == [], free)
    expect("the mean is a bar too", round(slow.groups[2].bars[0].middle, 3) == 1.732, slow)


def files() -> None:
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / "one.svg", Path(name) / "other.svg"]
        for path in paths:
            trace_chart.draw_traces(benchmark_traces.some_results(), path)
        texts = [path.read_bytes() for path in paths]
        expect("the same results give the same file", texts[0] == texts[1])
        expect("without a date", b"date>" not in texts[0])
        expect("which is well-formed", xml.fromstring(texts[0]).tag.endswith("svg"))


if __name__ == "__main__":
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("SKIP charts: python3-matplotlib is not available")
        sys.exit(0)
    for check in (labels, footnotes, bars, peers, traces, files):
        check()
    sys.exit(status())
