"""A control group in which a disk is as slow as a cloud's volume, and whose reads are counted."""

import os
import stat
import time
from pathlib import Path

V1 = Path("/sys/fs/cgroup/blkio")
# The kernel counts only where there is a limit. No disk reaches this one.
UNREACHED = 1_000_000_000


class Throttle:
    """A context manager for a group whose processes read a disk no faster than this. It needs cgroup v1's blkio."""

    def __init__(self, near: Path, iops: int, bytes_per_second: int):
        """`near` is a file on the disk, or the disk."""
        self.path = V1 / f"flexpage-bench-{os.getpid()}"
        self.near, self.iops, self.bytes_per_second = near, iops, bytes_per_second

    @staticmethod
    def why_not() -> str | None:
        """The reason why no disk can be throttled here; None if one can be."""
        return None if os.access(V1 / "cgroup.procs", os.W_OK) else f"there is no {V1} that can be written"

    @staticmethod
    def unlimited(near: Path) -> "Throttle":
        """A group that only counts."""
        return Throttle(near, UNREACHED, UNREACHED << 10)

    def __enter__(self) -> "Throttle":
        self.disk = whole_disk(self.near)
        self.path.mkdir()
        try:
            (self.path / "blkio.throttle.read_iops_device").write_text(f"{self.disk} {self.iops}")
            (self.path / "blkio.throttle.read_bps_device").write_text(f"{self.disk} {self.bytes_per_second}")
        except OSError:
            self.path.rmdir()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for _attempt in range(100):
            try:
                return self.path.rmdir()
            except OSError:
                # A process that has just ended remains a member for a moment.
                time.sleep(0.05)
        # It does not hide what has gone wrong before.
        if error[0] is None:
            self.path.rmdir()

    def starting(self, command: list[str]) -> list[str]:
        """A command that joins the group and then becomes `command`."""
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *command]

    def usage(self) -> dict[str, int]:
        """The reads of the disk by the group's processes so far, and their bytes, as the throttle counts them."""
        return {
            "disk_reads": read_count((self.path / "blkio.throttle.io_serviced").read_text(), self.disk),
            "disk_bytes": read_count((self.path / "blkio.throttle.io_service_bytes").read_text(), self.disk),
        }


def read_count(text: str, disk: str) -> int:
    """The reads in a statistic of a group. A disk that was not used is not in it."""
    return next((int(words[2]) for line in text.splitlines() if (words := line.split())[:2] == [disk, "Read"]), 0)


def whole_disk(near: Path) -> str:
    """The numbers of the disk that a file is on, or of the disk itself."""
    about = os.stat(near)
    number = about.st_rdev if stat.S_ISBLK(about.st_mode) else about.st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    entry = Path(f"/sys/dev/block/{name}")
    if not entry.exists():
        raise OSError(f"{near} is on no disk that can be throttled")
    return (entry.resolve().parent / "dev").read_text().strip() if (entry / "partition").exists() else name
