#!/usr/bin/env python3
"""Tests what `Scripts/bench images` computes from its measurements. Prints `PASS name` and `FAIL name: why`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import hanging  # noqa: E402
from checks import expect, status  # noqa: E402
import images  # noqa: E402

class FakeServers:
    """Servers with two misses more of each image at each look."""

    looks = 0

    def misses(self, number: int) -> int:
        if number == 0:
            self.looks += 1
        return 2 * self.looks


def job(name: str, requests: int, bandwidth: int = 0) -> dict:
    nothing = {"total_ios": 0, "short_ios": 0, "drop_ios": 0, "bw_bytes": 0, "iops": 0}
    return {"jobname": name, "read": nothing | {"total_ios": requests, "bw_bytes": bandwidth}, "write": nothing, "trim": nothing}


def hit_rates() -> None:
    eight = [job(f"image{number}", 10) for number in range(images.EIGHT)]
    found = images.hit_rate(FakeServers(), lambda: eight)
    expect("hits are the reads without the misses of the same time", abs(found["hit_rate"] - 0.8) < 1e-9, found)
    expect("without a ninth, nothing is said about it", "ninth_mib_per_second" not in found, found)
    found = images.hit_rate(FakeServers(), lambda: [*eight, job("ninth", 1000, 3 << 20)])
    expect("reads of the ninth are not those of the eight", found["requests"] == 80, found)
    expect("the ninth's bandwidth is told in MiB", found["ninth_mib_per_second"] == 3, found)
    found = images.hit_rate(FakeServers(), lambda: [job(f"image{number}", 1) for number in range(images.EIGHT)])
    expect("more misses than reads are a rate of 0", found["hit_rate"] == 0, found)


def stretches() -> None:
    # Two pairs of stretches of a second. fio logs each quarter of a second what one job did in it.
    times = [(True, 0.0, 1.0), (False, 1.0, 2.0), (False, 2.0, 3.0), (True, 3.0, 4.0)]
    points = [((quarter + 1) / 4, 90 if times[quarter // 4][0] else 100) for quarter in range(16)]
    found = hanging.compared("reads", times, points + points)
    expect("requests of all jobs count", found["without"] == [200, 200], found)
    expect("a stretch is compared with its neighbour, in either order", found["ratios"] == [0.9, 0.9], found)
    found = hanging.compared("reads", times[:2], [(0.5, 100), (9.0, 100)])
    expect("what is outside all stretches does not count", found["with"] == [25] and found["without"] == [0], found)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "log_iops.1.log").write_text("1500, 7, 0, 0, 0\n1750, 8, 0, 0, 0\n")
        (Path(name) / "other").write_text("1, 2\n")
        found = hanging.logged(Path(name))
    expect("fio's milliseconds become seconds", found == [(1.5, 7), (1.75, 8)], found)


def tables() -> None:
    runs = {kind: [{"kept": kept} for kept in (0.5, 1.0, 0.75)] for kind in images.KINDS}
    lines = images.shares_table({"scan": runs})
    expect("a share is the median of the runs, with the least and the largest", "**75.0 %** (50.0–100.0)" in lines[-1], lines)
    expect("each kind of server has a column", lines[0].count("|") == len(images.KINDS) + 2, lines)
    lines = images.hanging_table({"mix": {"ratios": [0.1, 0.8, 0.9, 1.0, 9.0], "without": [1000, 2000, 9000]}})
    expect("ratios are told by median and middle half", "**90 %** (80–100)" in lines[-1] and "2.0 k" in lines[-1], lines)
    where = {"processor": "P", "kernel": "K", "nbdkit": "N", "qemu-nbd": "Q", "fio": "F"}
    about = {"date": "2000-01-01", "load": "0.1", "limit_mib": 7, "turns": 5, "machine": where}
    told = images.section({"about": about, "hanging": {"mix": {"ratios": [1.0], "without": [1]}}})
    expect("what was not measured is not told", "greedy" not in told and "5 pairs" in told, told)


if __name__ == "__main__":
    hit_rates()
    stretches()
    tables()
    sys.exit(status())
