#!/bin/bash
# Runs in the virtual machine: what scenarios use there, and then the scenario.
# The disk is at /run/disk, results go to the second serial line, everything else to the first.
# shellcheck disable=SC1091,SC2034  # sources files of the virtual machine, has variables for them
set -uo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/tmp LC_ALL=C
cd /run || exit 1

disk=/run/disk
mnt=/run/mnt
socket=/run/nbd.sock
uri="nbd+unix:///?socket=$socket"
device=/dev/nbd0
server=

result() { printf '%s\n' "$*" >/dev/ttyS1; }
pass() { result "PASS $1"; }
fail() { result "FAIL $1: $2"; }
skip() { result "SKIP $1: $2"; }

# The plugin on the disk, or the name of its stand-in.
plugin_here() { if [ -e "$disk/plugin.so" ]; then echo "$disk/plugin.so"; else cat "$disk/plugin.name"; fi; }

# Serves an image with the plugin: serve [--swap] IMAGE [OPTION…]. In the foreground of a process of its own, so that its
# end can be waited for.
serve() {
    local lock=() tries=0 image plugin
    if [ "$1" = --swap ]; then
        lock=(--swap)
        shift
    fi
    image=$1
    plugin=$(plugin_here)
    shift
    # A stand-in knows none of our keys.
    [ -e "$plugin" ] || set --
    rm -f "$socket" /run/nbdkit.pid
    nbdkit -f "${lock[@]}" -U "$socket" -P /run/nbdkit.pid "$plugin" file="$image" "$@" &
    server=$!
    until [ -s /run/nbdkit.pid ]; do
        kill -0 "$server" 2>/dev/null || return 1
        tries=$((tries + 1))
        # A minute: emulated machines are slow, and a server that hangs at its start must end as a failure.
        [ "$tries" -lt 600 ] || return 1
        sleep 0.1
    done
}

# Ends the server as a supervisor does, and gives its status.
stop_serving() {
    kill -TERM "$server" && wait "$server"
}

# attach [nbd-client option…]: the export becomes $device.
attach() {
    nbd-client -unix "$socket" "$device" "$@" && [ "$(blockdev --getsize64 "$device")" -gt 0 ]
}

detach() {
    nbd-client -d "$device"
    # The kernel is done with it only when its size is gone: a client that attaches before that is refused.
    local tries=0
    while [ "$(cat "/sys/block/${device#/dev/}/size")" != 0 ] && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}

# The read-only mount options of a filesystem: nothing is replayed, as nothing can be written.
read_only_options() {
    case $1 in
        ext4) echo ro,noload ;;
        xfs) echo ro,norecovery ;;
        *) echo ro ;;
    esac
}

# Does every file below $1 agree with the list $2 (of sha256sum), and is the number of files the same?
files_agree() {
    local tree=$1 list=$2
    (cd "$tree" && sha256sum --quiet --strict -c "$list") &&
        [ "$(cd "$tree" && find . -xdev -name lost+found -prune -o -type f -print | wc -l)" = "$(wc -l <"$list")" ]
}

. "$disk/guest-filesystems.sh"
. "$disk/scenario.sh"
in_guest
result DONE
