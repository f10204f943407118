"""Parsers for the values of command line options."""

import argparse
from pathlib import Path
from typing import Callable


def choice(known: list[str]) -> Callable[[str], list[str]]:
    """Parses a comma-separated list of known names."""
    def read(words: str) -> list[str]:
        for word in words.split(","):
            if word not in known:
                raise argparse.ArgumentTypeError(f"unknown: {word}; expected {', '.join(known)}")
        return words.split(",")
    return read


def absolute(word: str) -> Path:
    """A path that stays valid when the working directory changes."""
    return Path(word).absolute()


def positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word}: not a number above 0")
    return int(word)


def numbers(words: str) -> list[int]:
    """Parses a comma-separated list of numbers."""
    return [positive(word) for word in words.split(",")]


def add_output(parser: argparse.ArgumentParser, keep: str = "", output: str = "") -> None:
    """Adds the options that all measurements with kept results have.
    - keep, output: What else --keep and --output do."""
    add = parser.add_argument
    add("--output", type=absolute, metavar="DIR", help=f"where to write results (.build/bench/results){output}")
    add("--keep", action="store_true", help=f"write results to Scripts/benchmark/results, and into its README{keep}")
    add_places(parser)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Adds what Scripts/bench passes to all measurements of a server: a working directory, and the plugin."""
    for name in ("--work", "--plugin"):
        parser.add_argument(name, type=absolute, required=True, help=argparse.SUPPRESS)
