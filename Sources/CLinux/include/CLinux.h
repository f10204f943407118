// Linux calls and constants that Swift cannot import: variadic functions (open, fcntl, ioctl), function-like macros
// (BLK*, S_IS*), and declarations that need _GNU_SOURCE.
//
// Rules: each function makes one system call and keeps no state. It returns the call's result, or -errno if the call
// fails. That includes EINTR, because only the caller knows whether to try again. Nothing allocates. Any thread may
// call. Lengths and offsets are in bytes.
#ifndef FLEXPAGE_CLINUX_H
#define FLEXPAGE_CLINUX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

// The kind of a file.
enum linux_file_kind {
    LINUX_REGULAR,
    LINUX_DIRECTORY,
    LINUX_BLOCK_DEVICE,
    LINUX_CHARACTER_DEVICE,
    LINUX_FIFO,
    LINUX_SOCKET,
    LINUX_OTHER_KIND
};

// The part of stat(2)'s result that matters here.
struct linux_file {
    enum linux_file_kind kind;
    uint64_t device;  // of the filesystem that holds the file
    uint64_t inode;
    uint64_t special_device;  // which device this is, if it is one
    int64_t size;             // of a regular file
    int64_t allocated;        // bytes that are not holes
    uint64_t links;           // names
    uint32_t owner;
    uint32_t permissions;  // the bits of chmod(2)
};

// open(2), always with O_CLOEXEC and O_NOCTTY. `direct` adds O_DIRECT. `exclusive` adds O_EXCL, which claims a block
// device.
int linux_open(const char *path, bool writable, bool direct, bool exclusive);

// open(2) of /proc/self/fd/`descriptor`: the same file with a new open file description. Permissions are
// checked again.
int linux_reopen(int descriptor, bool writable, bool direct, bool exclusive);

// How a path is looked up from a directory.
enum linux_lookup {
    LINUX_ANYWHERE,  // as openat(2) does
    // openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS: nothing outside the directory is reached, by ".." or
    // a link. -EXDEV if the path leads out, -ELOOP for a magic link, -EAGAIN if a rename was in the way (try again).
    // Kernels before 5.6 have no openat2: -ENOSYS.
    LINUX_BENEATH,
};

// openat(2) or openat2(2), with O_CLOEXEC, O_NOCTTY and O_NONBLOCK, so that a FIFO that appears at the path does not
// make the caller wait. On regular files and block devices O_NONBLOCK has no effect, except that a lease that another
// process has on the file is -EAGAIN.
int linux_open_at(int directory, const char *path, enum linux_lookup lookup, bool writable, bool direct);

// The same with O_PATH: a descriptor that only names the file, for linux_fstat. It opens no device.
int linux_look_at(int directory, const char *path, enum linux_lookup lookup);

// open(2) of a directory for reading, for linux_open_at and fdopendir(3).
int linux_open_readable_directory(const char *path);

// accept4(2) with SOCK_CLOEXEC: a program that another thread starts does not inherit the connection.
int linux_accept(int socket);

// dup3(2) with O_CLOEXEC: makes `descriptor` a copy of `other`, at once. What it was before is closed.
int linux_replace(int descriptor, int other);

// statx(2) with AT_STATX_DONT_SYNC: whether `path` leads to the file with these numbers, as far as this machine knows.
// It asks no file server. stat(2) hangs with one that hangs.
bool linux_leads_to(const char *path, uint64_t device, uint64_t inode);

// statx(2) with STATX_BTIME only: when the file was made, nanoseconds since 1970; 0 if the filesystem does not tell.
uint64_t linux_birth(int descriptor);

// name_to_handle_at(2): a number that differs between a file and a later one with the same inode number; 0 if the
// filesystem has no handles. It is made of the handle, which has a generation beside the inode number, by a hash of 64
// bits.
uint64_t linux_handle(int descriptor);

int linux_stat(const char *path, struct linux_file *file);
int linux_fstat(int descriptor, struct linux_file *file);

// fstatat(2), following symbolic links. `directory` may be -1 if `path` is absolute.
int linux_stat_at(int directory, const char *path, struct linux_file *file);

// open(2) of a directory with O_PATH, for use with linux_stat_at. It takes no permission to read the directory.
int linux_open_directory(const char *path);

// Attributes that change when a file's contents change. Times are nanoseconds since 1970.
struct linux_stamp {
    uint64_t size;
    int64_t modified;
    int64_t changed;
};

// statx(2). A network filesystem asks its server. -EOPNOTSUPP if the filesystem does not provide these attributes.
int linux_stamp(int descriptor, struct linux_stamp *stamp);

// fstatfs(2): whether the file is on a filesystem that is known to update a file's times with every change, and to
// report them without delay.
bool linux_tells_changes(int descriptor);

// statx(2) with STATX_NLINK only: the number of the file's names. If times were requested too, the next write would
// have to update the inode.
int linux_link_count(int descriptor);

// statx(2) with STATX_DIOALIGN: returns 1 and the alignment that O_DIRECT requires of addresses, and of offsets and
// lengths (0 if O_DIRECT is not supported). Returns 0 if the kernel or the filesystem does not provide it.
int linux_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset);

// preadv2(2) and pwritev2(2). `uncached` is RWF_DONTCACHE. Kernels before 6.14 and some filesystems refuse it with
// EOPNOTSUPP.
ssize_t linux_preadv(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached);
ssize_t linux_pwritev(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached);

// lseek(2), SEEK_DATA, SEEK_HOLE, and SEEK_END: the size of a regular file.
int64_t linux_seek_data(int descriptor, int64_t offset);
int64_t linux_seek_hole(int descriptor, int64_t offset);
int64_t linux_seek_end(int descriptor);

int linux_fdatasync(int descriptor);

// sync_file_range(2): writes dirty pages of the page cache and waits for them. This is not a sync: nothing is durable.
int linux_write_back(int descriptor, int64_t offset, int64_t length);

// posix_fadvise(2), POSIX_FADV_DONTNEED and POSIX_FADV_RANDOM (the whole file).
int linux_drop_cache(int descriptor, int64_t offset, int64_t length);
int linux_expect_random(int descriptor);

// fallocate(2), plain, FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE, all with FALLOC_FL_KEEP_SIZE.
int linux_allocate(int descriptor, int64_t offset, int64_t length);
int linux_punch_hole(int descriptor, int64_t offset, int64_t length);
int linux_zero_range(int descriptor, int64_t offset, int64_t length);

// ioctl(2) on block devices: BLKGETSIZE64, BLKSSZGET, BLKROGET (0 or 1).
int64_t linux_block_size(int descriptor);
int linux_block_logical_size(int descriptor);
int linux_block_read_only(int descriptor);

// The bytes below this offset are all that a file can have, and what linux_lock locks. Those above are for marks.
#define LINUX_FIRST_MARK (1ll << 62)

// fcntl(2), F_OFD_SETLK: takes or drops an open file description lock for writing on the whole file, up to
// LINUX_FIRST_MARK. -EAGAIN if there is a conflicting lock.
int linux_lock(int descriptor);
int linux_unlock(int descriptor);

// fcntl(2), F_OFD_GETLK: 1 if a part of the file, up to LINUX_FIRST_MARK, is locked for writing through another open
// file description, else 0.
int linux_is_locked(int descriptor);

// fcntl(2), F_OFD_SETLK: takes or drops an open file description lock for reading on the byte at `offset`. -EAGAIN if
// another program has it locked for writing.
int linux_mark(int descriptor, int64_t offset);
int linux_unmark(int descriptor, int64_t offset);

// What the kernel does with a read or write of a process that is killed.
enum linux_ending {
    // The process lives on until it is done, or the open file description does (io_uring). So locks tell when that is.
    LINUX_ENDS_WITH_LOCKS,
    // The same through the page cache. Past the page cache it may go on after all locks are gone.
    LINUX_ENDS_WITH_LOCKS_IF_BUFFERED,
    // It may go on after all locks are gone.
    LINUX_OUTLIVES_LOCKS,
};

// fstatfs(2): which of these is known of a regular file's filesystem. -errno if the call fails.
int linux_ending(int descriptor);

// fstatfs(2): whether times in this file's stamps come from another machine's clock.
bool linux_has_foreign_clock(int descriptor);

// ioctl(2), BLKGETDISKSEQ: a number that no other disk has had under this device's number since the machine started.
// -ENOTTY before Linux 5.15.
int64_t linux_disk_sequence(int descriptor);

// What a filesystem is and has.
struct linux_filesystem {
    uint32_t magic;
    bool is_tmpfs;
    bool is_hugetlbfs;
    int64_t block_size;  // of hugetlbfs: bytes of a huge page
    int64_t available;   // bytes that an ordinary user can still take; of a tmpfs without a limit, INT64_MAX
};

// fstatfs(2).
int linux_filesystem(int descriptor, struct linux_filesystem *filesystem);

// open(2) for reading and writing, with O_NOFOLLOW, O_NONBLOCK, O_CLOEXEC and O_NOCTTY. `create` adds O_CREAT and
// O_EXCL: the file is new, and only its owner can reach it.
int linux_open_private(const char *path, bool create);

// flock(2), LOCK_EX and LOCK_NB. -EWOULDBLOCK if another open file description has the lock.
int linux_flock(int descriptor);

// fallocate(2), plain: the file has at least `length` bytes then, none of which is a hole.
int linux_reserve(int descriptor, int64_t length);

int linux_truncate(int descriptor, int64_t length);

// mmap(2): the first `length` bytes of a file, shared, for reading and writing. The address is a multiple of
// `alignment`, which is a power of two; that takes two calls more. NULL on failure.
void *linux_map_shared(int descriptor, size_t length, size_t alignment);

// mmap(2): `length` bytes of read-only zeroes. All of them map the kernel's zero page and take no memory. NULL on
// failure.
const void *linux_map_zeroes(size_t length);
void linux_unmap(const void *address, size_t length);

// The two halves of a device number; see makedev(3).
uint32_t linux_major(uint64_t device);
uint32_t linux_minor(uint64_t device);

// fcntl(2), F_DUPFD_CLOEXEC.
int linux_duplicate(int descriptor);

// setsockopt(2), five times: a TCP connection ends if its peer does not answer for half a minute. Others stay as is.
void linux_watch_peer(int descriptor);

// signalfd(2) of SIGHUP, SIGINT and SIGTERM, which are blocked from then on in this thread, and in those that it makes.
int linux_end_signals(void);

// prctl(2), PR_SET_IO_FLUSHER: for this thread the kernel frees no memory by I/O, which might wait for this thread.
int linux_become_io_flusher(void);

// mlockall(2): what has been touched stays in memory, now and later.
int linux_lock_memory(void);

#endif
