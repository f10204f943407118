# Shared by scenarios that kill the server and start it again while files are copied to a filesystem on the kernel's nbd
# device, which `flexpage attach` has attached. Nobody must notice: no error in the kernel's log, every file has its
# checksum, and the filesystem's checker finds nothing. The server answers a write when it is in memory, and writes it to
# the image an hour later unless it is flushed. So its death loses nothing only because of state=.
#
# Half way, another build of the plugin takes the place of the first one, if the disk has one.
# shellcheck shell=bash disable=SC1091,SC2154

. "$disk/guest-attach.sh"

# Fewer in a short run: the disk says so.
if [ -e "$disk/soak" ]; then kills=20; else kills=3; fi

state=/run/state
server_log=/run/server.log
# Only for a long run.
other_plugin=$disk/plugin-other.so

survives() {
    local kind=$1 image=$disk/images/$1
    rm -f "$image" "$state"
    : >"$server_log"
    truncate -s 512M "$image"
    dmesg --clear
    if serve_again "$image" && attach_waiting && make_filesystem "$kind" && mount -t "$kind" "$device" "$mnt"; then
        copy_until_told "$kind" &
        local copier=$!
        kill_often "$kind" "$image"
        touch /run/enough
        if wait "$copier"; then pass "$kind-copy"; else fail "$kind-copy" "a file could not be written, or differs"; fi
        remounted "$kind"
    else
        fail "$kind" "could not be served, attached and mounted: $(tail -n 1 "$attach_log")"
    fi
    rm -f /run/enough
    mountpoint -q "$mnt" && umount "$mnt"
    check "$kind-check" "$kind" "$device"
    kill -TERM "$attacher"
    expect "$kind-detaches" ends_with 0
    expect "$kind-is-free" is_free
    stop_serving || fail "$kind-server-ends" "exit status $?"
    check "$kind-check-image" "$kind" "$image"
    if io_errors; then fail "$kind-kernel-log" "$(io_errors | head -n 1)"; else pass "$kind-kernel-log"; fi
    expect "$kind-owed" has_owed
    cat "$server_log"
    rm -f "$image" "$state"
}

serve_again() { serve "$1" state="$state" memory=32M dirty-age=3600 2>>"$server_log"; }

# Whether a server has taken over data that was on no image. Otherwise nothing has been tested.
has_owed() { grep "pages that the last server owed to images are taken over" "$server_log"; }

# Servers that live for some seconds only look like a crash loop, and the next one would refuse. The number of short lives
# has this offset in the state file (CStateFormat.h).
forget_short_lives() { dd if=/dev/zero of="$state" bs=1 seek=104 count=4 conv=notrunc status=none; }

# As an upgrade does it: by another file of this name.
replace_plugin() {
    [ -e "$other_plugin" ] || return 0
    mv "$other_plugin" "$disk/plugin.so"
    echo "another build takes over"
}

# Copies the tree again and again, in two places, and compares each copy. Ends when the server is killed no more, and not
# before both places have a copy.
copy_until_told() {
    local kind=$1 round=0 copy
    until [ -e /run/enough ] && [ "$round" -ge 2 ]; do
        copy=${mnt:?}/$((round % 2))
        rm -rf "$copy"
        if ! { cp -a "$disk/files" "$copy" && sync; }; then return 1; fi
        echo 1 >/proc/sys/vm/drop_caches
        files_agree "$copy" "$disk/files.sha256" || return 1
        round=$((round + 1))
    done
    echo "$kind: $round copies"
}

kill_often() {
    local kind=$1 image=$2 count
    for ((count = 1; count <= kills; count++)); do
        sleep $((RANDOM % 4)).$((RANDOM % 10))
        kill_server
        # At times it is back before the first attempt, at times long after.
        sleep $((RANDOM % 3)).$((RANDOM % 10))
        forget_short_lives
        [ "$count" != $((kills / 2 + 1)) ] || replace_plugin
        serve_again "$image" || {
            fail "$kind-restart" "nbdkit did not start again"
            return
        }
        wait_until 60 attached_again "$count" || {
            fail "$kind-restart" "not attached again after kill $count: $(tail -n 1 "$attach_log")"
            return
        }
    done
    pass "$kind-restart"
}

attached_again() { [ "$(times_said "attached again")" -ge "$1" ]; }

remounted() {
    local kind=$1 copy
    if ! { umount "$mnt" && blockdev --flushbufs "$device" && mount -t "$kind" "$device" "$mnt"; }; then
        fail "$kind-checksums" "could not be mounted again"
        return
    fi
    for copy in "$mnt"/[01]; do
        files_agree "$copy" "$disk/files.sha256" || {
            fail "$kind-checksums" "files in $copy differ"
            return
        }
    done
    pass "$kind-checksums"
}
