# The machine swaps over an export that it serves to itself. The kernel can only free memory by writing to the export,
# so a server that waits for memory waits for itself; and each page that the server has locked is one less to swap with.
# Here: a program that needs more than there is gets it, what went out comes back right, and no program is killed. A
# machine that gets stuck runs into the time limit.
# shellcheck shell=bash disable=SC2034,SC2154
needs_writing=yes
# A disk of its own, without a filesystem, which would need memory while there is none.
guest_second_disk=1G

# Some 150 MiB more than the machine has left.
bytes=$((560 << 20))

on_host() { :; }

in_guest() {
    # As the man page says.
    if ! { serve --swap /dev/vdb memory=32M && attach -swap && mkswap "$device" >/dev/null && swapon "$device"; }; then
        fail served "could not be served, attached and used for swap"
        return
    fi
    awk '/^Vm(Lck|RSS)/' "/proc/$server/status"
    if use_memory; then pass compared; else fail compared "the program was killed, or its memory differs"; fi
    if [ "$(swapped_out)" -gt $((64 << 10)) ]; then pass swapped; else fail swapped "only $(swapped_out) KiB went out"; fi
    if swapoff "$device"; then pass swapoff; else fail swapoff "what is out does not come back"; fi
    detach
    if stop_serving; then pass server-ends; else fail server-ends "exit status $?"; fi
}

# KiB that have gone out so far.
swapped_out() { awk '$1 == "pswpout" { print $2 * 4 }' /proc/vmstat; }

# Fills memory with pages that differ, and looks at each again, the last megabyte first: those that have gone out come
# back once, many together.
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
