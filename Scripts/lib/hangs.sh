# Ends commands of the tests that hang, and keeps where their processes were. Sourced by Scripts/test.
# shellcheck shell=bash

# The process that watches a command; empty while there is none.
watcher=""

# begin_watch LOG LEADER SECONDS: begins to watch a child of this shell, the output of which is LOG. If it takes longer
# than SECONDS, it is ended with all that it has started, and LOG.hang tells where they were. Long tests (FLEXPAGE_SOAK)
# have no limit.
begin_watch() {
    rm -f "$1.hang"
    : >"$1.watched"
    # It would keep the output of this shell open if this were killed.
    watch "$@" >/dev/null 2>&1 &
    watcher=$!
}

# end_watch LOG: the child has ended.
end_watch() {
    rm -f "$1.watched"
    wait "$watcher" || true
    watcher=""
}

# The numbers of processes come again within minutes, so nothing is asked or killed by its number alone.
watch() {
    local log=$1 leader=$2 end=$((SECONDS + $3)) known each
    [ -z "${FLEXPAGE_SOAK-}" ] || return 0
    while ((SECONDS < end)); do
        sleep 1
        [ -e "$log.watched" ] || return 0
    done
    [ "$(parent_of "$leader")" = "$$" ] || return 0
    describe_hang "$log" "$leader" "$3" >"$log.hang" 2>&1
    mapfile -t known < <(for each in $(with_descendants "$leader"); do echo "$each $(start_of "$each")"; done)
    kill_known TERM "${known[@]}"
    sleep 5
    kill_known KILL "${known[@]}"
}

# describe_hang LOG LEADER SECONDS: prints where the processes are. What says most comes last, because sometimes only the
# end of the output is kept.
describe_hang() {
    local processes each last=$((SECONDS + 180))
    mapfile -t processes < <(with_descendants "$2")
    for each in "${processes[@]}"; do
        if ((SECONDS < last)); then stacks "$each"; fi
    done
    # A process that cannot be woken may keep ps from reading its arguments.
    timeout --kill-after=5 20 ps -o pid,ppid,etimes,time,stat,wchan:20,args --width 160 \
        -p "$(IFS=,; echo "${processes[*]}")" || true
    unfinished_tests "$1"
    echo "It had not ended after $3 s."
}

# kill_known SIGNAL 'PROCESS START'…: sends a signal to those that are still the same processes.
kill_known() {
    local signal=$1 each
    shift
    for each in "$@"; do
        [ "$(start_of "${each% *}")" != "${each#* }" ] || kill "-$signal" "${each% *}" 2>/dev/null || true
    done
}

# stat_of PROCESS FIELD: prints a field of /proc/PROCESS/stat, or nothing if there is no such process.
stat_of() { sed 's/.*) /- - /' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f "$2"; }

parent_of() { stat_of "$1" 4; }

# When it has started.
start_of() { stat_of "$1" 22; }

# with_descendants PROCESS: prints it and all that it has started, directly or not. They may be in other groups: Swift's
# package manager makes one for the tests.
with_descendants() {
    local child
    echo "$1"
    for child in $(ps -o pid= --ppid "$1"); do with_descendants "$child"; done
}

# unfinished_tests LOG: prints up to 20 tests that have started and not ended, by the log of Swift's tests, the last ones
# first. The last 4 KiB of the log may be missing. Tests of the same name are counted.
unfinished_tests() {
    LC_ALL=C awk '
        $2 != "Test" || $3 == "run" || $3 == "case" { next }
        $4 == "started." { open[$3]++; order[NR] = $3 }
        $4 ~ /^(passed|failed|skipped|was)/ || $4 == "with" && $8 ~ /^(passed|failed)$/ { open[$3]-- }
        END {
            for (i = NR; i > 0; i--) if (i in order && open[order[i]] > 0) {
                open[order[i]]--
                if (++count <= 20) print "Test " order[i] " has not ended."
            }
            if (count > 20) print "Nor have " count - 20 " more."
        }' "$1"
}

# stacks PROCESS: prints where the threads are of a process that is a server or runs tests.
stacks() {
    case $(cat "/proc/$1/comm" 2>/dev/null) in
        nbdkit | flexpage* | ScheduleTests | swift-test)
            echo "-- process $1"
            # gdb cannot be ended while it attaches to a process that cannot be woken.
            timeout --kill-after=5 30 gdb -nx --batch -iex 'set debuginfod enabled off' -p "$1" \
                -ex 'thread apply all -s backtrace 12' 2>&1 |
                grep -E '^(Thread|#)|ptrace|timeout:|not permitted' | cut -c1-160 | head -n 60 || true
            ;;
    esac
}
