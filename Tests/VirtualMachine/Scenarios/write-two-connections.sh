# Like write.sh, with two connections. The kernel distributes its requests over them, and a flush on one must cover both.
# With --soak for each kind of filesystem, otherwise for xfs.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes

on_host() { make_tree_with_list "$1"; }

in_guest() {
    local kind kinds=xfs
    [ ! -e "$disk/soak" ] || kinds="ext4 xfs btrfs"
    for kind in $kinds; do filesystem_lives "$kind" memory=32M -- -C 2; done
}
