"""What `Scripts/bench traces` computes from its runs, and how it stores it."""

import json
import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from servers import FLEXPAGE

OURS = FLEXPAGE.key
# What is in the images.
CONTENTS = {"random": "incompressible content", "real": "ordinary files end to end, without holes"}
# What must be equal for rows to be in one table.
SETTINGS = ("machine", "turns", "most_requests", "depth", "iops", "mib", "content", "extra", "is_quick")

# A row's trace, memory group in MiB, and whether the disk is throttled.
Key = tuple[str, int, bool]


@dataclass
class TraceRow:
    """One trace, replayed in turns on all servers with the same memory."""

    trace: str
    limit: int
    is_throttled: bool
    requests: int
    # MiB of the image, and of the pages that are touched.
    image: int
    touched: float
    # The plugin's memory= in MiB.
    memory: int
    # What the best possible cache would read with as much memory (belady.py).
    optimum_reads: int
    optimum_bytes: int
    # By server, the run of each turn; None if it failed.
    runs: dict[str, list[dict | None]] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.trace, self.limit, self.is_throttled

    @property
    def peers(self) -> list[str]:
        """The peers with which at least one turn can be compared."""
        return [server for server in self.runs if server != OURS and self.ratios(server)]

    def ratios(self, peer: str) -> list[float]:
        """The peer's time divided by this plugin's, turn by turn, ascending."""
        pairs = zip(self.runs.get(OURS, []), self.runs.get(peer, []))
        return sorted(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs if ours and theirs)

    @property
    def best(self) -> str | None:
        """The fastest peer."""
        return min(self.peers, key=lambda peer: statistics.median(self.ratios(peer)), default=None)

    def middle(self, server: str, name: str) -> float:
        """The median of a figure over a server's runs."""
        return statistics.median(run[name] for run in self.runs[server] if run)


@dataclass
class TraceResults:
    about: dict
    # The largest memory= that survived, and with what it was found; by `fit_key`.
    fits: dict[str, dict] = field(default_factory=dict)
    rows: list[TraceRow] = field(default_factory=list)

    @property
    def limits(self) -> list[int]:
        return sorted({row.limit for row in self.rows})

    def of(self, is_throttled: bool) -> list[TraceRow]:
        return [row for row in self.rows if row.is_throttled == is_throttled]

    def mean(self, limit: int | None, is_throttled: bool) -> float | None:
        """The geometric mean over the traces of the best peer's time divided by this plugin's, with one memory group, or
        with all (None)."""
        return geometric_mean([statistics.median(row.ratios(row.best)) for row in self.of(is_throttled)
                               if limit in (row.limit, None) and row.best])

    def put(self, row: TraceRow) -> None:
        """Adds a row, in the place of the one with the same key, if there is one."""
        rows = {each.key: each for each in self.rows} | {row.key: row}
        self.rows = sorted(rows.values(), key=lambda each: (not each.is_throttled, each.trace.lower(), each.limit))

    def continuing(self, kept: "TraceResults") -> "TraceResults":
        """Kept results, to which rows of this session can be added. Raises OSError if they cannot be in one table."""
        for what in SETTINGS:
            if self.about.get(what) != kept.about.get(what):
                raise OSError(f"{what} is {self.about.get(what)}, but {kept.about.get(what)} in the kept results; "
                              "measure all traces, without --only")
        return TraceResults(self.about, kept.fits | self.fits, kept.rows)

    def save(self, path: Path) -> None:
        document = {"about": self.about, "fits": self.fits, "rows": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(document, indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> "TraceResults":
        document = json.loads(path.read_text())
        return TraceResults(document["about"], document["fits"], [TraceRow(**row) for row in document["rows"]])


def geometric_mean(values: list[float]) -> float | None:
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else None
