# Like write.sh, with so little memory that writers constantly wait for pages.
# With --soak for each kind of filesystem, otherwise for btrfs.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes

on_host() { make_tree_with_list "$1"; }

in_guest() {
    local kind kinds=btrfs
    [ ! -e "$disk/soak" ] || kinds="ext4 xfs btrfs"
    for kind in $kinds; do filesystem_lives "$kind" memory=8M; done
}
