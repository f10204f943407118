# What `flexpage attach` and `flexpage detach` do besides waiting: they refuse another export, and a device that is in use;
# they end, go on with what an earlier run has left, and give up after the wait.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
needs_writing=yes
needs_tool=yes

image=/run/disk/images/small

on_host() { :; }

in_guest() {
    . "$disk/guest-attach.sh"
    truncate -s 64M "$image"
    serve_it || fail served "nbdkit did not start"
    nobody_else
    two_at_once
    a_smaller_export
    in_use
    the_tool_is_killed
    by_the_command
    several_connections
    stop_serving || fail server-ends "exit status $?"
    refused_at_the_start
    over
}

serve_it() { serve "$image" cache=writethrough memory=16M; }

refuses() {
    local name=$1 text=$2
    shift 2
    if "$@" >/run/refused 2>&1; then
        fail "$name" "it was not refused"
    elif grep -qF -- "$text" /run/refused; then
        pass "$name"
    else
        fail "$name" "it said: $(tail -n 1 /run/refused)"
    fi
}

# A device that is attached to something else, or open, is not taken.
nobody_else() {
    attach || fail nbd-client "cannot attach"
    refuses attached-by-nbd-client "/dev/nbd0 is attached already" "$tool" attach "$uri" "$device"
    detach
    local opened
    exec {opened}<"$device"
    refuses open-elsewhere "/dev/nbd0 is open in another program" "$tool" attach "$uri" "$device"
    exec {opened}<&-
}

two_at_once() {
    attach_waiting || fail attached "$(cat "$attach_log")"
    expect size test "$(blockdev --getsize64 "$device")" = $((64 << 20))
    expect backend test "$(cat /sys/block/nbd0/backend)" = "$uri"
    refuses looked-after "another flexpage attach looks after it" "$tool" attach "$uri" "$device"
}

# A server with another export is not taken; the right one is, and what was read meanwhile has waited.
a_smaller_export() {
    dmesg --clear
    local other=/run/disk/images/other reader
    truncate -s 32M "$other"
    kill_server
    serve "$other" memory=16M
    expect smaller-is-told wait_until 30 said "the export has 33554432 bytes now, not 67108864; not attached to it"
    dd if="$device" of=/dev/null bs=1M count=64 iflag=direct &
    reader=$!
    sleep 1
    expect still-waits kill -0 "$reader"
    stop_serving
    serve_it
    expect the-right-one-is-taken wait_until 30 said "attached again"
    expect the-read-has-waited wait "$reader"
    if io_errors; then fail no-error "$(io_errors | head -n 1)"; else pass no-error; fi
}

in_use() {
    mkfs.ext4 -q -F "$device" && mount "$device" "$mnt"
    refuses detach-mounted "/dev/nbd0 is mounted on $mnt; free it first" "$tool" detach "$device"
    kill -TERM "$attacher"
    expect mounted-ends ends_with 1
    expect mounted-is-told said "/dev/nbd0 is mounted on $mnt. It stays attached, but nobody reconnects it."
    # Another run goes on, and reconnects.
    attach_waiting
    expect goes-on said "was attached before; goes on"
    kill_server
    serve_it
    echo text >"$mnt/file"
    sync
    expect reconnected wait_until 30 said "attached again"
    expect written test "$(cat "$mnt/file")" = text
    umount "$mnt"
}

# Both the tool and the server go. The next run brings the device back.
the_tool_is_killed() {
    kill -KILL "$attacher"
    wait "$attacher" 2>/dev/null
    kill_server
    dd if="$device" of=/dev/null bs=1M count=64 iflag=direct &
    local reader=$!
    sleep 1
    serve_it
    refuses other-uri "/dev/nbd0 is attached already, to $uri; choose another device" \
        "$tool" attach "nbd+unix:///x?socket=$socket" "$device"
    attach_waiting
    expect goes-on-after-kill said "was attached before; goes on"
    expect read-after-kill wait "$reader"
}

by_the_command() {
    expect detach "$tool" detach "$device"
    expect ends-with-detach ends_with 0
    expect detach-is-told said "detached by another program"
    expect is-free is_free
    expect timer-is-restored test "$(cat /sys/block/nbd0/queue/io_timeout)" = 30000
    refuses detach-twice "/dev/nbd0 is not attached" "$tool" detach "$device"
    # What was written to the device without a sync is on the image after it.
    attach_waiting
    printf written | dd of="$device" bs=1M seek=10 conv=notrunc status=none
    kill -TERM "$attacher"
    expect ends ends_with 0
    expect wrote-out test "$(dd if="$image" bs=1M skip=10 count=1 status=none | head -c 7)" = written
}

several_connections() {
    attach_waiting --connections 3
    expect three-connections test "$(nbd_connections)" = 3
    dd if=/dev/urandom of="$device" bs=1M count=64 oflag=direct status=none &
    local writer=$!
    sleep 0.2
    kill_server
    serve_it
    expect three-again wait_until 30 said "attached again"
    expect write-with-three wait "$writer"
    expect three-are-left wait_until 10 has_connections 3
    kill -TERM "$attacher"
    expect ends-with-three ends_with 0
}

has_connections() { [ "$(nbd_connections)" = "$1" ]; }

# Of the server's socket, those that are connected.
nbd_connections() { awk -v path="$socket" '$8 == path && $6 == "03"' /proc/net/unix | wc -l; }

refused_at_the_start() {
    refuses no-server "connect: No such file or directory" "$tool" attach "nbd+unix:///?socket=/run/none" "$device"
    truncate -s 100 /run/disk/images/tiny
    serve /run/disk/images/tiny memory=16M
    refuses tiny "the export has 100 bytes; a block device has at least one block of 512 bytes" \
        "$tool" attach "$uri" "$device"
    stop_serving
    expect none-is-attached is_free
}

# After the wait the requests fail, and the tool says so. When the server is back, another run brings the device back.
over() {
    serve_it
    attach_waiting --wait 3
    kill_server
    dd if="$device" of=/dev/null bs=1M count=1 iflag=direct && fail fails-after-the-wait "a read without a server succeeded"
    expect gives-up ends_with 1
    expect gives-up-is-told said "the server did not come back within 3 s"
    serve_it
    attach_waiting
    expect comes-back dd if="$device" of=/dev/null bs=1M count=64 iflag=direct status=none
    kill -TERM "$attacher"
    expect ends-at-last ends_with 0
    stop_serving
}
