# The life of a filesystem on the kernel's nbd device, for three kinds of filesystem.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes

on_host() { make_tree_with_list "$1"; }

in_guest() {
    local kind
    for kind in ext4 xfs btrfs; do filesystem_lives "$kind" memory=64M; done
}
