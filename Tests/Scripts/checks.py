"""The result lines of tests in Python, as checks.sh has them for shell scripts."""

failures = 0


def expect(name: str, is_so: bool, found: object = "") -> None:
    """Prints `PASS name`, or `FAIL name: why` with what was found instead."""
    global failures
    failures += not is_so
    print(f"PASS {name}" if is_so else f"FAIL {name}: found {found}")


def status() -> int:
    """The exit status of the test."""
    return 1 if failures else 0
