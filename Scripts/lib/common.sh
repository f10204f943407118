# What the scripts share: where things are, how they speak, and how they get packages and rights.
# Sourced, never run. Every script has already done `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034  # some variables are for the scripts that source this

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
plugin=$root/.build/release/libnbdkit-flexpage-plugin.so

# A login shell of an ordinary Debian user has no sbin in its path; mkfs, losetup and nbd-client live there.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# What nbdkit and the plugin need to be built and run.
build_packages=(nbdkit nbdkit-plugin-dev libnbd-dev)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

# Runs a command with root's rights: as it is for root, else through sudo, which may ask only where someone can answer.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        say "${0##*/}: this needs root, and there is no sudo here: $*"
        return 1
    elif [ -t 0 ]; then
        sudo -- "$@"
    else
        sudo -n -- "$@"
    fi
}

# Those of the given packages that are not installed, one a line.
missing_packages() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] || echo "$name"
    done
}

# Installs what is missing of the given Debian packages. Says nothing, and needs no rights, where nothing is.
# Fails with a message, so that the caller can go without.
install_packages() {
    command -v dpkg-query >/dev/null || {
        say "This is not a Debian system: install these yourself, by the names they have here: $*"
        return 1
    }
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}"
    # A fresh machine has no package lists: without them apt would first print an error for each package.
    are_listed "${missing[@]}" || update_lists
    apt_install "${missing[@]}" || {
        # Old lists name versions that are gone.
        update_lists && apt_install "${missing[@]}"
    } || {
        say "Could not install: ${missing[*]}. As root: apt-get install ${missing[*]}"
        return 1
    }
}

# Whether the package lists know all of the given packages.
are_listed() {
    local name
    for name in "$@"; do
        apt-cache show --no-all-versions "$name" >/dev/null 2>&1 || return 1
    done
}

update_lists() { as_root apt-get -qq update >&2; }

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" </dev/null >&2
}

need_swift() {
    command -v swift >/dev/null || die "there is no swift in PATH. Get Swift 6.2 or newer from https://www.swift.org/install/"
}

# The release plugin, up to date. Quiet where it already is.
build_plugin() {
    need_swift
    say "Building the plugin (the first time takes some minutes)"
    (cd "$root" && swift build -c release --product nbdkit-flexpage-plugin </dev/null >&2) || die "the plugin does not build"
}

# Puts up to $2 bytes of ordinary files of this machine under the directory $1: what filesystem images are filled with.
# The order is fixed, so that one machine gets the same tree each time. Names with spaces are left out, as mkfs.xfs
# cannot be told of them.
copy_real_files() {
    local target=$1 limit=$2
    mkdir -p "$target"
    find /usr/share/doc /usr/share/perl /usr/bin -xdev -type f -readable -size -1024k -printf '%s %p\n' 2>/dev/null |
        LC_ALL=C sort -k 2 |
        # Every third file, so that the limit does not end the tree within the first letters of the alphabet.
        awk -v limit="$limit" 'NF == 2 && NR % 3 == 0 && total + $1 <= limit { total += $1; print $2 }' |
        tar -C / --create --no-recursion --absolute-names --transform 's,^/*,,' --verbatim-files-from --files-from=- |
        tar -C "$target" --extract --no-same-owner --no-same-permissions
}
