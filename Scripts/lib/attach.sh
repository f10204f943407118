# An export as a mounted filesystem on this machine. Sourced by Scripts/serve, which knows uri, socket, port, scratch and
# mount_dir.
# shellcheck shell=bash disable=SC2034,SC2154  # variables of, and for, that script

attach_packages=(nbd-client libnbd-bin util-linux mount kmod)

# What is up, in order; empty is what is not.
nbd_device=
fuse_dir=
loop_device=
is_mounted=no
made_mount_dir=no
# For who wants to tell.
device=
mount_options=

# Attaches and mounts. Ends the script where that cannot be; its exit trap takes down what was up by then.
attach() {
    local writable=no
    # So that sudo asks now, if it has to, and not in the middle.
    as_root true || die "--mount needs root"
    make_mount_dir
    ! nbdinfo --can write "$uri" || writable=yes
    if kernel_has_nbd; then attach_by_kernel; else attach_by_fuse "$writable"; fi
    mount_device "$writable"
}

make_mount_dir() {
    if [ ! -e "$mount_dir" ]; then
        as_root mkdir "$mount_dir" || die "$mount_dir cannot be made"
        made_mount_dir=yes
    fi
    [ -d "$mount_dir" ] || die "$mount_dir is not a directory"
    ! mountpoint -q "$mount_dir" || die "something is mounted on $mount_dir already"
}

kernel_has_nbd() {
    [ -e /sys/block/nbd0 ] || as_root modprobe -q nbd 2>/dev/null || return 1
    [ -e /sys/block/nbd0 ]
}

# The first device that nobody has. Another may be quicker, so each is tried.
attach_by_kernel() {
    local block where=(-unix "$socket")
    [ -n "$socket" ] || where=(localhost "$port")
    for block in /sys/block/nbd*; do
        if [ "$(cat "$block/size")" != 0 ] || [ -e "$block/pid" ]; then continue; fi
        device=/dev/${block##*/}
        if as_root nbd-client "${where[@]}" "$device" >&2; then
            nbd_device=$device
            return
        fi
    done
    die "no /dev/nbd* is free"
}

# nbdfuse shows the export as a file, and a loop device makes a block device of it. The kernel opens the file as root,
# so nbdfuse must be root's.
attach_by_fuse() {
    local writable=$1 read_only=()
    [ "$writable" = yes ] || read_only=(--read-only)
    [ -e /dev/fuse ] || as_root modprobe -q fuse 2>/dev/null || die "this kernel has neither nbd nor fuse: nothing to mount with"
    mkdir "$scratch/fuse"
    # It stays in the foreground until unmounted: in the background of a shell, out of reach of Ctrl-C.
    # shellcheck disable=SC2016  # for that shell
    as_root sh -c 'setsid nbdfuse "$@" >&2 &' sh "${read_only[@]}" --pidfile "$scratch/nbdfuse.pid" "$scratch/fuse/disk" "$uri"
    fuse_dir=$scratch/fuse
    wait_for "nbdfuse did not start" test -s "$scratch/nbdfuse.pid"
    loop_device=$(as_root losetup --find --show "${read_only[@]}" "$scratch/fuse/disk") || die "there is no loop device to be had"
    device=$loop_device
}

# wait_for COMPLAINT COMMAND…: until it succeeds, for a minute at most.
wait_for() {
    local complaint=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || die "$complaint"
        sleep 0.1
    done
}

mount_device() {
    local writable=$1 kind
    kind=$(as_root blkid -p -o value -s TYPE "$device") ||
        die "there is no filesystem on the image. With partitions: --filter=partition partition=1"
    mount_options=$(mount_options_for "$kind" "$writable")
    as_root mount -t "$kind" -o "$mount_options" "$device" "$mount_dir" || die "the $kind filesystem could not be mounted"
    is_mounted=yes
}

# Where nothing can be written, a journal that was left open cannot be replayed.
mount_options_for() {
    case $2/$1 in
        yes/*) echo rw ;;
        no/ext[34]) echo ro,noload ;;
        no/xfs) echo ro,norecovery ;;
        *) echo ro ;;
    esac
}

# Takes down what is up; says so if a part of it could not be. What is in use still is waited for: what was written to
# the filesystem must get out.
detach() {
    local failed=no
    [ "$is_mounted" = no ] || unmount "$mount_dir"
    [ -z "$nbd_device" ] || as_root nbd-client -d "$nbd_device" >&2 || failed=yes
    [ -z "$loop_device" ] || as_root losetup --detach "$loop_device" || failed=yes
    if [ -n "$fuse_dir" ]; then
        ! mountpoint -q "$fuse_dir" || unmount "$fuse_dir"
        wait_for_end "$scratch/nbdfuse.pid"
    fi
    [ "$made_mount_dir" = no ] || as_root rmdir "$mount_dir" || failed=yes
    is_mounted=no nbd_device='' loop_device='' fuse_dir='' made_mount_dir=no
    [ "$failed" = no ]
}

unmount() {
    local told=no
    until as_root umount "$1" 2>"$scratch/umount.log"; do
        if [ "$told" = no ]; then
            say "Waiting for those who still use $1: $(tail -n 1 "$scratch/umount.log")"
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
