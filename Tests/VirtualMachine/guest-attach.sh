# Shared by scenarios with `flexpage attach`: the device waits while the server is away.
# shellcheck shell=bash disable=SC2034,SC2154

tool=$disk/flexpage
attach_log=/run/attach.log
attacher=

# attach_waiting [OPTION…]: attaches the export as $device with the tool, in a child process.
attach_waiting() {
    : >"$attach_log"
    "$tool" attach "$uri" "$device" "$@" >>"$attach_log" 2>&1 &
    attacher=$!
    wait_until 60 said "bytes" || return 1
}

# said TEXT: whether the tool has said so.
said() { grep -q -- "$1" "$attach_log"; }

times_said() { grep -c -- "$1" "$attach_log" || true; }

# wait_until SECONDS COMMAND…
wait_until() {
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# ends_with STATUS: waits for the end of the tool.
ends_with() {
    local status=0
    wait_until 60 has_ended "$attacher" || return 1
    wait "$attacher" || status=$?
    attacher=
    [ "$status" = "$1" ] || { echo "the tool's exit status is $status" && return 1; }
}

is_free() { [ "$(cat /sys/block/nbd0/size)" = 0 ] && [ ! -e /sys/block/nbd0/pid ]; }

# kill_server: as the kernel does when there is no memory.
kill_server() {
    kill -KILL "$server"
    wait "$server" 2>/dev/null
}

# io_errors: what the kernel says about requests that have failed.
io_errors() { dmesg | grep -E 'I/O error|lost (async|sync) page write|EXT4-fs (error|warning)|Aborting journal|XFS .*(error|[Ss]hutdown)|BTRFS (error|warning|critical)'; }

# expect NAME COMMAND…
expect() {
    local name=$1
    shift
    if "$@"; then pass "$name"; else fail "$name" "not so: $*; the tool said: $(tail -n 3 "$attach_log" | tr '\n' ' ')"; fi
}
