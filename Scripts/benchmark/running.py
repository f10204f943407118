"""A running server."""

import os
import subprocess
import time
from pathlib import Path

from memory_group import MemoryGroup
from nbd import Connection
from servers import Server, Setting


class Running:
    """A server that runs while the context lasts. Its memory group, if any, exists before it and after it."""

    def __init__(self, server: Server, setting: Setting, group: MemoryGroup | None, log: Path):
        self.server = server
        self.setting = setting
        self.log = log
        command = server.command(setting)
        self.command = group.starting(command) if group else command

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.setting.socket}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> "Running":
        self.setting.socket.unlink(missing_ok=True)
        # The cache filter's file counts as page cache too, and needs room on a disk.
        environment = {**os.environ, "TMPDIR": str(self.setting.socket.parent)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            self.await_export()
            if self.server.is_filled:
                subprocess.run(["nbdcopy", str(self.setting.image), self.uri], check=True)
        except OSError as error:
            self.stop()
            raise self.failed(error) from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def await_export(self) -> None:
        """Waits until the export can be opened. The socket exists before the server listens."""
        while True:
            try:
                return Connection(str(self.setting.socket)).close()
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None:
                    raise OSError("it did not start") from None
                time.sleep(0.002)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.setting.socket.unlink(missing_ok=True)

    def failed(self, error: OSError) -> OSError:
        """The error, with what the server says about it."""
        return OSError(f"{error}; {self.server.title} says: {self.log.read_text().strip()[-2000:]}")

    def usage(self) -> dict[str, float]:
        """The resources used so far: seconds of processor time, bytes read from and written to disks, and how often a page
        of the program had to be read."""
        process = Path(f"/proc/{self.pid}")
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        moved = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
        return {
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "bytes_read": int(moved["read_bytes"]),
            "bytes_written": int(moved["write_bytes"]),
            "major_faults": int(fields[9]),
        }

    def peak_memory(self) -> int:
        """The maximum resident memory so far, bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise OSError("the kernel does not provide the peak of memory")
