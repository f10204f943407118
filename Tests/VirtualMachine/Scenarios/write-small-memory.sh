# Like write.sh, with so little memory that writers constantly wait for pages.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes
needs_soak=yes

on_host() { make_tree_with_list "$1"; }

in_guest() {
    local kind
    for kind in ext4 xfs btrfs; do filesystem_lives "$kind" memory=8M; done
}
