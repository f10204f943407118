# The export is mounted on the machine that serves it, and that machine is short of memory. The kernel can free memory only
# by writing to the export, so a server that waits for free memory waits for itself. PR_SET_IO_FLUSHER avoids that, and
# that a write allocates nothing. Checks that every thread of the server has that flag, and that more data than there is
# memory is written and read back intact. A server that gets stuck runs into the time limit.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes
needs_soak=yes
guest_memory_mib=288

# PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE of the kernel's <linux/sched.h>: what PR_SET_IO_FLUSHER sets.
flusher_bits=$((0x00080000 | 0x00100000))
bytes=$((256 << 20))

on_host() { :; }

in_guest() {
    local image=$disk/images/pressure
    truncate -s 2G "$image"
    if ! { serve "$image" memory=16M && attach && mkfs.ext4 -q -F "$device" && mount "$device" "$mnt"; }; then
        fail served "cannot serve, attach and mount it"
        return
    fi
    every_thread_is_flusher
    the_command_is_none
    # 64 MiB that cannot be freed, because there is no swap.
    head -c 64M /dev/zero >/run/hog
    if pattern >"$mnt/big" && sync; then pass written; else fail written "the write failed"; fi
    echo 3 >/proc/sys/vm/drop_caches
    if cmp "$mnt/big" <(pattern); then pass compared; else fail compared "the bytes differ"; fi
    umount "$mnt"
    detach
    if stop_serving; then pass server-ends; else fail server-ends "exit status $?"; fi
    check check-image ext4 "$image"
}

# Not a pipe, because `yes` would be ended by a signal when head has read enough.
pattern() { head -c "$bytes" < <(yes flexpage); }

every_thread_is_flusher() {
    local stat flags count=0
    for stat in /proc/"$server"/task/*/stat; do
        flags=$(awk '{ print $9 }' "$stat")
        [ $((flags & flusher_bits)) = "$flusher_bits" ] || {
            fail io-flusher "$stat has the flags $flags"
            return
        }
        count=$((count + 1))
    done
    # There must be the main thread and at least one that serves; otherwise this has checked nothing.
    if [ "$count" -ge 2 ]; then pass io-flusher; else fail io-flusher "only $count threads"; fi
}

# The command of --run must not have that flag. The socket has a name here, because `-U -` would make nbdkit create one in
# /tmp, which is read-only.
the_command_is_none() {
    local other=/run/other flags
    truncate -s 1M "$other"
    # shellcheck disable=SC2016  # for the shell of nbdkit
    flags=$(nbdkit -U /run/other.sock "$(plugin_here)" file="$other" memory=4M --run 'exec awk "{ print \$9 }" /proc/self/stat')
    if [ -n "$flags" ] && [ $((flags & flusher_bits)) = 0 ]; then
        pass command-is-none
    else
        fail command-is-none "the command has the flags '$flags'"
    fi
}
