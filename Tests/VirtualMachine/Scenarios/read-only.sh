# Serves filesystems with real files read-only, attaches them with the kernel's client, and mounts them. Every file must
# have its original checksum. Meanwhile a second client reads the whole export.
# shellcheck shell=bash disable=SC2154

on_host() {
    local tree=$1 kind
    make_tree "$tree.files" $((16 << 20))
    list_files "$tree.files" "$tree/files.sha256"
    for kind in ext4 xfs btrfs; do
        make_image "$kind" "$tree.files" "$tree/images/$kind"
    done
    rm -rf "$tree.files"
}

in_guest() {
    local kind
    for kind in ext4 xfs btrfs; do
        check_image "$kind"
    done
}

check_image() {
    local kind=$1 image=$disk/images/$1 second=
    # Little memory, so that pages are recycled during the reads.
    serve "$image" memory=16M || {
        fail "$kind" "nbdkit did not start"
        return
    }
    if attach && mount -t "$kind" -o "$(read_only_options "$kind")" "$device" "$mnt"; then
        nbdcopy "$uri" - | cmp - "$image" &
        second=$!
        if files_agree "$mnt" "$disk/files.sha256"; then pass "$kind-checksums"; else fail "$kind-checksums" "files differ"; fi
        if wait "$second"; then pass "$kind-second-client"; else fail "$kind-second-client" "the copy differs from the image"; fi
        umount "$mnt"
    else
        fail "$kind-checksums" "cannot attach and mount it"
    fi
    detach
    if stop_serving; then pass "$kind-server-ends"; else fail "$kind-server-ends" "exit status $?"; fi
}
