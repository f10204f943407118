"""A memory control group: the bound that holds for a server and the page cache that it fills, alike for all."""

import os
import time
from pathlib import Path

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A new group of its own for one run, so that no page cache is charged to it before. A context manager."""

    serial = 0

    def __init__(self, limit: int):
        MemoryGroup.serial += 1
        self.is_unified = (V2 / "cgroup.controllers").exists()
        self.limit = limit
        self.path = (V2 if self.is_unified else V1) / f"flexpage-bench-{os.getpid()}-{MemoryGroup.serial}"

    @staticmethod
    def why_not() -> str | None:
        """Why no group can be had here; None where one can."""
        try:
            with MemoryGroup(64 << 20):
                return None
        except OSError as error:
            return f"no memory control group can be had: {error}"

    def __enter__(self) -> "MemoryGroup":
        if self.is_unified:
            (V2 / "cgroup.subtree_control").write_text("+memory")
        elif not (V1 / "cgroup.procs").exists():
            raise FileNotFoundError(f"there is none at {V1}")
        self.path.mkdir()
        try:
            name = "memory.max" if self.is_unified else "memory.limit_in_bytes"
            (self.path / name).write_text(str(self.limit))
        except OSError:
            self.path.rmdir()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_unified:
            (self.path / "memory.force_empty").write_text("0")
        for _attempt in range(100):
            try:
                return self.path.rmdir()
            except OSError:
                # A process that has just ended is a member for a moment still.
                time.sleep(0.05)
        self.path.rmdir()

    def usage(self) -> dict[str, int]:
        """The most that was charged to it, bytes, where the kernel tells."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if (self.path / name).exists():
                return {"group_peak_bytes": int((self.path / name).read_text())}
        return {}

    def starting(self, command: list[str]) -> list[str]:
        """The command that joins the group first and then becomes `command`: page cache is charged to who touches it
        first, so it has to be a member before it opens anything."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *command]
