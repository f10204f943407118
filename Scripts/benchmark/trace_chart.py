"""The results of traces as a chart: the best peer's time divided by this plugin's."""

import statistics
from pathlib import Path

from drawing import Bar, Group, Panel, draw
from trace_results import TraceResults, TraceRow

COLOURS = ("#9ecae1", "#4292c6", "#084594", "#5f6b6d", "#b58900")
MEAN = "geometric mean"


def draw_traces(results: TraceResults, path: Path) -> None:
    colours = {name(limit): COLOURS[index % len(COLOURS)] for index, limit in enumerate(results.limits)}
    draw(path, "Time of the best other server divided by Flexpage's, with the same memory", panels(results), colours)


def panels(results: TraceResults) -> list[Panel]:
    """One for each volume that was measured."""
    volumes = {True: f"a volume of {results.about['iops']} reads/s", False: "the disk as it is"}
    return [Panel(volumes[is_throttled], groups(results, is_throttled)) for is_throttled in volumes
            if results.of(is_throttled)]


def groups(results: TraceResults, is_throttled: bool) -> list[Group]:
    """The traces of all volumes, so that panels have the same groups, and their mean."""
    traces = sorted({row.trace for row in results.rows}, key=str.lower)
    rows = {(row.trace, row.limit): row for row in results.of(is_throttled)}
    found = [Group(trace, [bar(row) for limit in results.limits if (row := rows.get((trace, limit))) and row.best])
             for trace in traces]
    means = {limit: results.mean(limit, is_throttled) for limit in results.limits}
    return [*found, Group(MEAN, [Bar(name(limit), mean, mean, mean) for limit, mean in means.items() if mean])]


def bar(row: TraceRow) -> Bar:
    assert row.best
    ratios = row.ratios(row.best)
    return Bar(name(row.limit), statistics.median(ratios), ratios[0], ratios[-1])


def name(limit: int) -> str:
    return f"{limit} MiB"
