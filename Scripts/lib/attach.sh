# Mounts an export's filesystem on this machine. Sourced by Scripts/serve, which sets uri, tool, scratch and mount_dir.
# shellcheck shell=bash disable=SC2034,SC2154  # variables that are set in, or used by, that script

attach_packages=(libnbd-bin util-linux mount kmod)

# What is up, in the order in which it was set up; empty or "no" if it is not.
nbd_device=
fuse_dir=
loop_device=
is_mounted=no
made_mount_dir=no
# The device that is being attached, or is attached.
attaching=
# For messages.
device=
mount_options=

# Attaches and mounts. If that fails, the script ends, and its exit trap takes down what is up by then.
attach() {
    local writable=no
    make_mount_dir
    ! nbdinfo --can write "$uri" || writable=yes
    if kernel_has_nbd; then attach_by_kernel; else attach_by_fuse "$writable"; fi
    mount_device "$writable"
}

make_mount_dir() {
    [ ! -e "$mount_dir" ] || return 0
    as_root mkdir "$mount_dir" || die "cannot create $mount_dir"
    made_mount_dir=yes
}

# Whether it can be mounted on. It may not exist yet.
check_mount_dir() {
    [ -e "$mount_dir" ] || [ -d "$(dirname "$mount_dir")" ] || die "$mount_dir: the directory around it does not exist"
    [ ! -e "$mount_dir" ] || [ -d "$mount_dir" ] || die "$mount_dir: it is not a directory"
    ! mountpoint -q "$mount_dir" || die "$mount_dir: something is already mounted there"
}

kernel_has_nbd() {
    [ -e /sys/block/nbd0 ] || as_root modprobe -q nbd 2>/dev/null || return 1
    [ -e /sys/block/nbd0 ]
}

# Takes the first free device. Another process may be faster, so each one is tried.
attach_by_kernel() {
    local block
    for block in /sys/block/nbd*; do
        if [ "$(cat "$block/size")" != 0 ] || [ -e "$block/pid" ]; then continue; fi
        device=/dev/${block##*/}
        attaching=$device
        if start_attaching; then
            nbd_device=$device
            return
        fi
        attaching=
    done
    die "no /dev/nbd* is free"
}

# It runs in the foreground until the device is detached, so a shell starts it in the background, out of reach of Ctrl-C.
# Its first line says that the device is attached. If it ends, the file of its end is there.
start_attaching() {
    rm -f "$scratch/attach.end"
    # shellcheck disable=SC2016  # that shell expands it
    as_root sh -c '(setsid "$1" attach "$2" "$3" >"$4.log" 2>&1; : >"$4.end") &' sh "$tool" "$uri" "$device" "$scratch/attach"
    wait_for "flexpage attach did not start" attach_has_told
    [ -e "$scratch/attach.end" ] || return 0
    cat "$scratch/attach.log" >&2
    return 1
}

attach_has_told() { [ -e "$scratch/attach.end" ] || grep -qs ': attached: ' "$scratch/attach.log"; }

# nbdfuse shows the export as a file, and a loop device turns the file into a block device. The kernel opens the file as
# root, so nbdfuse must run as root.
attach_by_fuse() {
    local writable=$1 read_only=()
    [ "$writable" = yes ] || read_only=(--read-only)
    [ -e /dev/fuse ] || as_root modprobe -q fuse 2>/dev/null || die "cannot mount: this kernel supports neither nbd nor fuse"
    mkdir "$scratch/fuse"
    fuse_dir=$scratch/fuse
    # It runs in the foreground until it is unmounted, so a shell starts it in the background, out of reach of Ctrl-C.
    # shellcheck disable=SC2016  # that shell expands it
    as_root sh -c 'setsid nbdfuse "$@" >&2 &' sh "${read_only[@]}" --pidfile "$scratch/nbdfuse.pid" "$scratch/fuse/disk" "$uri"
    wait_for "nbdfuse did not start" test -s "$scratch/nbdfuse.pid"
    loop_device=$(as_root losetup --find --show "${read_only[@]}" "$scratch/fuse/disk") || die "no loop device is available"
    device=$loop_device
}

# wait_for COMPLAINT COMMAND…: repeats the command until it succeeds. Ends the script if it has not within a minute.
wait_for() {
    local complaint=$1
    shift
    succeeds_within 60 "$@" || die "$complaint"
}

# succeeds_within SECONDS COMMAND…: repeats the command until it succeeds, and fails if it has not by then.
succeeds_within() {
    local tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

mount_device() {
    local writable=$1 kind
    kind=$(as_root blkid -p -o value -s TYPE "$device") ||
        die "no filesystem was found on the image; if it has partitions, add --filter=partition partition=1"
    mount_options=$(mount_options_for "$kind" "$writable")
    as_root mount -t "$kind" -o "$mount_options" "$device" "$mount_dir" || die "cannot mount the $kind filesystem"
    is_mounted=yes
}

# If nothing can be written, an unclean journal cannot be replayed.
mount_options_for() {
    case $2/$1 in
        yes/*) echo rw ;;
        no/ext[34]) echo ro,noload ;;
        no/xfs) echo ro,norecovery ;;
        *) echo ro ;;
    esac
}

# Takes down what is up, and fails if a part could not be taken down. Waits while the filesystem is in use, because
# everything written to it must reach the image.
detach() {
    local failed=no
    [ "$is_mounted" = no ] || unmount "$mount_dir"
    if [ -n "$attaching" ] && [ -z "$nbd_device" ]; then see_whether_attached; fi
    [ -z "$nbd_device" ] || stop_attaching || failed=yes
    [ -z "$loop_device" ] || as_root losetup --detach "$loop_device" || failed=yes
    if [ -n "$fuse_dir" ]; then
        # The script may have been interrupted while that began.
        succeeds_within 5 test -s "$scratch/nbdfuse.pid" || true
        ! mountpoint -q "$fuse_dir" || unmount "$fuse_dir"
        wait_for_end "$scratch/nbdfuse.pid"
    fi
    [ "$made_mount_dir" = no ] || as_root rmdir "$mount_dir" || failed=yes
    is_mounted=no nbd_device='' attaching='' loop_device='' fuse_dir='' made_mount_dir=no
    [ "$failed" = no ]
}

# The script was interrupted while the device was being attached. Nobody else would detach it.
see_whether_attached() {
    succeeds_within 5 attach_has_told || true
    ! grep -qs ': attached: ' "$scratch/attach.log" || nbd_device=$attaching
}

# The one that attached it ends by itself then.
stop_attaching() {
    as_root "$tool" detach "$nbd_device" >&2 && wait_for "flexpage attach did not end" test -e "$scratch/attach.end"
}

unmount() {
    local told=no
    until as_root umount "$1" 2>"$scratch/umount.log"; do
        if [ "$told" = no ]; then
            say "Waiting until $1 is no longer in use: $(tail -n 1 "$scratch/umount.log")"
            told=yes
        fi
        sleep 0.5
    done
}

wait_for_end() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    while [ -n "$pid" ] && [ -e "/proc/$pid" ]; do sleep 0.05; done
}
