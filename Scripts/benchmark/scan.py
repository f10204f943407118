"""How much of its hit rate a hot set keeps while a scan reads the rest of the image.

No server reports the hits of the hot set, so misses are counted in the same way for all: by the bytes that the server's
process reads from the disk. The scan reads each byte once, and none of these bytes can be in memory. All other bytes are
misses of the hot set (or waste, which counts against the server).

Both clients have a fixed rate. So the scan brings in the same amount of data between two uses of a page on every server
that keeps up: about three times the memory. If a server does not keep up, the results have its actual rates.
"""

from fio import client, fio, requests, seeded
from running import Running

PAGE = 4096
# Requests per second, and bytes per second.
HOT_RATE = 5000
SCAN_RATE = 128 << 20


def run_scan(running: Running, image: int, seed: int) -> dict:
    """One run on a server. `image` is its size in bytes."""
    hot = min(running.setting.limit // 3, image // 4)
    reader = (*client("hot", running.uri), "--rw=randread", "--bs=4k", "--norandommap", f"--size={hot}")
    # So often that by chance no more than one of 400 pages is never read.
    fio(*reader, "--iodepth=16", f"--io_size={6 * hot}", *seeded(seed))
    reader += ("--iodepth=4", *seeded(seed + 1000))
    alone = hit_rate(running, lambda: fio(*reader, f"--io_size={2 * hot}"), scanned=0)
    # When the scan ends, both end.
    scanner = (*client("scan", running.uri), "--rw=read", "--bs=256k", "--iodepth=4", f"--offset={hot}",
               f"--size={image - hot}", f"--rate={SCAN_RATE}", "--exitall")
    beside = hit_rate(running, lambda: fio(
        *reader, "--time_based", "--runtime=3600", f"--rate_iops={HOT_RATE}", *scanner), scanned=image - hot)
    return {"value": beside["hit_rate"] / alone["hit_rate"], "alone": alone, "beside": beside}


def hit_rate(running: Running, load, scanned: int) -> dict:
    """The share of the hot set's requests that did not cause a read of the disk."""
    before = running.usage()["bytes_read"]
    jobs = {job["jobname"]: job for job in load()}
    missed = max(0, running.usage()["bytes_read"] - before - scanned) / PAGE
    reads = requests(jobs["hot"])
    result = {"hit_rate": max(0.0, 1 - missed / reads), "hot_iops": jobs["hot"]["read"]["iops"]}
    if "scan" in jobs:
        result["scan_mib_per_second"] = jobs["scan"]["read"]["bw_bytes"] / 2**20
    return result
