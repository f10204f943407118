#!/usr/bin/env python3
"""manual.py TOOL: checks that the man page flexpage(1) has each subcommand and each option of the tool, and no other.
Prints what differs."""

import json
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "Sources/flexpage/flexpage.pod"
# What every subcommand has, and the page describes once for all of them.
COMMON = {"help", "version"}


def commands(tool: str) -> dict[str, set[str]]:
    """The tool's subcommands, each with its long options and those of the subcommands below it."""
    dump = json.loads(subprocess.run([tool, "--experimental-dump-help"], check=True, capture_output=True).stdout)
    return {command["commandName"]: options(command) for command in dump["command"]["subcommands"]
            if command["commandName"] != "help"}


def options(command: dict) -> set[str]:
    names = {name["name"] for argument in command.get("arguments", []) for name in argument.get("names", [])
             if name["kind"] == "long"}
    return names.union(*map(options, command.get("subcommands", []))) - COMMON


def described(page: str) -> dict[str, set[str]]:
    """The same from the page: a section for each subcommand. An option counts where it is described, not where another
    subcommand's is named as code."""
    sections = re.findall(r"^=head1 FLEXPAGE (\w+)\n(.*?)(?=^=head1 )", page, flags=re.M | re.S)
    return {name.lower(): set(re.findall(r"[BI]<--([a-z-]+)>", text)) for name, text in sections}


def in_synopsis(page: str) -> dict[str, set[str]]:
    synopsis = page.split("=head1 SYNOPSIS")[1].split("=head1 ")[0]
    found: dict[str, set[str]] = {}
    for name, text in re.findall(r"^ flexpage (\w+)(.*?)(?=^ flexpage |\Z)", synopsis, flags=re.M | re.S):
        if name != "help":
            found.setdefault(name, set()).update(re.findall(r"--([a-z-]+)", text))
    return found


def main() -> int:
    page = PAGE.read_text()
    wanted, status = commands(sys.argv[1]), 0
    for place, found in (("SYNOPSIS", in_synopsis(page)), ("the sections", described(page))):
        for name in sorted(wanted.keys() | found.keys()):
            differing = wanted.get(name, set()) ^ found.get(name, set())
            if differing or name not in wanted or name not in found:
                print(f"{PAGE.name}, {place}: {name} {' '.join(sorted(differing))}: the tool and the page differ",
                      file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
