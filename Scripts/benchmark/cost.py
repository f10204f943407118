"""The cost of the plugin: instructions per request, memory for metadata, and start-up with a very large image."""

import argparse
import datetime
import os
import statistics
import subprocess
import time
from pathlib import Path

import machine
import report
from callgrind import KINDS, Instructions, count, strip
from cells import cells
from fio import client, fio, seeded
from running import Running
from servers import BESIDE, FLEXPAGE, Setting
from session import make_image, say
from words import absolute, add_output, positive

# For start-up: the sizes of the images, and `memory=`.
SMALL_IMAGE, LARGE_IMAGE = 1 << 30, 15 << 40
MEMORY = 64 << 20


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench cost", description=__doc__)
    add = parser.add_argument
    add("--requests", type=positive, default=5000, metavar="N", help="requests of the short runs under callgrind (5000)")
    add("--starts", type=positive, default=9, metavar="N", help="starts with each image (9)")
    add_output(parser)
    add("--tool", type=absolute, required=True, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    work, plugin = options.work, options.plugin
    with machine.reserved(work):
        figures = {
            "date": datetime.date.today().isoformat(),
            "machine": machine.description(work),
            "instructions": instructions(plugin, work, options.requests),
            "metadata": metadata(options.tool),
            "starts": [start(plugin, work, size, options.starts) for size in (SMALL_IMAGE, LARGE_IMAGE)],
        }
    report.write_document("cost", figures, markdown(figures), options)
    return 0


def metadata(tool: Path) -> str:
    return subprocess.run([tool, "measure", "metadata"], check=True, capture_output=True, text=True).stdout


def instructions(plugin: Path, work: Path, requests: int) -> dict[str, dict]:
    stripped = strip(plugin, work)
    counted = {}
    for kind in KINDS:
        say(f"Counting the instructions of a {kind.name}")
        counted[kind.name] = vars(count(kind, make_image(work, kind.image), stripped, work, requests))
    return counted


def start(plugin: Path, work: Path, size: int, starts: int) -> dict:
    """Starts the server with a sparse image of `size` bytes, or as large as the filesystem permits."""
    say(f"Starting with a sparse image of {size >> 30} GiB")
    image = work / "sparse"
    image.touch()
    try:
        size = make_sparse(image, size)
        times, peaks = [], []
        for _ in range(starts):
            begin = time.monotonic()
            setting = Setting(image, work / "socket", plugin, MEMORY + BESIDE, "random")
            with Running(FLEXPAGE, setting, None, work / "server.log") as running:
                times.append(time.monotonic() - begin)
                idle = running.peak_memory()
                fio(*client("load", running.uri), "--rw=randrw", "--bs=4k", "--iodepth=16", "--norandommap",
                    f"--io_size={2 * setting.memory}", *seeded(1))
                peaks.append((idle, running.peak_memory()))
    finally:
        image.unlink()
    return {
        "image_bytes": size, "seconds": statistics.median(times),
        "idle_bytes": statistics.median(idle for idle, _ in peaks), "peak_bytes": statistics.median(peak for _, peak in peaks),
    }


def make_sparse(image: Path, size: int) -> int:
    while True:
        try:
            os.truncate(image, size)
            return size
        except OSError:
            if size <= SMALL_IMAGE:
                raise
            size //= 2


def markdown(figures: dict) -> str:
    counted = {name: vars(Instructions(**counts)) for name, counts in figures["instructions"].items()}
    return "\n".join([
        *cells("4 KiB", "instructions in the plugin's callback", "of these memcpy, memset", "the plugin's own on other threads", rows=[
            (f"a {name}", *(f"{max(count, 0):.0f}" for count in counts.values())) for name, counts in counted.items()]),
        *cells("memory that holds no data", "share", rows=[
            tuple(part.strip() for part in line.split("  ", 1)) for line in figures["metadata"].splitlines()]),
        *cells("image", "first client served after", "resident memory then", "resident memory after reads and writes of twice the memory", rows=[
            (f"{start['image_bytes'] / 2**30:.0f} GiB", f"{start['seconds'] * 1000:.0f} ms",
             f"{start['idle_bytes'] / 2**20:.1f} MiB", f"{start['peak_bytes'] / 2**20:.1f} MiB") for start in figures["starts"]]),
        f"`memory=` {MEMORY >> 20}M unless stated otherwise (a miss: 16M); {figures['machine']['processor']}, "
        f"{figures['machine']['kernel']}, {figures['machine']['nbdkit']}; {figures['date']}.",
    ]) + "\n"
