"""fio: how it is called, and what is taken from its results."""

import json
import subprocess


def fio(*options: str) -> list[dict]:
    """Runs it, and gives what it tells of each of its jobs."""
    result = subprocess.run(["fio", "--output-format=json", *options], capture_output=True, text=True)
    # Notes stand before the JSON.
    begin = result.stdout.find("{")
    if result.returncode != 0 or begin < 0:
        raise OSError(f"fio failed: {(result.stderr + result.stdout).strip()[:400]}")
    return json.loads(result.stdout[begin:])["jobs"]


def client(name: str, uri: str) -> tuple[str, ...]:
    """The options of a job that is an NBD client."""
    return (f"--name={name}", "--ioengine=nbd", f"--uri={uri}")


def seeded(seed: int) -> tuple[str, ...]:
    """Whoever has the same seed gets the same requests in the same order."""
    return ("--allrandrepeat=1", f"--randseed={seed}")


def requests(job: dict) -> int:
    return job["read"]["total_ios"] + job["write"]["total_ios"]


def speed(job: dict, unit: str) -> float:
    """Reads and writes a second, in number or in MiB."""
    name, scale = ("iops", 1) if unit == "IOPS" else ("bw_bytes", 2**20)
    return (job["read"][name] + job["write"][name]) / scale


def latencies(job: dict) -> dict[str, float]:
    """Microseconds that 50 and 99 of 100 requests stay below, reads and writes apart."""
    return {
        f"{side}_p{share}_us": job[side]["clat_ns"]["percentile"][f"{share}.000000"] / 1000
        for side in ("read", "write") if job[side]["total_ios"]
        for share in (50, 99)
    }
