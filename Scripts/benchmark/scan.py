"""How much of its hit rate a hot set keeps while a scan runs through the rest of the image.

No server tells which of its hits were the hot set's, so misses are counted where they are the same for all: in the bytes
that the server's process reads from the disk. The scan reads each byte once, and none of them can be in memory; what is
read beyond those bytes are misses of the hot set (or waste, which is held against the server).

Both clients have a fixed rate, so that what the scan brings in between two uses of a page is the same for all servers
that keep up: at the rates below some three times the memory. Where a server does not keep up, the rates that it had are
in the results.
"""

from fio import client, fio, requests, seeded
from running import Running

PAGE = 4096
# Requests a second, and bytes a second.
HOT_RATE = 5000
SCAN_RATE = 128 << 20


def run_scan(running: Running, image: int, seed: int) -> dict:
    """One run on a server. `image` is its size in bytes."""
    hot = min(running.setting.limit // 3, image // 4)
    reader = (*client("hot", running.uri), "--rw=randread", "--bs=4k", "--norandommap", f"--size={hot}")
    # So often that a page which was missed by chance is no more than one of 400.
    fio(*reader, "--iodepth=16", f"--io_size={6 * hot}", *seeded(seed))
    reader += ("--iodepth=4", *seeded(seed + 1000))
    alone = hit_rate(running, lambda: fio(*reader, f"--io_size={2 * hot}"), scanned=0)
    # The scan's end is the end of both.
    scanner = (*client("scan", running.uri), "--rw=read", "--bs=256k", "--iodepth=4", f"--offset={hot}",
               f"--size={image - hot}", f"--rate={SCAN_RATE}", "--exitall")
    beside = hit_rate(running, lambda: fio(
        *reader, "--time_based", "--runtime=3600", f"--rate_iops={HOT_RATE}", *scanner), scanned=image - hot)
    return {"value": beside["hit_rate"] / alone["hit_rate"], "alone": alone, "beside": beside}


def hit_rate(running: Running, load, scanned: int) -> dict:
    """The share of the hot set's requests in a load for which the disk was not read."""
    before = running.usage()["bytes_read"]
    jobs = {job["jobname"]: job for job in load()}
    missed = max(0, running.usage()["bytes_read"] - before - scanned) / PAGE
    reads = requests(jobs["hot"])
    result = {"hit_rate": max(0.0, 1 - missed / reads), "hot_iops": jobs["hot"]["read"]["iops"]}
    if "scan" in jobs:
        result["scan_mib_per_second"] = jobs["scan"]["read"]["bw_bytes"] / 2**20
    return result
