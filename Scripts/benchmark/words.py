"""How words of the command line are read."""

import argparse
from pathlib import Path
from typing import Callable


def choice(known: list[str]) -> Callable[[str], list[str]]:
    """Reads a list with commas of names that are known."""
    def read(words: str) -> list[str]:
        for word in words.split(","):
            if word not in known:
                raise argparse.ArgumentTypeError(f"there is no {word}: {', '.join(known)}")
        return words.split(",")
    return read


def absolute(word: str) -> Path:
    """A path that stays what it is when the directory is changed."""
    return Path(word).absolute()


def positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word} is no whole number above 0")
    return int(word)
