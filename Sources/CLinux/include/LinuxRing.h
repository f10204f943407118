// Several writes in one system call: a small part of io_uring(7), which Swift cannot see.
//
// Why: writes that are submitted together reach the device together, and their completions are awaited together. From
// threads that write one by one each write costs a system call, two switches of context and a notification of the
// device.
//
// A ring is used by one thread at a time. Nothing allocates but linux_ring_open. No write is left to the kernel's
// worker threads (RWF_NOWAIT): what cannot be started at once comes back with EAGAIN, and is the caller's to do
// otherwise.
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

// Makes a ring with room for `entries` writes at once. Returns 0, or -errno: ENOSYS or EPERM where the kernel or its
// configuration knows no io_uring.
int linux_ring_open(struct linux_ring *ring, uint32_t entries);
void linux_ring_close(struct linux_ring *ring);

// Does the writes, at most as many as the ring has entries, and returns when all have ended. They may end in any order.
void linux_ring_write(struct linux_ring *ring, int descriptor, struct linux_ring_write *writes, uint32_t count);

#endif
