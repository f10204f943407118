"""Runs fio and evaluates its results."""

import json
import subprocess


def fio(*options: str) -> list[dict]:
    """Runs fio, and returns the results of each job."""
    result = subprocess.run(["fio", "--output-format=json", *options], capture_output=True, text=True)
    # There may be notes before the JSON.
    begin = result.stdout.find("{")
    if result.returncode != 0 or begin < 0:
        raise OSError(f"fio failed: {(result.stderr + result.stdout).strip()[:400]}")
    return json.loads(result.stdout[begin:])["jobs"]


def client(name: str, uri: str) -> tuple[str, ...]:
    """The options of a job that acts as an NBD client."""
    return (f"--name={name}", "--ioengine=nbd", f"--uri={uri}")


def seeded(seed: int) -> tuple[str, ...]:
    """The options for a seed. Jobs with the same seed send the same requests in the same order."""
    return ("--allrandrepeat=1", f"--randseed={seed}")


def requests(job: dict) -> int:
    return job["read"]["total_ios"] + job["write"]["total_ios"]


def speed(job: dict, unit: str) -> float:
    """Reads and writes per second, as a number or in MiB."""
    name, scale = ("iops", 1) if unit == "IOPS" else ("bw_bytes", 2**20)
    return (job["read"][name] + job["write"][name]) / scale


def latencies(job: dict) -> dict[str, float]:
    """The 50th and 99th percentiles in microseconds, separately for reads and writes."""
    return {
        f"{side}_p{share}_us": job[side]["clat_ns"]["percentile"][f"{share}.000000"] / 1000
        for side in ("read", "write") if job[side]["total_ios"]
        for share in (50, 99)
    }
