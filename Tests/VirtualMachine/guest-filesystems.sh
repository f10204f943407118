# Shared by the writing scenarios: the life of a filesystem on the kernel's nbd device.
# shellcheck shell=bash disable=SC2154

# filesystem_lives KIND NBDKIT-OPTION… [-- nbd-client option…]
# Makes a filesystem, copies a tree, deletes a part of it, trims, and mounts it again. Checks that the remaining files are
# intact, and that the filesystem's checker finds no errors: first on the device, then, without the server, on the image.
filesystem_lives() {
    local kind=$1 image=$disk/images/$1 options=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ $# = 0 ] || shift
    rm -f "$image"
    truncate -s 512M "$image"
    serve "$image" "${options[@]}" || {
        fail "$kind" "nbdkit did not start"
        return
    }
    if attach "$@"; then
        populate "$kind" && delete_and_trim "$kind" "$image" && look_again "$kind"
        mountpoint -q "$mnt" && umount "$mnt"
        check "$kind-check" "$kind" "$device"
    else
        fail "$kind" "could not be attached"
    fi
    detach
    if stop_serving; then pass "$kind-server-ends"; else fail "$kind-server-ends" "exit status $?"; fi
    check "$kind-check-image" "$kind" "$image"
    rm -f "$image"
}

populate() {
    local kind=$1
    if make_filesystem "$kind" && mount -t "$kind" "$device" "$mnt" && cp -a "$disk/files/." "$mnt" && sync; then
        pass "$kind-copy"
    else
        fail "$kind-copy" "cannot make and fill a filesystem"
        return 1
    fi
}

make_filesystem() {
    case $1 in
        ext4) mkfs.ext4 -q -F "$device" ;;
        xfs) mkfs.xfs -q -f "$device" ;;
        btrfs) mkfs.btrfs -q -f "$device" ;;
    esac
}

# Deletes two of three files by name, so that the remaining files lie between deleted ones.
delete_and_trim() {
    local kind=$1 image=$2 before after
    (cd "$mnt" && awk 'NR % 3 != 0 { print substr($0, 67) }' "$disk/files.sha256" | xargs -d '\n' rm) && sync
    before=$(stat -c %b "$image")
    fstrim -v "$mnt" || {
        fail "$kind-trim" "fstrim failed"
        return 1
    }
    sync
    after=$(stat -c %b "$image")
    if [ "$after" -lt "$before" ]; then
        pass "$kind-trim"
    else
        fail "$kind-trim" "the image takes $after blocks after fstrim, $before before"
    fi
}

look_again() {
    local kind=$1
    awk 'NR % 3 == 0' "$disk/files.sha256" >/run/left.sha256
    if ! { umount "$mnt" && blockdev --flushbufs "$device" && mount -t "$kind" "$device" "$mnt"; }; then
        fail "$kind-mount-again" "could not be mounted again"
        return 1
    fi
    if files_agree "$mnt" /run/left.sha256; then pass "$kind-checksums"; else fail "$kind-checksums" "files differ"; fi
}

# check NAME KIND DEVICE-OR-IMAGE: runs the filesystem's checker without changing anything.
check() {
    local name=$1 kind=$2 where=$3 status=0
    case $kind in
        ext4) e2fsck -f -n "$where" || status=$? ;;
        xfs) xfs_repair -n "$where" || status=$? ;;
        btrfs) btrfs check --readonly "$where" || status=$? ;;
    esac
    if [ "$status" = 0 ]; then pass "$name"; else fail "$name" "the checker's exit status is $status"; fi
}
