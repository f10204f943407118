// A server that dies while the kernel moves bytes for it: begins a read or a write of a whole file with io_uring(7),
// says so, and waits to be killed.
//
//     late read|write FILE MEMORY MARK
//
// FILE is read or written with O_DIRECT. MEMORY is a file as long as FILE, on a tmpfs, which is mapped shared. MARK is
// the offset of the byte that is locked for reading, on the description that the kernel uses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void check(int is_right, const char *what)
{
    if (is_right)
        return;
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static void begin(int file, struct iovec *piece, uint8_t operation)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
    check(ring >= 0, "io_uring_setup");
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    size_t bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    uint8_t *queue = mmap(NULL, bytes, protection, flags, ring, IORING_OFF_SQ_RING);
    check(queue != MAP_FAILED, "mapping the queue");
    struct io_uring_sqe *entry = mmap(NULL, sizeof *entry, protection, flags, ring, IORING_OFF_SQES);
    check(entry != MAP_FAILED, "mapping the entry");
    memset(entry, 0, sizeof *entry);
    entry->opcode = operation;
    entry->fd = file;
    entry->addr = (uintptr_t)piece;
    entry->len = 1;
    *(uint32_t *)(queue + params.sq_off.array) = 0;
    __atomic_store_n((uint32_t *)(queue + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    check(syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) == 1, "io_uring_enter");
}

int main(int count, char **arguments)
{
    check(count == 5, "four arguments");
    int is_write = strcmp(arguments[1], "write") == 0;
    int file = open(arguments[2], O_RDWR | O_DIRECT), memory = open(arguments[3], O_RDWR);
    struct stat status;
    check(file >= 0 && memory >= 0 && fstat(memory, &status) == 0, "opening");
    struct flock mark = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = strtoll(arguments[4], NULL, 10), .l_len = 1};
    check(fcntl(file, F_OFD_SETLK, &mark) == 0, "marking");
    struct iovec piece = {.iov_len = (size_t)status.st_size};
    piece.iov_base = mmap(NULL, piece.iov_len, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    check(piece.iov_base != MAP_FAILED, "mapping");
    begin(file, &piece, is_write ? IORING_OP_WRITEV : IORING_OP_READV);
    // A worker of the kernel may be starting the transfer. One that has not started is cancelled by the kill.
    usleep(300000);
    printf("under way\n");
    fflush(stdout);
    while (1)
        pause();
}
