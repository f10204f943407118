# shellcheck shell=bash
# The result lines of test scripts, which Scripts/test counts: `PASS name`, `FAIL name: why`, `SKIP name: why`. Source it.
# A script that has failures ends with: [ "$failures" = 0 ]

failures=0

pass() { echo "PASS $1"; }
skip() { echo "SKIP $1: $2"; }
fail() {
    echo "FAIL $1: $2"
    failures=$((failures + 1))
}

# expect NAME COMMAND…: passes if the command succeeds. What it prints goes to standard error.
expect() {
    local name=$1
    shift
    if "$@" >&2; then pass "$name"; else fail "$name" "not so: $*"; fi
}
