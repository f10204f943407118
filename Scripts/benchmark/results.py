"""The results: computation and storage."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Iterator

from conditions import Conditions, Footnotes
from rows import BEST, ITSELF, ROWS, Goal, Row
from servers import RAW, title

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
    conditions: Conditions
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
    """The results of one session, or of several with some rows each. `about` is the same for all rows: machine, memory,
    images. The rest belongs to each row (`Conditions`)."""

    about: dict
    rows: list[RowResult] = field(default_factory=list)

    @property
    def peers(self) -> list[str]:
        """All peers that were measured, in the order of the rows."""
        keys = [comparison.peer for row in self.rows for comparison in row.comparisons]
        return sorted(set(keys), key=keys.index)

    @property
    def footnotes(self) -> Footnotes:
        return Footnotes(result.conditions for result in self.rows)

    @property
    def raw_depths(self) -> list[int]:
        """The depths at which the disk itself was read."""
        raw = [comparison for row in self.rows for comparison in row.comparisons if comparison.peer == RAW]
        return sorted({theirs["depth"] for comparison in raw for _, theirs in comparison.pairs})

    def put(self, result: RowResult) -> None:
        """Adds a row, in place of the one with the same key, if there is one. The order is that of a whole session."""
        rows = {each.row.key: each for each in self.rows} | {result.row.key: result}
        self.rows = [rows[row.key] for row in ROWS if row.key in rows]

    def continuing(self, kept: "Results") -> "Results":
        """Kept results, to which rows of this session can be added.

        Raises OSError if they cannot be in one table: another machine, other memory, other images.
        """
        now, then = flat(self.about), flat(kept.about)
        for what in {**now, **then}:
            if now.get(what) != then.get(what):
                raise OSError(f"{what} is {now.get(what)}, but {then.get(what)} in the results so far; measure all rows, "
                              "or collect them elsewhere with --output, and keep them with --show")
        return kept

    def save(self, path: Path) -> None:
        document = {
            "about": self.about,
            "rows": [
                {
                    "key": result.row.key, "title": result.row.title, "unit": result.row.unit, "fio": result.row.fio,
                    "conditions": asdict(result.conditions),
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
        # Once it was the same for all rows.
        kernel = {"kernel": document["about"]["machine"].pop("kernel")} if "kernel" in document["about"]["machine"] else {}
        return Results(document["about"], [
            RowResult(rows[kept["key"]], Conditions.of(kernel | kept["conditions"]), [
                Comparison(peer["peer"], [(ours, theirs) for ours, theirs in peer["pairs"]]) for peer in kept["peers"]
            ])
            for kept in document["rows"] if kept["key"] in rows
        ])


def flat(about: dict) -> dict:
    """The same with what describes the machine beside the rest."""
    return {key: value for key, value in about.items() if key != "machine"} | about["machine"]
