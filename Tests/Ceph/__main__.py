"""Tests the filter before Ceph. Tests/Ceph/run starts it with the right paths."""

import argparse
import faulthandler
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import nbd

sys.path.insert(0, str(Path(__file__).parents[1] / "Scripts"))
import checks  # noqa: E402

import figures  # noqa: E402
from chain import Filter, QemuNbd, connect  # noqa: E402
from cluster import OSDS, Cluster  # noqa: E402
from ledger import SECTOR, Ledger  # noqa: E402
from model import Model, check  # noqa: E402
from programs import Tree, Trouble, wait_until  # noqa: E402
from writers import Writers  # noqa: E402

AWAY = "the nbd plugin does not answer"
BACK = "the nbd plugin answers again"
# Several times what the longest test takes.
LIMIT_SECONDS = 1800


class Tests:
    def __init__(self, cluster: Cluster, filter: Path):
        self.cluster = cluster
        self.filter = filter

    def model(self) -> None:
        """Commands of all kinds, with little memory. After each flush, the image itself is what it must be."""
        size = (64 << 20) + 3 * SECTOR
        self.cluster.make_image("model", size)
        with QemuNbd(self.cluster, "model") as below, Filter(self.filter, below, "memory=8M", "dirty-age=200ms") as above:
            clients = [connect(above.socket) for _ in range(3)]
            model = Model(size, clients, seed=1)
            for number in range(6):
                model.run(250)
                clients[number % 3].flush()
                check(self.cluster.contents("model"), model.bytes, f"the image after {number + 1} flushes")
            model.run(250)
            for client in clients:
                client.shutdown()
            above.stop()
        check(self.cluster.contents("model"), model.bytes, "the image after the end")

    def outages(self) -> None:
        ledger = Ledger((64 << 20) // SECTOR)
        self.cluster.make_image("outages", ledger.sectors * SECTOR)
        outages = {
            "OSDs are killed and stopped, one after the other": self.one_osd,
            "an OSD is away, and nbdkit is killed": self.killed_without_osd,
            "all OSDs are away for a while": self.all_osds,
            "qemu-nbd is killed and started again": self.qemu,
            "Ceph bars qemu-nbd, which is started again": self.barred,
        }
        for name, body in outages.items():
            if not test(f"Ceph: {name}", lambda: body(ledger)):
                self.cluster.mend()
                ledger.take(self.cluster.contents("outages"))

    def one_osd(self, ledger: Ledger) -> None:
        """Writes go on without an OSD. Nothing that was answered is missing in the end."""
        with self.writing(ledger, seed=1, outages=0) as (below, above, writers):
            for number, by in enumerate((signal.SIGKILL, signal.SIGTERM)[:OSDS]):
                self.cluster.end_osd(number, by)
                writers.await_flushes(5)
                self.cluster.start_osd(number)
                self.cluster.await_health()
                writers.await_flushes(3)

    def killed_without_osd(self, ledger: Ledger) -> None:
        """Nothing that was flushed is missing when nbdkit is killed while a copy of the data is away."""
        with QemuNbd(self.cluster, "outages") as below, self.filtered(below) as above:
            with Writers(ledger, above.socket, seed=2) as writers:
                writers.await_flushes(3)
                self.cluster.end_osd(0, signal.SIGKILL)
                writers.await_flushes(5)
                writers.is_over = True
                above.kill()
        # This waits for what qemu-nbd still had to do.
        ledger.check(self.cluster.contents("outages"), ledger.flushed, "without the OSD")
        self.cluster.start_osd(0)
        self.cluster.await_health()
        ledger.check(self.cluster.contents("outages"), ledger.flushed, "with the OSD again")
        ledger.take(self.cluster.contents("outages"))

    def all_osds(self, ledger: Ledger) -> None:
        """Requests wait while there is no OSD at all, and go on afterwards."""
        with self.writing(ledger, seed=3, outages=0) as (below, above, writers):
            for number in range(OSDS):
                self.cluster.daemons[f"osd.{number}"].kill()
            # All writers come to wait for a flush.
            time.sleep(3)
            for number in range(OSDS):
                self.cluster.start_osd(number)
            self.cluster.await_health()
            writers.await_flushes(3)

    def qemu(self, ledger: Ledger) -> None:
        """The image's lock is still the dead one's when the next qemu-nbd comes. Requests wait until Ceph gives it to the
        other. Nothing that was answered is missing in the end."""
        with self.writing(ledger, seed=4, outages=1) as (below, above, writers):
            below.kill()
            below.start()
            writers.await_flushes(5)

    def barred(self, ledger: Ledger) -> None:
        """Ceph no longer serves a client on its list. That qemu-nbd is of no use any more, and the next one is."""
        with self.writing(ledger, seed=5, outages=1) as (below, above, writers):
            for address in self.cluster.watchers("outages"):
                self.cluster.command("osd", "blocklist", "add", address)
            wait_until("qemu-nbd goes on, though it is barred", lambda: AWAY in above.log)
            below.kill()
            below.start()
            writers.await_flushes(5)

    @contextmanager
    def writing(self, ledger: Ledger, seed: int, outages: int) -> Iterator[tuple[QemuNbd, Filter, Writers]]:
        """Writers at work while the context lasts. In the end nothing that was answered is missing, and the log tells of so
        many outages."""
        with QemuNbd(self.cluster, "outages") as below, self.filtered(below) as above:
            with Writers(ledger, above.socket, seed=seed) as writers:
                writers.await_flushes(3)
                yield below, above, writers
                writers.check()
                writers.is_over = True
                above.stop()
        self.expect_log(above, outages)
        ledger.check(self.cluster.contents("outages"), ledger.answered, "after the end")

    def filtered(self, below: QemuNbd) -> Filter:
        # Everything that is written between two flushes stays in memory: the man page says why.
        return Filter(self.filter, below, "memory=64M", "dirty-age=200ms")

    def expect_log(self, above: Filter, outages: int) -> None:
        """The log has a line for the beginning of each outage of qemu-nbd, and one for its end. The nbd plugin has more to
        say."""
        for line in (AWAY, BACK):
            if above.log.count(line) != outages:
                raise Trouble(f"the log has {above.log.count(line)} lines {line!r}, not {outages}: {above.log[-2000:]}")

    def figures(self) -> None:
        figures.measure(self.cluster, self.filter)


def test(name: str, body: Callable[[], None]) -> bool:
    """Runs a test, and prints its result line. Returns whether it has passed. A test that hangs ends everything."""
    faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)
    try:
        body()
    except (Trouble, OSError, nbd.Error) as error:
        checks.expect(name, False, " ".join(str(error).split()))
        traceback.print_exc()
        return False
    finally:
        faulthandler.cancel_dump_traceback_later()
    checks.expect(name, True)
    return True


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Tests/Ceph/run", description=__doc__)
    for name in ("scratch", "tree", "filter"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    return parser.parse_args()


PARTS = {
    "model": lambda tests: test("Ceph: commands of all kinds", tests.model),
    "outages": lambda tests: tests.outages(),
    "figures": lambda tests: test("Ceph: figures beside librbd's cache", tests.figures),
}


def main() -> int:
    options = arguments()
    try:
        with Cluster(options.scratch / "cluster", Tree(options.tree)) as cluster:
            checks.expect("Ceph: the cluster begins", True)
            tests = Tests(cluster, options.filter)
            for part in options.parts or PARTS:
                PARTS[part](tests)
            print(f"figures: resident memory of the cluster, MiB: {cluster.memory()}")
    except (Trouble, OSError) as error:
        checks.expect("Ceph: the cluster runs", False, " ".join(str(error).split()))
        traceback.print_exc()
    return checks.status()


if __name__ == "__main__":
    sys.exit(main())
