#!/usr/bin/env python3
"""Checks that lines of code and comments have at most 120 columns. The formatters check only code, and not what they
cannot break."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLUMNS = 120


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "Sources", "Plugin", "Tests", "Scripts"], cwd=ROOT, capture_output=True,
                            text=True, check=True).stdout.split()
    wide = 0
    for name in (name for name in listed if name.endswith((".swift", ".c", ".h"))):
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if len(line) > COLUMNS:
                print(f"{name}:{number}: {len(line)} columns; expected at most {COLUMNS}", file=sys.stderr)
                wide += 1
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
