# The machine swaps to an export that it serves itself. The kernel can free memory only by writing to the export, so a
# server that waits for memory waits for itself. The server's locked memory is not available to programs.
# Checks that a program which needs more memory than there is gets it, that swapped pages come back intact, and that no
# program is killed. A machine that gets stuck runs into the time limit.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes
# A separate disk without a filesystem, because a filesystem would need memory while there is none.
guest_second_disk=1G

# About 150 MiB more than the machine has free.
bytes=$((560 << 20))

on_host() { :; }

in_guest() {
    # As the man page says.
    if ! { serve --swap /dev/vdb memory=32M && attach -swap && mkswap "$device" >/dev/null && swapon "$device"; }; then
        fail served "cannot serve, attach and use it for swap"
        return
    fi
    awk '/^Vm(Lck|RSS)/' "/proc/$server/status"
    if use_memory; then pass compared; else fail compared "the program was killed, or its memory differs"; fi
    if [ "$(swapped_out)" -gt $((64 << 10)) ]; then pass swapped; else fail swapped "only $(swapped_out) KiB were swapped out"; fi
    if swapoff "$device"; then pass swapoff; else fail swapoff "swapped pages do not come back"; fi
    detach
    if stop_serving; then pass server-ends; else fail server-ends "exit status $?"; fi
}

# KiB that have been swapped out so far.
swapped_out() { awk '$1 == "pswpout" { print $2 * 4 }' /proc/vmstat; }

# Fills memory with different pages, and checks each of them, the last megabyte first. So each swapped page comes back
# once, together with others.
use_memory() {
    echo 5 >/proc/sys/vm/page-cluster
    /usr/bin/python3 - "$bytes" <<'END'
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
pages = len(memory) // 4096
for page in range(pages):
    memory[page * 4096 + 4088:page * 4096 + 4096] = (page + 1).to_bytes(8, "little")
print("filled", flush=True)
for megabyte in reversed(range(0, pages, 256)):
    for page in range(megabyte, megabyte + 256):
        if memory[page * 4096 + 4088:page * 4096 + 4096] != (page + 1).to_bytes(8, "little"):
            sys.exit(f"page {page} differs")
    memory.madvise(mmap.MADV_DONTNEED, megabyte * 4096, 1 << 20)
END
}
