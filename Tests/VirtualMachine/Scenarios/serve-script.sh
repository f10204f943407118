# Tests Scripts/serve --mount with a kernel that supports nbd: it uses `flexpage attach`, not nbdfuse and a
# loop device. After SIGTERM, it leaves neither a mount nor a client on the device.
# shellcheck shell=bash disable=SC2034,SC2154
needs_tool=yes

on_host() {
    local tree=$1
    mkdir -p "$tree/source/Scripts"
    cp -r "$root/Scripts/." "$tree/source/Scripts"
    make_tree "$tree.files" $((4 << 20))
    list_files "$tree.files" "$tree/files.sha256"
    make_image ext4 "$tree.files" "$tree/images/ext4"
    rm -rf "$tree.files"
}

in_guest() {
    local script status=0 tries=0
    FLEXPAGE_PLUGIN=$(plugin_here) FLEXPAGE_TOOL=$disk/flexpage "$disk/source/Scripts/serve" --mount "$mnt" "$disk/images/ext4" -r >/run/serve.out &
    script=$!
    until grep -q Mounted /run/serve.out || ! kill -0 "$script" || [ "$tries" = 600 ]; do
        tries=$((tries + 1))
        sleep 0.2
    done
    if grep -q "/dev/nbd0 $mnt ext4 ro" /proc/mounts; then pass by-the-kernel; else fail by-the-kernel "$(cat /run/serve.out)"; fi
    if files_agree "$mnt" "$disk/files.sha256"; then pass checksums; else fail checksums "files differ"; fi
    kill -TERM "$script"
    wait "$script" || status=$?
    if [ "$status" = 143 ]; then pass exit-status; else fail exit-status "$status"; fi
    if nothing_is_left; then pass nothing-is-left; else fail nothing-is-left "a mount, a client, a process or a directory"; fi
}

nothing_is_left() {
    ! grep -E "nbd|$mnt" /proc/mounts && [ ! -e /sys/block/nbd0/pid ] &&
        ! grep -lzE 'nbdkit|flexpage' /proc/[0-9]*/cmdline 2>/dev/null && ! compgen -G "$TMPDIR/flexpage.*"
}
