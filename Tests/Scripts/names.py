#!/usr/bin/env python3
"""Checks that what documents name exists: types, functions and files in backquotes, and linked files. Prints what is
missing."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Documents, and the folders where names in them are looked up. Other documents also name options and other programs.
MAPS = {"Sources/Paging/README.md": ("Sources/Paging",), "Tests/README.md": ("Tests", "Sources/Paging"),
        "Sources/Scheduling/README.md": ("Sources/Scheduling", "Sources/Paging", "Tests")}
LINKED = ("README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", "Scripts/benchmark/README.md",
          "Scripts/benchmark/ANALYSIS.md", "Scripts/benchmark/results/README.md", "Sources/flexpage/README.md", *MAPS)
DECLARED = r"\b(?:struct|class|enum|protocol|extension|func|var|let|case|typealias|actor)\s+(?:[\w.]+\.)?{}\b"
# Text in backquotes that is not a name from this repository.
FOREIGN = re.compile(r"^(kill -9|/dev/nbd0|[a-z-]+=\S*|FLEXPAGE_\w+.*|swift .*|Scripts/\S+( .*)?)$")


def sources(folders: tuple[str, ...]) -> tuple[str, set[str]]:
    """The text of all Swift files in the folders, and the names of files and folders."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    text = "\n".join(path.read_text() for path in paths if path.suffix == ".swift")
    return text, {name for path in paths for name in (path.name, path.stem)}


def missing_names(document: str, folders: tuple[str, ...]) -> list[str]:
    text, files = sources(folders)
    prose = re.sub(r"^( {4}).*$", "", (ROOT / document).read_text(), flags=re.M)
    missing = []
    for name in sorted(set(re.findall(r"`([^`\n]+)`", prose))):
        parts = [part for part in re.sub(r"\(.*\)$", "", name).split(".") if part and part != "swift"]
        if FOREIGN.match(name) or name in files or (ROOT / name).exists():
            continue
        missing += [f"{document}: {name}" for part in parts if part != "init"
                    and not re.search(DECLARED.format(re.escape(part)), text) and part not in files][:1]
    return missing


def missing_links(document: str) -> list[str]:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#\s]+)\)", path.read_text())
    return [f"{document}: ({link})" for link in links if "://" not in link and not (path.parent / link).exists()]


def main() -> int:
    missing = [each for document, folders in MAPS.items() for each in missing_names(document, folders)]
    missing += [each for document in LINKED for each in missing_links(document)]
    for each in missing:
        print(f"{each}: it does not exist", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
