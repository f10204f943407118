# Shared by the scripts: paths, messages, packages, root rights, and builds.
# Sourced, never run. Every script has already called `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034  # the scripts that source this use the variables

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
plugin=$root/.build/release/libnbdkit-flexpage-plugin.so
filter=$root/.build/release/libnbdkit-flexpage-filter.so
tool=$root/.build/release/flexpage

# mkfs, losetup and nbd-client are in sbin, which is not in the path of an ordinary Debian user.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Debian's Python, which finds what Debian's packages bring. Another one may come first in PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

# Packages to build and run the plugin.
build_packages=(nbdkit nbdkit-plugin-dev libnbd-dev)
# Packages to build the command line tool, which links libnbd, libnl and liblz4. pkgconf finds libnl's headers.
tool_packages=(libnbd-dev libnl-genl-3-dev liblz4-dev pkgconf)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

# Whether a person can be asked for a password: this process is in the foreground of a terminal. (One in the background
# would be stopped.) Where its input comes from does not matter, because sudo asks on the terminal.
can_ask() {
    local line fields
    read -r line </proc/self/stat
    # After the name, in parentheses: state, parent, group, session, terminal, and the terminal's foreground group.
    read -r -a fields <<<"${line##*) }"
    [ "${fields[2]}" = "${fields[5]}" ]
}

# Runs a command as root: directly if the user is root, otherwise through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        say "${0##*/}: this needs root, and sudo is not installed: $*"
        return 1
    elif can_ask; then
        sudo -- "$@"
    else
        sudo -n -- "$@"
    fi
}

# Prints those of the given packages that are not installed, one per line.
missing_packages() {
    local name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] || echo "$name"
    done
}

# Installs those of the given Debian packages that are missing. If none is, it prints nothing and needs no rights.
# On failure it prints a message and returns 1, so that the caller may do without the packages.
install_packages() {
    command -v dpkg-query >/dev/null || {
        say "This is not a Debian system. Install these packages yourself, under the names that they have here: $*"
        return 1
    }
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}"
    # A fresh machine has no package lists. Without them, apt would first print an error for each package.
    are_listed "${missing[@]}" || update_lists
    apt_install "${missing[@]}" || {
        # Old lists name versions that no longer exist.
        update_lists && apt_install "${missing[@]}"
    } || {
        say "Could not install ${missing[*]}. Try, as root: apt-get install ${missing[*]}"
        return 1
    }
}

# Whether the package lists contain all of the given packages.
are_listed() {
    local name
    for name in "$@"; do
        apt-cache show --no-all-versions "$name" >/dev/null 2>&1 || return 1
    done
}

update_lists() { as_root apt-get -qq -o DPkg::Lock::Timeout=120 update >&2; }

apt_install() {
    # Stages of the tests that run beside each other may want packages at the same time.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends install "$@" </dev/null >&2
}

# unpack_packages NAME PACKAGE…: unpacks Debian packages into .build/NAME/tree, with those libraries and Python modules that
# they depend on and that are not installed. Nothing is installed, because that would start services, and no rights are
# needed. It is done once for each version. If the packages cannot be had, what an earlier run has unpacked will do.
unpack_packages() {
    local work=$root/.build/$1 version name deb
    shift
    are_listed "$@" || update_lists || true
    version=$(apt-cache policy "$@" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }' | xargs)
    if [ -s "$work/version" ] && [ "$(cat "$work/version")" = "$version" ]; then return 0; fi
    say "Unpacking $*"
    rm -rf "$work/download"
    mkdir -p "$work/download/partial"
    if ! download "$work/download" "$@" && ! { update_lists && download "$work/download" "$@"; }; then
        rm -rf "$work/download"
        [ -s "$work/version" ]
        return
    fi
    rm -rf "$work/version" "$work/tree"
    for deb in "$work"/download/*.deb; do
        name=${deb##*/}
        case " $* " in
            # Others are called only by the scripts of the services.
            *" ${name%%_*} "*) ;;
            *) [[ $name = lib* || $name = python3-* ]] || continue ;;
        esac
        dpkg -x "$deb" "$work/tree" || return 1
    done
    rm -rf "$work/download"
    echo "$version" >"$work/version"
}

# download DIRECTORY PACKAGE…: downloads packages, installed or not, and what is missing of what they depend on.
download() {
    local directory=$1
    shift
    apt-get -q -y --no-install-recommends --reinstall --download-only -o Debug::NoLocking=1 \
        -o Dir::Cache::archives="$directory" install "$@" </dev/null >&2
}

need_swift() {
    command -v swift >/dev/null || die "swift is not in PATH; install Swift 6.2 or newer from https://www.swift.org/install/"
}

# build PRODUCT FILE NAME: brings a product of the release build, which is FILE, up to date. Swift's libraries are inside,
# so that programs run without the toolchain. (With another option for each product, each build would compile everything.)
build() {
    need_swift
    if [ -e "$2" ]; then say "Building $3"; else say "Building $3 (the first build takes a minute or two)"; fi
    (cd "$root" && swift build -c release --static-swift-stdlib --product "$1" </dev/null >&2) || die "cannot build $3"
}

build_tool() { build flexpage "$tool" "the flexpage tool"; }

build_plugin() { build nbdkit-flexpage-plugin "$plugin" "the plugin"; }

# The filter fits only the version of nbdkit whose header it was built with.
build_filter() { build nbdkit-flexpage-filter "$filter" "the filter"; }

# Copies up to $2 bytes of ordinary files of this machine into the directory $1, as contents for filesystem images. The
# order is fixed, so one machine always gets the same tree. Names with spaces are left out, because mkfs.xfs cannot take
# them.
copy_real_files() {
    local target=$1 limit=$2
    mkdir -p "$target"
    find /usr/share/doc /usr/share/perl /usr/bin -xdev -type f -readable -size -1024k -printf '%s %p\n' 2>/dev/null |
        LC_ALL=C sort -k 2 |
        # Every third file, so that the limit is not reached within the first letters of the alphabet.
        awk -v limit="$limit" 'NF == 2 && NR % 3 == 0 && total + $1 <= limit { total += $1; print $2 }' |
        tar -C / --create --no-recursion --absolute-names --transform 's,^/*,,' --verbatim-files-from --files-from=- |
        tar -C "$target" --extract --no-same-owner --no-same-permissions
}
