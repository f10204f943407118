"""A Ceph cluster on this machine alone: a monitor, a manager, and two OSDs on sparse files."""

import json
import random
import signal
import socket
import time
import uuid
from pathlib import Path

from programs import Program, Tree, Trouble, run, wait_until

POOL = "test"
OSDS = 2
# Placement groups of the pool.
GROUPS = 16

# What is written in it: all in one directory, all on 127.0.0.1, no keys, and little memory. Two copies of everything,
# of which one suffices for reads and writes, so that they go on without one OSD. An OSD that is gone is not replaced.
CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind port min = {first_port}
ms bind port max = {last_port}
auth cluster required = none
auth service required = none
auth client required = none
keyring = {directory}/keyring
run dir = {directory}
log file = {directory}/$name.log
admin socket = {directory}/$name.asok
crash dir = {directory}/crash
plugin dir = {plugins}
erasure code dir = {plugins}/erasure-code
osd pool default size = 2
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[mon]
mon data = {directory}/$name
mon data avail crit = 0
mon data avail warn = 0
mon osd min down reporters = 1
mon osd down out interval = 86400
mon warn on pool no redundancy = false
[mgr]
mgr data = {directory}/$name
mgr module path = {modules}
[osd]
osd data = {directory}/$name
osd class dir = {classes}
osd objectstore = bluestore
osd crush initial weight = 1
crush location = root=default host=local
bluestore block size = 8589934592
bluestore cache autotune = false
bluestore cache size = 67108864
osd heartbeat interval = 1
osd heartbeat grace = 6
osd mclock skip benchmark = true
[client]
admin socket =
log file = {directory}/client.log
"""


class Cluster:
    """It runs while the context lasts."""

    def __init__(self, directory: Path, tree: Tree):
        self.directory = directory
        self.tree = tree
        self.configuration = directory / "ceph.conf"
        self.daemons: dict[str, Program] = {}

    def __enter__(self) -> "Cluster":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it begins and ends

    def start(self) -> None:
        self.directory.mkdir()
        self.configure()
        self.make_monitor()
        self.start_daemon("mgr.x")
        for number in range(OSDS):
            self.make_osd(number)
        self.command("osd", "set", "noscrub")
        self.command("osd", "set", "nodeep-scrub")
        self.command("osd", "pool", "create", POOL, str(GROUPS), str(GROUPS))
        self.command("osd", "pool", "application", "enable", POOL, "rbd")
        self.await_health()

    def configure(self) -> None:
        self.fsid, self.port = str(uuid.uuid4()), free_port()
        plugins = self.tree.library("ceph")
        self.configuration.write_text(CONFIGURATION.format(
            fsid=self.fsid, port=self.port, first_port=self.port + 1, last_port=self.port + 400,
            directory=self.directory, plugins=plugins, classes=self.tree.library("rados-classes"),
            modules=self.tree.path / "usr/share/ceph/mgr"))
        (self.directory / "keyring").write_text("")

    def make_monitor(self) -> None:
        (self.directory / "mon.a").mkdir()
        tool, environment = self.tree.program("monmaptool"), self.tree.environment
        monmap = self.directory / "monmap"
        run([tool, "--create", "--fsid", self.fsid, "--addv", "a", f"[v2:127.0.0.1:{self.port}]", str(monmap)],
            environment)
        run([*self.daemon("mon.a"), "--mkfs", "--monmap", str(monmap)], environment)
        self.start_daemon("mon.a")

    def make_osd(self, number: int) -> None:
        identity = str(uuid.uuid4())
        found = self.command("osd", "new", identity)["osdid"]
        if found != number:
            raise Trouble(f"the monitor calls OSD {number} {found}")
        (self.directory / f"osd.{number}").mkdir()
        run([*self.daemon(f"osd.{number}"), "--mkfs", "--osd-uuid", identity], self.tree.environment)
        self.start_daemon(f"osd.{number}")

    def stop(self) -> None:
        # Its data is not needed any more.
        for daemon in self.daemons.values():
            daemon.kill()

    # Its daemons

    def daemon(self, name: str) -> list[str]:
        """The beginning of a daemon's command."""
        kind, identity = name.split(".")
        return [self.tree.program(f"ceph-{kind}"), "-i", identity, "-c", str(self.configuration), "--cluster", "ceph"]

    def start_daemon(self, name: str) -> None:
        (self.directory / name).mkdir(exist_ok=True)
        self.daemons[name] = Program(
            [*self.daemon(name), "-f"], self.directory / f"{name}.output", self.tree.environment)

    def end_osd(self, number: int, by: signal.Signals) -> None:
        """Ends an OSD, in order or not, and waits until the monitor knows it."""
        daemon = self.daemons[f"osd.{number}"]
        if by == signal.SIGKILL:
            daemon.kill()
        else:
            daemon.stop()
        wait_until(f"the monitor does not see that OSD {number} is down", lambda: not self.osd(number)["up"])

    def start_osd(self, number: int) -> None:
        """Starts an OSD again, and waits until the monitor knows it. Until then, it may believe in the one before."""
        before = self.osd(number)["up_from"]
        self.start_daemon(f"osd.{number}")

        def is_up() -> bool:
            osd = self.osd(number)
            return osd["up"] and osd["up_from"] > before
        wait_until(f"OSD {number} does not come up", is_up)

    def mend(self) -> None:
        """Starts what has ended."""
        for name in [name for name, daemon in self.daemons.items() if daemon.has_ended]:
            if name.startswith("osd."):
                self.start_osd(int(name.removeprefix("osd.")))
            else:
                self.start_daemon(name)
        self.await_health()

    def osd(self, number: int) -> dict:
        return next(osd for osd in self.command("osd", "dump")["osds"] if osd["osd"] == number)

    # What it says

    def command(self, *words: str) -> object:
        """Asks the monitor something."""
        answer = run([
            self.tree.program("ceph"), "-c", str(self.configuration), "--connect-timeout", "60", *words, "--format=json",
        ], self.tree.environment)
        answer = answer.strip()
        return json.loads(answer) if answer else None

    def await_health(self) -> None:
        """Waits until all OSDs are up and all data has all its copies."""
        def is_so() -> bool:
            for name, daemon in self.daemons.items():
                if daemon.has_ended:
                    raise Trouble(f"{name} has ended: {self.last_words(name)}")
            osds = self.command("osd", "dump")["osds"]
            if len(osds) != OSDS or not all(osd["up"] and osd["in"] for osd in osds):
                return False
            # What placement groups said before the last OSD came up is out of date.
            epoch = max(osd["up_from"] for osd in osds)
            groups = self.command("pg", "dump", "pgs")
            groups = groups["pg_stats"] if isinstance(groups, dict) else groups
            return sum(group["state"] == "active+clean" and int(group["reported_epoch"]) >= epoch
                       for group in groups) >= max(GROUPS, len(groups))
        wait_until("the cluster is not healthy", is_so, 300)

    def last_words(self, name: str) -> str:
        paths = (self.directory / f"{name}.output", self.directory / f"{name}.log")
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in paths if path.exists())

    def memory(self) -> dict[str, int]:
        """The resident memory of each daemon, MiB."""
        return {
            name: int(line.split()[1]) >> 10
            for name, daemon in self.daemons.items() if not daemon.has_ended
            for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS:")
        }

    # Images

    def rbd(self, *words: str, seconds: float = 300) -> bytes:
        return run([self.tree.program("rbd"), "-c", str(self.configuration), *words],
                   self.tree.environment, seconds)

    def make_image(self, name: str, size: int) -> None:
        """Makes an image of zeroes, with the features that images have by default."""
        self.rbd("create", f"{POOL}/{name}", "--size", f"{size}B")

    def contents(self, name: str) -> bytes:
        """What is on an image, without anything between."""
        path = self.directory / "export"
        path.unlink(missing_ok=True)
        self.rbd("export", "--no-progress", f"{POOL}/{name}", str(path))
        contents = path.read_bytes()
        path.unlink()
        return contents

    def watchers(self, name: str) -> list[str]:
        """The addresses of the clients that have an image open for writing."""
        return [watcher["address"] for watcher in json.loads(
            self.rbd("status", "--format=json", f"{POOL}/{name}"))["watchers"]]

    def version(self) -> str:
        return run([self.tree.program("ceph-osd"), "--version"], self.tree.environment).decode().split()[2]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and probably many after it."""
    for _ in range(100):
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                time.sleep(0.01)
    raise Trouble("127.0.0.1 has no free ports")
