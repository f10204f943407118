# Makes filesystem images on the host, without root or a loop device.
# shellcheck shell=bash

# list_files DIR LIST: writes the checksums of all files in DIR, with their relative names.
list_files() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >"$2"; }

# make_tree DIR BYTES: ordinary files of this machine, and some special ones: empty, of one byte, of odd lengths, deeply
# nested.
make_tree() {
    copy_real_files "$1" "$2"
    local deep=$1/a/b/c/d/e/f/g/h
    mkdir -p "$deep"
    : >"$deep/empty"
    printf x >"$deep/one"
    head -c 4097 /dev/urandom >"$deep/page-and-a-byte"
    head -c 3000001 /dev/urandom >"$deep/three-million-and-one"
}

# make_image KIND TREE IMAGE
make_image() {
    case $1 in
        ext4)
            truncate -s 96M "$3"
            mkfs.ext4 -q -F -d "$2" "$3"
            ;;
        xfs)
            # The minimum for mkfs.xfs.
            truncate -s 300M "$3"
            xfs_protofile "$2" >"$3.proto"
            mkfs.xfs -q -p "$3.proto" "$3"
            rm "$3.proto"
            ;;
        btrfs)
            truncate -s 160M "$3"
            mkfs.btrfs -q --rootdir "$2" "$3"
            ;;
    esac
}

# Describes a tree from which mkfs.xfs fills a filesystem. A directory's entries follow it and end with `$`.
xfs_protofile() {
    printf '/dev/null\n0 0\nd--755 0 0\n'
    xfs_entries "$1"
    echo '$'
}

xfs_entries() {
    local entry
    for entry in "$1"/*; do
        if [ -d "$entry" ]; then
            echo "${entry##*/} d--755 0 0"
            xfs_entries "$entry"
            echo '$'
        elif [ -f "$entry" ]; then
            echo "${entry##*/} ---644 0 0 $entry"
        fi
    done
}

# Makes what the writing scenarios copy: files, and the list of their checksums.
make_tree_with_list() {
    make_tree "$1/files" $((16 << 20))
    list_files "$1/files" "$1/files.sha256"
}
