# Ends commands of the tests that hang, and keeps what their processes were doing. Sourced by Scripts/test.
# shellcheck shell=bash

# watch LOG LEADER SECONDS: waits until LEADER has ended. If it takes longer than SECONDS, ends it and all that it has
# started, and leaves in LOG.hang what they were doing. LOG is what it has printed. Long tests (FLEXPAGE_SOAK) have no
# limit.
watch() {
    local log=$1 leader=$2 max=$3 end=$((SECONDS + $3)) processes each
    [ -z "${FLEXPAGE_SOAK-}" ] || return 0
    while ((SECONDS < end)); do
        sleep 1
        kill -0 "$leader" 2>/dev/null || return 0
    done
    mapfile -t processes < <(with_descendants "$leader")
    # What says most comes last, because sometimes only the end of the output is kept.
    {
        for each in "${processes[@]}"; do stacks "$each"; done
        timeout 20 ps -o pid,ppid,etimes,time,stat,wchan:20,args --width 160 -p "$(IFS=,; echo "${processes[*]}")" || true
        unfinished_tests "$log"
        echo "It had not ended after $max s."
    } >"$log.hang" 2>&1
    kill -TERM "${processes[@]}" 2>/dev/null || true
    sleep 5
    kill -KILL "${processes[@]}" 2>/dev/null || true
}

# end_watch LOG WATCHER: ends `watch`, whose LEADER has ended, unless it is at work.
end_watch() {
    [ -e "$1.hang" ] || kill "$2" 2>/dev/null || true
    wait "$2" || true
}

# with_descendants PROCESS: prints it and all that it has started, directly or not. They may be in other groups: Swift's
# package manager makes one for the tests.
with_descendants() {
    local child
    echo "$1"
    for child in $(ps -o pid= --ppid "$1"); do with_descendants "$child"; done
}

# unfinished_tests LOG: prints the tests that have started and not ended, by the log of Swift's tests. Its last 4 KiB may
# be missing.
unfinished_tests() {
    LC_ALL=C awk '
        $2 == "Test" && $3 != "run" && $3 != "case" && $NF == "started." { open[$3] = 1 }
        $2 == "Test" && / (after|skipped)/ { delete open[$3] }
        END { for (name in open) print "Test " name " has not ended." }' "$1" | sort
}

# stacks PROCESS: prints where the threads are of a process that is a server or runs tests.
stacks() {
    case $(cat "/proc/$1/comm" 2>/dev/null) in
        nbdkit | flexpage* | ScheduleTests | swift-test)
            echo "-- process $1"
            timeout 60 gdb -nx --batch -p "$1" -ex 'set debuginfod enabled off' -ex 'thread apply all -s backtrace 12' 2>&1 |
                grep -E '^(Thread|#)' | cut -c1-160 | head -n 60 || true
            ;;
    esac
}
