# The server is killed and restarted again and again, and replaced by another build, under btrfs on a device that
# `flexpage attach` has attached.
# shellcheck shell=bash disable=SC1091,SC2034,SC2154
needs_writing=yes
needs_tool=yes
needs_soak=yes

on_host() {
    make_tree_with_list "$1"
    add_other_build "$1"
}

in_guest() {
    . "$disk/guest-restart.sh"
    survives btrfs
}
