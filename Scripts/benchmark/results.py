"""The results: computation and storage."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from rows import BEST, ITSELF, ROWS, Goal, Row
from servers import title

# If a peer keeps nothing of its hit rate, this avoids an infinite ratio.
LEAST = 0.001


@dataclass
class Comparison:
    """This plugin and one peer: pairs of consecutive runs."""

    peer: str
    pairs: list[tuple[dict, dict]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """This plugin's values divided by the peer's, ascending."""
        return sorted(ours["value"] / max(theirs["value"], LEAST) for ours, theirs in self.pairs)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def theirs(self) -> float:
        return statistics.median(theirs["value"] for _, theirs in self.pairs)


@dataclass
class RowResult:
    row: Row
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def ours(self) -> float:
        return statistics.median(ours["value"] for comparison in self.comparisons for ours, _ in comparison.pairs)

    def of(self, peer: str) -> Comparison | None:
        return next((comparison for comparison in self.comparisons if comparison.peer == peer), None)

    @property
    def verdicts(self) -> Iterator["Verdict"]:
        """The verdicts for all goals whose peer was measured."""
        for goal in self.row.goals:
            if goal.over == ITSELF:
                yield Verdict(goal, "itself without the scan", self.ours)
            elif goal.over == BEST:
                found = [comparison for key in self.row.contenders if (comparison := self.of(key))]
                if found:
                    best = min(found, key=lambda comparison: comparison.ratio)
                    whose = "the best" if len(found) == len(self.row.contenders) else "the best measured"
                    yield Verdict(goal, f"{whose} ({title(best.peer)})", best.ratio)
            elif comparison := self.of(goal.over):
                yield Verdict(goal, title(goal.over), comparison.ratio)


@dataclass(frozen=True)
class Verdict:
    goal: Goal
    over: str
    measured: float

    @property
    def is_met(self) -> bool:
        return self.measured >= self.goal.minimum

    @property
    def text(self) -> str:
        return f"{'reached' if self.is_met else 'short'}: {self.measured:.2f} over {self.over}, wanted {self.goal.minimum:g}"


@dataclass
class Results:
    """The results of one session. `about` describes it: machine, date, memory, lengths of runs."""

    about: dict
    rows: list[RowResult] = field(default_factory=list)

    @property
    def peers(self) -> list[str]:
        """All peers that were measured, in the order of the rows."""
        keys = [comparison.peer for row in self.rows for comparison in row.comparisons]
        return sorted(set(keys), key=keys.index)

    def put_into(self, kept: "Results") -> "Results":
        """The kept results, in which these rows, with their date, replace those of the same key.

        Raises OSError if they cannot be in one table: another machine, other memory, other runs.
        """
        for what in ("machine", "limit_mib", "image_mib", "cached_image_mib", "pairs", "seconds", "warm_up", "fill",
                     "has_groups", "extra"):
            if self.about[what] != kept.about[what]:
                raise OSError(f"{what} is {self.about[what]}, but {kept.about[what]} in the kept results; measure all rows")
        new = {result.row.key: result for result in self.rows}
        old = [result.row.key for result in kept.rows]
        again = kept.about.get("again", {}) | {key: self.about["date"] for key in new}
        rows = [new.get(result.row.key, result) for result in kept.rows]
        rows += [result for key, result in new.items() if key not in old]
        return Results(kept.about | {"again": again}, rows)

    def save(self, path: Path) -> None:
        document = {
            "about": self.about,
            "rows": [
                {
                    "key": result.row.key, "title": result.row.title, "unit": result.row.unit, "fio": result.row.fio,
                    "targets": [verdict.text for verdict in result.verdicts],
                    "peers": [
                        {"peer": comparison.peer, "ratios": comparison.ratios, "median": comparison.ratio,
                         "pairs": comparison.pairs}
                        for comparison in result.comparisons
                    ],
                }
                for result in self.rows
            ],
        }
        path.write_text(json.dumps(document, indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "Results":
        """Reads what `save` wrote. Rows that no longer exist are left out."""
        document = json.loads(path.read_text())
        rows = {row.key: row for row in ROWS}
        return Results(document["about"], [
            RowResult(rows[kept["key"]], [
                Comparison(peer["peer"], [(ours, theirs) for ours, theirs in peer["pairs"]]) for peer in kept["peers"]
            ])
            for kept in document["rows"] if kept["key"] in rows
        ])
