#!/usr/bin/env python3
"""Tests what `Scripts/bench events` refuses, and what it says without perf. Prints `PASS name` and `FAIL name: why`."""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "Scripts" / "benchmark"))
sys.dont_write_bytecode = True

import events  # noqa: E402
from checks import expect, status  # noqa: E402

PATHS = ["--work", "/w", "--plugin", "/p"]


def refusal(*words: str) -> str:
    """What it says of these options, "" if they are right."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            events.arguments([*words, *PATHS])
        return ""
    except SystemExit:
        return told.getvalue()


def options() -> None:
    found = refusal("--connections", "1,3")
    expect("connections that cannot share the requests are refused", "3 connections cannot share 16 requests" in found, found)
    found = refusal("--connections", "1,2,4,8,16")
    expect("those that can are not", found == "", found)
    for word in (["--keep"], ["--output", "x"]):
        found = refusal(*word)
        expect(f"{word[0]} would do nothing and is refused", "unrecognized arguments" in found, found)


def no_perf() -> None:
    before = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as empty:
        os.environ["PATH"] = empty
        try:
            counting = events.Counting(1, -0.5)
            counting.count()
        finally:
            os.environ["PATH"] = before
    try:
        counting.per_request(1)
        told = ""
    except OSError as error:
        told = str(error)
    expect("without perf, that is said", told.startswith("perf cannot be started: No such file"), told)


options()
no_perf()
sys.exit(status())
