"""A memory control group: the same limit for every server, page cache included."""

import os
import time
from pathlib import Path

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A context manager for a new group, used for one run only, so that no earlier page cache is charged to it."""

    serial = 0

    def __init__(self, limit: int):
        MemoryGroup.serial += 1
        self.is_unified = (V2 / "cgroup.controllers").exists()
        self.limit = limit
        self.path = (V2 if self.is_unified else V1) / f"flexpage-bench-{os.getpid()}-{MemoryGroup.serial}"

    @staticmethod
    def why_not() -> str | None:
        """The reason why groups are not available here; None if they are."""
        try:
            with MemoryGroup(64 << 20):
                return None
        except OSError as error:
            return f"memory control groups are not available: {error}"

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
                # A process that has just ended remains a member for a moment.
                time.sleep(0.05)
        self.path.rmdir()

    def usage(self) -> dict[str, int]:
        """The maximum that was charged to the group in bytes, if the kernel provides it."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            if (self.path / name).exists():
                return {"group_peak_bytes": int((self.path / name).read_text())}
        return {}

    def kills(self) -> int:
        """The processes that the kernel has killed because the group had no memory left."""
        text = (self.path / ("memory.events" if self.is_unified else "memory.oom_control")).read_text()
        return dict((words[0], int(words[1])) for line in text.splitlines() if (words := line.split()))["oom_kill"]

    def starting(self, command: list[str]) -> list[str]:
        """A command that joins the group and then becomes `command`. It must be a member before it opens a file, because
        page cache is charged to the group that touches it first."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *command]
