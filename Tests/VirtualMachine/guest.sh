#!/bin/bash
# Runs in the virtual machine: defines what scenarios use there, and runs the scenario.
# The disk is mounted on /run/disk. Results go to the second serial line, everything else to the first.
# shellcheck disable=SC1091,SC2034  # sources files in the virtual machine, and has variables for them
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

# The plugin on the disk, or the name of the plugin that replaces it.
plugin_here() { if [ -e "$disk/plugin.so" ]; then echo "$disk/plugin.so"; else cat "$disk/plugin.name"; fi; }

# serve [--swap] IMAGE [OPTION…]: serves an image in a child process, so that the script can wait for its end.
serve() {
    local lock=() tries=0 image plugin
    if [ "$1" = --swap ]; then
        lock=(--swap)
        shift
    fi
    image=$1
    plugin=$(plugin_here)
    shift
    # Another plugin does not know our keys.
    [ -e "$plugin" ] || set --
    rm -f "$socket" /run/nbdkit.pid
    nbdkit -f "${lock[@]}" -U "$socket" -P /run/nbdkit.pid "$plugin" file="$image" "$@" &
    server=$!
    until [ -s /run/nbdkit.pid ]; do
        kill -0 "$server" 2>/dev/null || return 1
        tries=$((tries + 1))
        # A minute: emulated machines are slow, but a server that hangs when it starts must become a failure.
        [ "$tries" -lt 600 ] || return 1
        sleep 0.1
    done
}

# Stops the server as a supervisor does, and returns its exit status.
stop_serving() {
    kill -TERM "$server" && wait "$server"
}

# attach [nbd-client option…]: attaches the export as $device.
attach() {
    nbd-client -unix "$socket" "$device" "$@" && [ "$(blockdev --getsize64 "$device")" -gt 0 ]
}

detach() {
    nbd-client -d "$device"
    # The kernel has finished only when the size is 0. It refuses a client that attaches earlier.
    local tries=0
    while [ "$(cat "/sys/block/${device#/dev/}/size")" != 0 ] && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}

# Read-only mount options of a filesystem, without replaying its journal.
read_only_options() {
    case $1 in
        ext4) echo ro,noload ;;
        xfs) echo ro,norecovery ;;
        *) echo ro ;;
    esac
}

# files_agree TREE LIST: whether the files in a tree are those in a list of sha256sum.
files_agree() {
    local tree=$1 list=$2
    (cd "$tree" && sha256sum --quiet --strict -c "$list") &&
        [ "$(cd "$tree" && find . -xdev -name lost+found -prune -o -type f -print | wc -l)" = "$(wc -l <"$list")" ]
}

. "$disk/guest-filesystems.sh"
. "$disk/scenario.sh"
in_guest
result DONE
