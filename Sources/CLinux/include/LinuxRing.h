// Several writes in one system call: a small part of io_uring(7), which Swift cannot import.
//
// Why: writes that are submitted together reach the device together, and one call waits for all of them. If a thread
// writes one by one, each write costs a system call, two context switches and a notification of the device.
//
// A ring is used by one thread at a time. Only linux_ring_open allocates. No write is passed to the kernel's worker
// threads (RWF_NOWAIT). A write that cannot start at once fails with EAGAIN, and the caller performs it in another way.
#ifndef FLEXPAGE_LINUX_RING_H
#define FLEXPAGE_LINUX_RING_H

#include <stdint.h>
#include <sys/uio.h>

struct linux_ring {
    int descriptor;
    uint32_t entries;
    void *rings;
    uint64_t ring_bytes;
    void *submissions;
    uint64_t submission_bytes;
    uint32_t *submission_head;
    uint32_t *submission_tail;
    uint32_t submission_mask;
    uint32_t *completion_head;
    uint32_t *completion_tail;
    uint32_t completion_mask;
    void *completions;
};

// One write: pwritev2(2) with RWF_NOWAIT.
struct linux_ring_write {
    const struct iovec *pieces;
    uint32_t count;
    int64_t offset;  // bytes
    int64_t result;  // bytes written, or -errno
};

// Creates a ring for up to `entries` writes at once. Returns 0, or -errno: -ENOSYS or -EPERM if the kernel lacks
// io_uring or does not permit it.
int linux_ring_open(struct linux_ring *ring, uint32_t entries);
void linux_ring_close(struct linux_ring *ring);

// Performs the writes, and returns when all have completed. `count` is at most the ring's `entries`. They may complete
// in any order.
void linux_ring_write(struct linux_ring *ring, int descriptor, struct linux_ring_write *writes, uint32_t count);

#endif
