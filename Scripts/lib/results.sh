# Counting what tests say. Every suite's results come as lines `PASS name`, `FAIL name: why` and `SKIP name: why`.
# Sourced by Scripts/test.
# shellcheck shell=bash

passed=0
failed=()
skipped=()

# take_results SUITE: counts the result lines on standard input, each under the suite's name.
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

# swift_test_results XUNIT-FILE LOG: the result lines of a run of swift test. The file tells of all but one kind: a test
# that calls itself off halfway looks like one that passed there, so those are taken from the log.
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

# The end of a run: what did not pass, then the numbers. Fails if anything did.
summary() {
    local line
    echo
    for line in "${skipped[@]}"; do echo "skipped: $line"; done
    for line in "${failed[@]}"; do echo "FAILED:  $line"; done
    echo "$passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
    [ ${#failed[@]} = 0 ]
}
