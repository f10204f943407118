"""The results as Markdown."""

from results import Comparison, Results
from servers import FLEXPAGE, PEERS, RAW, title


def table(results: Results) -> str:
    """One line per row: this plugin's value, and the ratio to each peer."""
    peers = sorted(results.peers, key=[*PEERS, RAW, *results.peers].index)
    lines = [
        "| work | Flexpage | " + " | ".join(f"over {title(peer)}" for peer in peers) + " |",
        "|---|---|" + "---|" * len(peers),
    ]
    for result in results.rows:
        cells = [result.row.title, amount(result.ours, result.row.unit)]
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
    about = results.about
    machine = about["machine"]
    lines = [
        f"Measured on {about['date']}: {machine['processor']}, {machine['memory']} of memory, {machine['kernel']}, images on "
        f"{machine['disk']}; {machine['nbdkit']}, {machine['qemu-nbd']}, {machine['fio']}; load average at the start "
        f"{about['load']}.",
        "",
        f"{bound(about)} The image has {about['image_mib']} MiB of incompressible data, or {about['cached_image_mib']} MiB for "
        f"all hits. Caches are dropped before each run. A run takes {about['seconds']} s, after {about['warm_up']} s that do not "
        f"count. For random requests in an image larger than the memory, {about['fill']} s do not count, so that caches are "
        f"full. Sequential reads read the image once. With each peer, {about['pairs']} pairs of consecutive runs have the same "
        "requests. The table shows the median of this plugin's runs, and the median of the ratios of the pairs (minimum to "
        "maximum). For the scan, it shows what the peer kept.",
        "",
        *again(results),
    ]
    lines.append(f"- {FLEXPAGE.title}: {', '.join([FLEXPAGE.options, *(f'`{word}`' for word in about['extra'])])}")
    lines += [f"- {title(peer)}: {PEERS[peer].options}" for peer in results.peers if peer in PEERS]
    if RAW in results.peers:
        lines.append(f"- {title(RAW)}: fio's libaio on the image itself, at depth {about.get('raw_depth')}, the best of several depths")
    return "\n".join(lines) + "\n"


def again(results: Results) -> list[str]:
    """Which rows were measured on another day than the rest."""
    days = results.about.get("again", {})
    titles = {day: [row.row.title for row in results.rows if days.get(row.row.key) == day] for day in sorted(set(days.values()))}
    return [line for day, rows in titles.items() for line in (f"Measured again on {day}: {'; '.join(rows)}.", "") if rows]


def bound(about: dict) -> str:
    if about["has_groups"]:
        return f"Each server in a memory group of {about['limit_mib']} MiB (`memory=` is 48 MiB less), a new one for each run."
    return f"There were no memory groups, so only pairs that need none were run (`memory=` is {about['limit_mib']} MiB minus 48 MiB)."
