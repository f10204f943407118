"""When and how rows were measured, as far as rows of one table may differ."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Iterable


@dataclass(frozen=True, order=True)
class Conditions:
    date: str
    # At the start of the session. Rows that differ in nothing else have the same conditions.
    load: str = field(compare=False)
    # A machine's kernel may change between sessions, and it is what peers are made of.
    kernel: str
    # MiB of the limit that a server with its own bound leaves.
    margin: int
    pairs: int
    # Of each run; see Length in load.py.
    seconds: int
    warm_up: int
    fill: int
    # More keys for the plugin.
    extra: tuple[str, ...]

    @staticmethod
    def of(document: dict) -> "Conditions":
        """From what asdict has made of them, and JSON of that."""
        return Conditions(**document | {"extra": tuple(document["extra"])})

    @property
    def keys(self) -> list[str]:
        return [f"`{key}`" for key in self.extra]

    def differing(self, other: "Conditions") -> list[str]:
        """The names of what differs."""
        return [name for name in NAMES if getattr(self, name) != getattr(other, name)]

    def told(self, names: list[str]) -> str:
        """A few words about each of the named fields."""
        words = {
            "date": f"on {self.date}",
            "kernel": f"with {self.kernel}",
            "margin": f"with `memory=` {self.margin} MiB below the limit",
            "pairs": f"in {self.pairs} pair{'s' if self.pairs > 1 else ''} of runs with each peer",
            "seconds": f"in runs of {self.seconds} s",
            "warm_up": f"after {self.warm_up} s that do not count",
            "fill": f"after {self.fill} s to fill caches",
            "extra": f"with {', '.join(self.keys)}" if self.extra else "with no key but `memory=`",
        }
        return ", ".join(words[name] for name in names)


NAMES = [each.name for each in fields(Conditions) if each.compare]


class Footnotes:
    """Marks at the rows that were measured in another way than most. Without such rows there are none."""

    def __init__(self, conditions: Iterable[Conditions]):
        counts = Counter(conditions)
        # Of two equally frequent ones, the later.
        ranked = sorted(counts, key=lambda each: (counts[each], each), reverse=True)
        self.usual, others = next(iter(ranked), None), ranked[1:]
        self.marks = {each: superscript(number) for number, each in enumerate(sorted(others), 1)}

    def marked(self, title: str, conditions: Conditions) -> str:
        # With a space, because titles end with numbers.
        mark = self.marks.get(conditions)
        return f"{title}\N{NO-BREAK SPACE}{mark}" if mark else title

    @property
    def lines(self) -> list[str]:
        """A line for each mark: in what these rows differ from the others."""
        return [f"{mark} Measured {each.told(each.differing(self.usual))}." for each, mark in self.marks.items()]

    @property
    def plain_lines(self) -> list[str]:
        """The same without markup, for charts, which say nothing else about the other rows: so with a line for them."""
        names = [name for name in NAMES if any(name in each.differing(self.usual) for each in self.marks)]
        rest = [f"The others: {self.usual.told(names)}."] if names else []
        return [line.replace("`", "") for line in self.lines + rest]


def superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
