"""The results as Markdown."""

from results import Comparison, Results
from servers import FLEXPAGE, PEERS, RAW, title


def table(results: Results) -> str:
    """One line per row: this plugin's value, and the ratio to each peer."""
    peers = sorted(results.peers, key=[*PEERS, RAW, *results.peers].index)
    footnotes = results.footnotes
    lines = [
        "| work | Flexpage | " + " | ".join(f"over {title(peer)}" for peer in peers) + " |",
        "|---|---|" + "---|" * len(peers),
    ]
    for result in results.rows:
        cells = [footnotes.marked(result.row.title, result.conditions), amount(result.ours, result.row.unit)]
        cells += [versus(result.of(peer), result.row.unit) for peer in peers]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def targets(results: Results) -> str:
    """For developers: the target of each row, and whether it is reached."""
    lines = [
        "# Targets",
        "",
        "`Scripts/bench peers --keep` writes this file. `../ANALYSIS.md` explains what limits the rows that fall short.",
        "",
        "| work | over | target | measured | |",
        "|---|---|---|---|---|",
    ]
    for result in results.rows:
        lines += [
            f"| {result.row.title} | {verdict.over} | {verdict.goal.minimum:g} | {verdict.measured:.2f} "
            f"| {'reached' if verdict.is_met else 'short'} |" for verdict in result.verdicts
        ]
    return "\n".join(lines) + "\n"


def versus(comparison: Comparison | None, unit: str) -> str:
    """The ratio to a peer. For hit rates, which may be 0, the peer's own value."""
    if comparison is None:
        return ""
    if unit == "kept":
        return f"({amount(comparison.theirs, unit)})"
    return f"**{comparison.ratio:.2f}** ({comparison.ratios[0]:.2f}–{comparison.ratios[-1]:.2f})"


def amount(value: float, unit: str) -> str:
    if unit == "kept":
        return f"{value * 100:.1f} %"
    if unit == "IOPS":
        return f"{value / 1000:.1f} k/s"
    return f"{value:.0f} {unit}"


def notes(results: Results) -> str:
    """How the results were measured."""
    about, machine = results.about, results.about["machine"]
    footnotes = results.footnotes
    usual = footnotes.usual
    lines = [
        f"Measured on {usual.date}: {machine['processor']}, {machine['memory']} of memory, {usual.kernel}, images on "
        f"{machine['disk']}; {machine['nbdkit']}, {machine['qemu-nbd']}, {machine['fio']}; load average at the start "
        f"{loads(results)}.",
        "",
        f"{bound(about, usual.margin)} The image has {about['image_mib']} MiB of incompressible data, or "
        f"{about['cached_image_mib']} MiB for all hits. Caches are dropped before each run. A run takes {usual.seconds} s, after {usual.warm_up} s that do not "
        f"count. For random requests in an image larger than the memory, {usual.fill} s do not count, so that caches are "
        f"full. Sequential reads read the image once. With each peer, {usual.pairs} pairs of consecutive runs have the same "
        "requests. The table shows the median of this plugin's runs, and the median of the ratios of the pairs (minimum to "
        "maximum). For the scan, it shows what the peer kept.",
        "",
        *(line for footnote in footnotes.lines for line in (footnote, "")),
        f"- {FLEXPAGE.title}: {', '.join([FLEXPAGE.options, *usual.keys])}",
    ]
    lines += [f"- {title(peer)}: {PEERS[peer].options}" for peer in results.peers if peer in PEERS]
    if depths := results.raw_depths:
        lines.append(f"- {title(RAW)}: fio's libaio on the image itself, at depth {' or '.join(map(str, depths))}, the best of "
                     "several depths")
    return "\n".join(lines) + "\n"


def loads(results: Results) -> str:
    """The load average at the start of the session, or the least and the largest of several."""
    found = sorted({result.conditions.load for result in results.rows}, key=float)
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def bound(about: dict, margin: int) -> str:
    limit = about["limit_mib"]
    if about["has_groups"]:
        return f"Each server in a memory group of {limit} MiB (`memory=` is {margin} MiB less), a new one for each run."
    return f"There were no memory groups, so only pairs that need none were run (`memory=` is {limit} MiB minus {margin} MiB)."
