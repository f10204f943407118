# Counts test results. Every suite reports them as lines `PASS name`, `FAIL name: why` and `SKIP name: why`.
# Sourced by Scripts/test.
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR source=hangs.sh
. "$(dirname "${BASH_SOURCE[0]}")/hangs.sh"

passed=0
failed=()
skipped=()

# take_results SUITE: counts the result lines on standard input under the suite's name.
take_results() {
    local suite=$1 kind what
    while read -r kind what; do
        case $kind in
            PASS) passed=$((passed + 1)) ;;
            FAIL) failed+=("$suite: $what") ;;
            SKIP) skipped+=("$suite: $what") ;;
        esac
    done
}

# swift_test_results XUNIT-FILE LOG: prints the result lines of a run of swift test. The file has all results except one
# kind: a test that skips itself while it runs looks there like one that passed. Those are taken from the log.
swift_test_results() {
    awk '
        FNR == NR {
            if (/^➜ Test .* was cancelled after /) {
                name = $0; sub(/^➜ Test /, "", name); sub(/ was cancelled after .*/, "", name)
                why = $0; sub(/^.* was cancelled after [^:]*:? */, "", why)
                cancelled[name] = 1
                print "SKIP " name ": " why
            }
            next
        }
        /<testcase / {
            name = $0; sub(/.* name="/, "", name); sub(/".*/, "", name)
            class = $0; sub(/.*classname="/, "", class); sub(/".*/, "", class)
            kind = "PASS"; why = ""
            if (/\/>[[:space:]]*$/) tell()
        }
        /<failure/ && kind != "FAIL" { kind = "FAIL"; why = $0; sub(/.*message="/, "", why); sub(/".*/, "", why) }
        /<skipped/ { kind = "SKIP"; why = $0; sub(/.*<skipped>/, "", why); sub(/<.*/, "", why) }
        /<\/testcase>/ { tell() }
        function tell() {
            if (kind == "PASS" && name in cancelled) return
            gsub(/&lt;/, "<", why); gsub(/&gt;/, ">", why); gsub(/&quot;/, "\"", why); gsub(/&#8594;/, "→", why)
            gsub(/&amp;/, "\\&", why)
            print kind " " class "." name (why == "" ? "" : ": " why)
        }' "$2" "$1"
}

# take_hang SUITE LOG: counts a command that was ended because it hung as a failure, and prints where it was.
take_hang() {
    local suite=$1 log=$2
    [ -s "$log.hang" ] || return 0
    take_results "$suite" <<<"FAIL it hung and was ended: see above, and ${log#"$root/"}.hang"
    printf '\n== %s hangs\n' "$suite"
    cat "$log.hang"
}

# A sanitizer's report begins with such a line.
report_line='(WARNING|ERROR): (Thread|Address)Sanitizer'

# summaries_of_reports LOG: prints a line for each sanitizer report in a log: what it is and where, or its first line if
# it ends without a summary. A summary names one place, which may be code that the compiler generated. So the first four
# places of both accesses follow: `; Write: a.swift:1 < b.swift:2; Previous read: …`.
summaries_of_reports() {
    LC_ALL=C awk -v line="$report_line" '
        function tell() { if (beginning != "") print beginning places; beginning = places = ""; accesses = 0 }
        function place() {
            sub(/ \([^ ]*\+0x.*/, "")
            sub(/^ *#[0-9]+ /, "")
            if (!/<(compiler-generated|null)>/) sub(/^.*\//, "")
            return $0
        }
        $0 ~ line { tell(); beginning = $0 }
        /:$/ { accesses = 0 }
        beginning != "" && /^ *([A-Za-z]+ )*([Rr]ead|[Ww]rite|READ|WRITE) of size/ {
            accesses = 1; depth = 0
            sub(/^ */, ""); sub(/ of size.*/, "")
            places = places "; " $0 ":"
        }
        beginning != "" && /^ *#[0-9]+ / && accesses && depth < 4 { places = places (depth++ ? " < " : " ") place() }
        beginning != "" && sub(/^SUMMARY: /, "") { beginning = $0; tell() }
        END { tell() }' "$1"
}

# beginnings_of_reports SUITE LOG: prints each report up to its summary, but at most its first 60 lines.
beginnings_of_reports() {
    LC_ALL=C awk -v suite="$1" -v line="$report_line" -v most=60 '
        $0 ~ line { count++; left = most; printf "\n== %s: sanitizer report %d\n", suite, count }
        left > 0 {
            print
            left--
            if (/^SUMMARY: /) left = 0
            else if (left == 0) print "(more in the log)"
        }' "$2"
}

# Prints the tests that did not pass and the totals. Fails if any test failed.
summary() {
    local line
    echo
    for line in "${skipped[@]}"; do echo "skipped: $line"; done
    for line in "${failed[@]}"; do echo "FAILED:  $line"; done
    echo "$passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
    [ ${#failed[@]} = 0 ]
}

# The process that `logged` waits for, the leader of its group; empty while there is none.
logged=""

# The maximum of each command that Scripts/test waits for, seconds. On two busy processors, the longest takes 1200 with
# its build.
max_seconds=${FLEXPAGE_MAX_SECONDS:-2700}

# logged LOG COMMAND…: runs a command, prints what it writes, which LOG keeps, and returns its status. It waits for the
# command alone: llvm-symbolizer, which a sanitizer starts for a report, can outlive the tests, and would keep a pipe open.
# A command that takes longer than `max_seconds` is ended: see Scripts/lib/hangs.sh.
logged() {
    local log=$1 status=0
    shift
    # On a busy machine, the command begins after tail.
    : >"$log"
    set -m
    "$@" >"$log" 2>&1 &
    logged=$!
    set +m
    begin_watch "$log" "$logged" "$max_seconds"
    tail -n +1 -s 0.1 -f --pid="$logged" "$log"
    wait "$logged" || status=$?
    end_watch "$log"
    logged=""
    return "$status"
}
