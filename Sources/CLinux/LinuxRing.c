#define _GNU_SOURCE
#include "LinuxRing.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

static int enter(struct linux_ring *ring, uint32_t submit, uint32_t complete)
{
    long result = syscall(SYS_io_uring_enter, ring->descriptor, submit, complete, IORING_ENTER_GETEVENTS, NULL, 0);
    return result < 0 ? -errno : (int)result;
}

static int map(struct linux_ring *ring, const struct io_uring_params *params)
{
    uint64_t submission_end = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    uint64_t completion_end = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    ring->ring_bytes = submission_end > completion_end ? submission_end : completion_end;
    ring->submission_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    ring->rings = mmap(NULL, ring->ring_bytes, protection, flags, ring->descriptor, IORING_OFF_SQ_RING);
    if (ring->rings == MAP_FAILED)
        return -errno;
    ring->submissions = mmap(NULL, ring->submission_bytes, protection, flags, ring->descriptor, IORING_OFF_SQES);
    if (ring->submissions == MAP_FAILED) {
        int error = errno;
        munmap(ring->rings, ring->ring_bytes);
        return -error;
    }
    return 0;
}

int linux_ring_open(struct linux_ring *ring, uint32_t entries)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    memset(ring, 0, sizeof *ring);
    long descriptor = syscall(SYS_io_uring_setup, entries, &params);
    if (descriptor < 0)
        return -errno;
    ring->descriptor = (int)descriptor;
    // Kernels before 5.4 map the two rings separately, which is not supported here.
    int error = params.features & IORING_FEAT_SINGLE_MMAP ? map(ring, &params) : -ENOSYS;
    if (error) {
        close(ring->descriptor);
        return error;
    }
    uint8_t *rings = ring->rings;
    ring->entries = params.sq_entries;
    ring->submission_head = (uint32_t *)(rings + params.sq_off.head);
    ring->submission_tail = (uint32_t *)(rings + params.sq_off.tail);
    ring->submission_mask = *(uint32_t *)(rings + params.sq_off.ring_mask);
    ring->completion_head = (uint32_t *)(rings + params.cq_off.head);
    ring->completion_tail = (uint32_t *)(rings + params.cq_off.tail);
    ring->completion_mask = *(uint32_t *)(rings + params.cq_off.ring_mask);
    ring->completions = rings + params.cq_off.cqes;
    // Entry n of the ring always refers to submission n.
    uint32_t *array = (uint32_t *)(rings + params.sq_off.array);
    for (uint32_t index = 0; index < params.sq_entries; index++)
        array[index] = index;
    return 0;
}

void linux_ring_close(struct linux_ring *ring)
{
    munmap(ring->submissions, ring->submission_bytes);
    munmap(ring->rings, ring->ring_bytes);
    close(ring->descriptor);
}

static void prepare(
    struct linux_ring *ring, uint32_t tail, int descriptor, const struct linux_ring_write *write, uint32_t index)
{
    struct io_uring_sqe *entry = (struct io_uring_sqe *)ring->submissions + (tail & ring->submission_mask);
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_WRITEV;
    entry->fd = descriptor;
    entry->addr = (uintptr_t)write->pieces;
    entry->len = write->count;
    entry->off = (uint64_t)write->offset;
    entry->rw_flags = RWF_NOWAIT;
    entry->user_data = index;
}

// Takes completed writes off the ring, and returns their number.
static uint32_t reap(struct linux_ring *ring, struct linux_ring_write *writes)
{
    uint32_t head = *ring->completion_head, count = 0;
    uint32_t tail = __atomic_load_n(ring->completion_tail, __ATOMIC_ACQUIRE);
    for (; head != tail; head++, count++) {
        const struct io_uring_cqe *end = (struct io_uring_cqe *)ring->completions + (head & ring->completion_mask);
        writes[end->user_data].result = end->res;
    }
    __atomic_store_n(ring->completion_head, head, __ATOMIC_RELEASE);
    return count;
}

void linux_ring_write(struct linux_ring *ring, int descriptor, struct linux_ring_write *writes, uint32_t count)
{
    uint32_t tail = *ring->submission_tail;
    for (uint32_t index = 0; index < count; index++) {
        // A write that is never submitted counts as one that could not be started.
        writes[index].result = -EAGAIN;
        prepare(ring, tail + index, descriptor, writes + index, index);
    }
    __atomic_store_n(ring->submission_tail, tail + count, __ATOMIC_RELEASE);
    uint32_t waiting = count, under_way = 0;
    while (waiting + under_way > 0) {
        int submitted = enter(ring, waiting, waiting + under_way);
        if (submitted >= 0) {
            waiting -= (uint32_t)submitted;
            under_way += (uint32_t)submitted;
        } else if (submitted != -EINTR) {
            // The kernel accepts no more. Withdraw what it has not accepted, and wait for what it has.
            __atomic_store_n(ring->submission_tail, *ring->submission_tail - waiting, __ATOMIC_RELEASE);
            waiting = 0;
        }
        under_way -= reap(ring, writes);
    }
}
