"""The results as Markdown."""

from results import Comparison, Results
from servers import FLEXPAGE, PEERS, RAW, title


def table(results: Results) -> str:
    """A line a row: this plugin's figure, and the ratio over each peer."""
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
    """For those who work on it: what each row is to reach, and what it reaches."""
    lines = [
        "# What the rows aim at",
        "",
        "Written by `Scripts/bench peers --keep`, beside the results. `../ANALYSIS.md` says what bounds the rows that",
        "fall short.",
        "",
        "| work | over | wanted | measured | |",
        "|---|---|---|---|---|",
    ]
    for result in results.rows:
        lines += [
            f"| {result.row.title} | {verdict.over} | {verdict.goal.minimum:g} | {verdict.measured:.2f} "
            f"| {'reached' if verdict.is_met else 'short'} |" for verdict in result.verdicts
        ]
    return "\n".join(lines) + "\n"


def versus(comparison: Comparison | None, unit: str) -> str:
    """The ratio over a peer; of hit rates, which some peers lose altogether, the peer's own."""
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
    """What the figures are figures of."""
    about = results.about
    machine = about["machine"]
    lines = [
        f"Measured on {about['date']}: {machine['processor']}, {machine['memory']} of memory, {machine['kernel']}, images on "
        f"{machine['disk']}; {machine['nbdkit']}, {machine['qemu-nbd']}, {machine['fio']}; load average at the start "
        f"{about['load']}.",
        "",
        f"{bound(about)} An image of {about['image_mib']} MiB that nothing can compress, one of {about['cached_image_mib']} MiB "
        f"for all hits; caches dropped before each run. Runs of {about['seconds']} s after {about['warm_up']} s that do not count, "
        f"or {about['fill']} s where the places are random and the image is larger than the memory, so that caches are full; "
        f"sequential reads once from end to end. Pairs of runs with each peer, one after the other with the same requests: "
        f"{about['pairs']}. In the table: the median of this plugin's runs; the median of the ratios pair by pair (least to "
        "most), and of the scan what the peer kept.",
        "",
        *again(results),
    ]
    lines.append(f"- {FLEXPAGE.title}: {', '.join([FLEXPAGE.options, *(f'`{word}`' for word in about['extra'])])}")
    lines += [f"- {title(peer)}: {PEERS[peer].options}" for peer in results.peers if peer in PEERS]
    if RAW in results.peers:
        lines.append(f"- {title(RAW)}: fio's libaio on the image itself, at depth {about.get('raw_depth')}, the best of several")
    return "\n".join(lines) + "\n"


def again(results: Results) -> list[str]:
    """Which rows are of another day than the rest."""
    days = results.about.get("again", {})
    titles = {day: [row.row.title for row in results.rows if days.get(row.row.key) == day] for day in sorted(set(days.values()))}
    return [line for day, rows in titles.items() for line in (f"Measured again on {day}, alone: {'; '.join(rows)}.", "") if rows]


def bound(about: dict) -> str:
    if about["has_groups"]:
        return f"Each server in a memory group of {about['limit_mib']} MiB (`memory=` less 48 MiB), new for each run."
    return f"There were no memory groups, so only pairs that need none were run (`memory=` {about['limit_mib']} MiB less 48 MiB)."
