"""Where results go: the files of a directory, and the README between its markers."""

from pathlib import Path

from chart import chart
from results import Results
from table import notes, table

# Where results are kept with the benchmark, and where the README shows them.
KEPT = Path(__file__).parent / "results"
README = Path(__file__).parents[2] / "README.md"
DRAWING = "Scripts/benchmark/results/peers.svg"


def write(results: Results, directory: Path) -> None:
    """peers.json, peers.md and peers.svg."""
    directory.mkdir(parents=True, exist_ok=True)
    results.save(directory / "peers.json")
    (directory / "peers.md").write_text(table(results) + "\n" + notes(results))
    (directory / "peers.svg").write_text(chart(results))


def peers_section(results: Results) -> str:
    return f"{table(results)}\n![The same as a chart]({DRAWING})\n\n{notes(results)}"


def put_into_readme(name: str, body: str, readme: Path = README) -> None:
    """Replaces what stands between the markers of this name."""
    begin, end = f"<!-- Scripts/bench {name} --keep writes this -->\n", f"<!-- end of {name} -->"
    before, found, rest = readme.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise OSError(f"{readme} has no place for the results: the lines {begin.strip()} and {end}")
    readme.write_text(before + begin + "\n" + body + "\n" + end + after)
