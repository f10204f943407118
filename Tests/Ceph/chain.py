"""What is between a client and an RBD image: qemu-nbd, and nbdkit with the filter."""

from pathlib import Path

import nbd

from cluster import POOL, Cluster
from programs import Program, Trouble, wait_until


class QemuNbd:
    """A qemu-nbd that serves an image as the filter's man page says. It is killed and started again as a test wants."""

    def __init__(self, cluster: Cluster, image: str, cache: str = "none", keys: tuple[str, ...] = (), *options: str):
        self.cluster = cluster
        self.socket = cluster.directory / "qemu-nbd.sock"
        name = ":".join((f"rbd:{POOL}/{image}", f"conf={cluster.configuration}", *keys))
        self.command = [
            cluster.tree.program("qemu-nbd"), "-t", "-k", str(self.socket), "-f", "raw", f"--cache={cache}", *options, name,
        ]
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.program = Program(self.command, self.cluster.directory / "qemu-nbd.log", self.cluster.tree.environment)
        self.program.await_socket(self.socket)

    def kill(self) -> None:
        self.program.kill()

    def __enter__(self) -> "QemuNbd":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self.kill()
        else:
            self.program.stop()


class Filter:
    """nbdkit with the filter, before a qemu-nbd."""

    def __init__(self, filter: Path, below: QemuNbd, *keys: str):
        directory = below.cluster.directory
        self.socket = directory / "nbdkit.sock"
        self.socket.unlink(missing_ok=True)
        pid, log = directory / "nbdkit.pid", directory / "nbdkit.log"
        pid.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        self.program = Program(
            ["nbdkit", "-f", "-U", str(self.socket), "-P", str(pid), f"--filter={filter}", "nbd",
             f"socket={below.socket}", *keys], log)
        # The socket has a name before it accepts connections. The other file comes when it does.
        self.program.await_socket(pid)

    @property
    def log(self) -> str:
        return self.program.log

    def kill(self) -> None:
        self.program.kill()

    def stop(self) -> None:
        """Ends it, which writes out what it has."""
        status = self.program.stop(300)
        if status != 0:
            raise Trouble(f"nbdkit's exit status is {status}: {self.log[-2000:]}")

    def __enter__(self) -> "Filter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self.kill()
        elif not self.program.has_ended:
            self.stop()


def connect(socket: Path) -> nbd.NBD:
    """A client of a server on a Unix socket."""
    client = nbd.NBD()
    client.connect_unix(str(socket))
    return client


def await_export(socket: Path) -> None:
    """Waits until a server on a Unix socket accepts clients."""
    def accepts() -> bool:
        try:
            connect(socket).shutdown()
            return True
        except nbd.Error:
            return False
    wait_until(f"{socket.name} accepts no clients", accepts, 60)
