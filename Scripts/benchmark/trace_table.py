"""The results of traces as Markdown."""

import statistics
import textwrap

from cells import cells
from servers import FLEXPAGE, PEERS, title
from trace_results import CONTENTS, OURS, TraceResults, TraceRow

VOLUMES = {True: "A volume with at most {iops} reads and {mib} MiB a second", False: "The disk as it is"}


def section(results: TraceResults) -> str:
    """Everything for the page of results, without the chart."""
    lines = []
    for is_throttled, heading in VOLUMES.items():
        if results.of(is_throttled):
            lines += [f"**{heading.format(**results.about)}**", "", *table(results, is_throttled)]
    return "\n".join([*lines, *notes(results)]) + "\n"


def table(results: TraceResults, is_throttled: bool) -> list[str]:
    rows = results.of(is_throttled)
    peers = [key for key in PEERS if any(key in row.runs for row in rows)]
    head = ("trace, memory group", "requests", "`memory=`", "best peer ÷ Flexpage", *(f"{title(peer)} ÷" for peer in peers),
            "time", "reads of the disk", "MiB of them", "p50 ms", "p99 ms")
    return cells(*head, rows=[line(row, peers) for row in rows if row.best] + means(results, is_throttled, len(head)))


def line(row: TraceRow, peers: list[str]) -> tuple[str, ...]:
    return (
        f"{row.trace}, {row.limit} MiB", f"{row.requests / 1000:.1f} k", f"{row.memory}M", f"**{told(row, row.best)}**",
        *(told(row, peer) for peer in peers), beside(row, "seconds", 1, "{:.1f} s"),
        f"{beside(row, 'disk_reads', 1000, '{:.1f} k')} / {row.optimum_reads / 1000:.1f} k",
        f"{beside(row, 'disk_bytes', 1 << 20, '{:.0f}')} / {row.optimum_bytes / 2**20:.0f}",
        beside(row, "p50_us", 1000, "{:.2f}"), beside(row, "p99_us", 1000, "{:.1f}"),
    )


def told(row: TraceRow, peer: str | None) -> str:
    ratios = row.ratios(peer) if peer else []
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})" if ratios else "failed"


def beside(row: TraceRow, figure: str, unit: int, form: str) -> str:
    """This plugin's figure and the best peer's."""
    assert row.best
    return " / ".join(form.format(row.middle(server, figure) / unit) for server in (OURS, row.best))


def means(results: TraceResults, is_throttled: bool, width: int) -> list[tuple[str, ...]]:
    rows = results.of(is_throttled)
    found = {f"{limit} MiB": (results.mean(limit, is_throttled), sum(row.limit == limit for row in rows))
             for limit in results.limits}
    if len(found) > 1:
        found["all"] = results.mean(None, is_throttled), len(rows)
    return [(f"geometric mean, {name}, {count} rows", "", "", f"**{mean:.2f}**", *[""] * (width - 4))
            for name, (mean, count) in found.items() if mean]


def notes(results: TraceResults) -> list[str]:
    about = results.about
    where = about["machine"]
    most = about["most_requests"]
    peers = [key for key in PEERS if any(key in row.runs for row in results.rows)]
    search = (
        "In a quick run it is 12 MiB less than the group." if about["is_quick"] else
        "It is the largest with which it survived three runs in a row on the row's volume. In none of these three, and in less "
        "than half of the row's turns, did it read its own program more than 25 times, or once for 1000 requests if that is "
        "more. The steps are 1 MiB. More than 12 MiB less than the group is tried only if the trace can use it.")
    return [
        f"Traces of real block devices, replayed over NBD by one client that has {about['depth']} requests under way; "
        f"{'all requests' if most is None else f'the first {most} requests'} of each trace, and a flush at the end. The image has the "
        f"megabytes that a trace touches, side by side, and {CONTENTS[about['content']]}. Each server runs in a memory group of "
        "its own, page cache included. Before each run, caches are dropped, and as much memory as the group has is used once, "
        "because a virtual machine's host may have taken free memory back, and gives it again only slowly. Medians of "
        f"{about['turns']} "
        f"turn{'s' if about['turns'] > 1 else ''} (minimum to maximum), in each of which all servers run once; a ratio is one of "
        "a turn. The best peer is the one with the least median ratio. Time, reads, MiB and latencies: Flexpage's / the best "
        "peer's. The third figure of reads and of MiB is OPT's: what a cache of as many pages as `memory=` has would read if "
        "it knew the future, and did not read ahead. On the disk as it is, the servers' own programs, a few MiB, are among the "
        "reads.",
        "",
        f"`memory=` is for Flexpage. {search} A group in which all of a trace's pages fit is left out, if a smaller one "
        "was measured in which they fit too.",
        "",
        f"The slow volume is a loop device, and the server may read it {about['iops']} times and {about['mib']} MiB a second "
        f"(blkio). {where['processor']}, {where['memory']} of memory, {where['kernel']}, images on {where['disk']}; "
        f"{where['nbdkit']}, {where['qemu-nbd']}; load average at the start {about['load']}, nice {about['nice']}; "
        f"{about['date']}, the last session. The command is `{command(results)}`.",
        "",
        f"- {FLEXPAGE.title}: {', '.join(['`memory=` as told', *(f'`{word}`' for word in about['extra'])])}",
        *(f"- {title(peer)}: {options(peer)}" for peer in peers),
    ]


def command(results: TraceResults) -> str:
    """What measures these rows, with the settings that they have in common."""
    about = results.about
    words = {"limits": ",".join(map(str, results.limits)), "turns": about["turns"], "depth": about["depth"],
             "iops": about["iops"], "mib": about["mib"], "content": about["content"], "requests": about["most_requests"]}
    settings = [f"--{name} {value}" for name, value in words.items() if value] + [f"--set {word}" for word in about["extra"]]
    return " ".join(["Scripts/bench traces --traces DIR", *settings])


def options(peer: str) -> str:
    return "nbdkit's; `fadvise=normal`, so the kernel reads ahead" if peer == "file" else PEERS[peer].options


def headline(results: TraceResults) -> str:
    """What the project's README says beside the chart."""
    about = results.about
    means = [f"{mean:.2f} at {limit}" for limit in results.limits if (mean := results.mean(limit, True))]
    told = f" There, the geometric mean is {', '.join(means)} MiB." if means else ""
    text = (
        "Traces of block devices. Bars are medians; thin lines span minimum to maximum. The other servers are nbdkit's file "
        "plugin and qemu-nbd with and without the page cache. All had the same memory, page cache included. "
        f"The volume allows {about['iops']} reads and {about['mib']} MiB a second.{told}")
    image = "![The time of the best other server divided by Flexpage's, on traces](Scripts/benchmark/results/traces.svg)"
    return f"{image}\n\n{textwrap.fill(text, 119)}\n"
