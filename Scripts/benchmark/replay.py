"""Compiles the program that replays traces, and runs it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("replay.c")
# Seconds for one replay. A server that takes longer hangs: the slowest one here takes minutes.
MOST_SECONDS = 3600
OPTIONS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class Replay:
    """The program, and what it replays."""

    program: Path
    trace: Path
    # The file that writes take their bytes from.
    content: Path
    depth: int

    @staticmethod
    def compiled(work: Path) -> Path:
        """The program, which is compiled again if its source is newer."""
        program = work / "replay"
        if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
            flags = output("pkg-config", "--cflags", "--libs", "libnbd").split()
            output("cc", *OPTIONS, "-o", str(program), str(SOURCE), *flags)
        return program

    def run(self, socket: Path, *options: str) -> dict:
        """Replays the trace once. Raises OSError if the server fails, or does not get done in MOST_SECONDS."""
        return json.loads(output(
            str(self.program), f"--depth={self.depth}", *options, str(socket), str(self.trace), str(self.content)))


def output(*command: str, seconds: float = MOST_SECONDS) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} was not done after {seconds} s, and was stopped") from None
    if result.returncode != 0:
        raise OSError(result.stderr.strip()[:2000] or f"{command[0]} ended with status {result.returncode}")
    return result.stdout
