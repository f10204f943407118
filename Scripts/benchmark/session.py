"""A session of measurements: the order of rows and peers, and messages about the progress."""

import datetime
import dataclasses
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import machine
import report
from conditions import Conditions
from load import Length, Raw, run
from memory_group import MemoryGroup
from results import Comparison, Results, RowResult
from rows import Row
from servers import BASELINE, BESIDE, FLEXPAGE, PEERS, RAW, Server, Setting
from table import amount, table


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def make_image(work: Path, mebibytes: int) -> Path:
    """An incompressible image. It is kept for later sessions, in the state in which writing rows have left it."""
    path = work / f"image-{mebibytes}M"
    if not path.exists() or path.stat().st_size != mebibytes << 20:
        say(f"Making an image of {mebibytes} MiB")
        source = random.Random(mebibytes)
        with path.open("wb") as file:
            for _ in range(mebibytes):
                file.write(source.randbytes(1 << 20))
    return path


@dataclass(frozen=True)
class Plan:
    """The plan of a session. Sizes are in MiB."""

    rows: list[Row]
    # The measured peers of each row; None for all.
    peers: list[str] | None
    pairs: int
    length: Length
    limit: int
    image: int
    plugin: Path
    baseline: Path | None
    # More keys for the plugin.
    extra: tuple[str, ...]
    # Directories: of images and sockets, and of results.
    work: Path
    output: Path

    @property
    def cached_image(self) -> int:
        """Fits into every server's memory, with room to spare."""
        return max((self.limit - 48) * 2 // 3, 2)


class Session:
    def __init__(self, plan: Plan):
        self.plan = plan
        self.raw = Raw()
        self.servers = PEERS | {BASELINE: dataclasses.replace(FLEXPAGE, key=BASELINE, title=BASELINE)}
        self.failures = 0
        why_not = MemoryGroup.why_not()
        self.has_groups = why_not is None
        if why_not:
            say(f"{why_not}. Only pairs whose servers do not need them are run.")
        if not machine.drop_caches():
            say("Caches cannot be dropped without root.")
        about = machine.description(plan.work)
        self.conditions = Conditions(
            date=datetime.date.today().isoformat(), load=f"{os.getloadavg()[0]:.1f}", kernel=about.pop("kernel"),
            margin=BESIDE >> 20, pairs=plan.pairs, **dataclasses.asdict(plan.length), extra=plan.extra)
        # Rows of earlier sessions may be put in its place; see Results.continuing.
        self.results = Results({
            "machine": about, "limit_mib": plan.limit, "image_mib": plan.image,
            "cached_image_mib": plan.cached_image, "has_groups": self.has_groups,
        })

    def run(self) -> Results:
        """Measures everything. All files but the charts are up to date after each row."""
        for row in self.plan.rows:
            result = self.measure(row)
            if result.comparisons:
                self.results.put(result)
                report.write_tables(self.results, self.plan.output)
        if self.results.rows:
            report.write(self.results, self.plan.output)
        print(table(self.results))
        return self.results

    def measure(self, row: Row) -> RowResult:
        say(f"\n{row.title}  ({row.key})")
        image = make_image(self.plan.work, self.plan.cached_image if row.is_cached else self.plan.image)
        result = RowResult(row, self.conditions)
        for peer in self.peers(row):
            comparison = self.compare(row, peer, image)
            if comparison.pairs:
                result.comparisons.append(comparison)
        if result.comparisons:
            for verdict in result.verdicts:
                say(f"  {verdict.text}")
        return result

    def peers(self, row: Row) -> list[str]:
        keys = [key for key in row.peers if self.plan.peers is None or key in self.plan.peers]
        if not self.has_groups and not row.is_cached:
            keys = [key for key in keys if key == RAW or not PEERS[key].needs_group]
        return keys + ([BASELINE] if self.plan.baseline else [])

    def compare(self, row: Row, peer: str, image: Path) -> Comparison:
        comparison = Comparison(peer)
        for number in range(self.plan.pairs):
            try:
                ours = self.one(row, FLEXPAGE, image, number)
                theirs = self.raw.run(row, image) if peer == RAW else self.one(row, self.servers[peer], image, number)
            except OSError as error:
                say(f"  {peer}: {error}")
                self.failures += 1
                continue
            comparison.pairs.append((ours, theirs))
            say(f"  {peer:15}{amount(ours['value'], row.unit):>12}{amount(theirs['value'], row.unit):>12}"
                f"   processor µs per request {cost(ours):>6} {cost(theirs):>6}")
        if comparison.pairs:
            ratios = comparison.ratios
            say(f"  {peer:15}ratio {ratios[0]:.2f} {comparison.ratio:.2f} {ratios[-1]:.2f}")
        return comparison

    def one(self, row: Row, server: Server, image: Path, number: int) -> dict:
        plan = self.plan
        plugin = plan.baseline if server.key == BASELINE and plan.baseline else plan.plugin
        extra = plan.extra if server is FLEXPAGE else ()
        setting = Setting(image, plan.work / "socket", plugin, plan.limit << 20, row.advice, extra)
        return run(row, server, setting, self.has_groups, plan.length, seed=1 + number)


def cost(outcome: dict) -> str:
    """A server's processor time in microseconds per request. It is slightly high: it includes the time, but not the
    requests, of the warm-up."""
    if "server_cpu_seconds" not in outcome:
        return "-"
    return f"{outcome['server_cpu_seconds'] * 1e6 / outcome['requests']:.1f}"
