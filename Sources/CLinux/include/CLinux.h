// Linux calls and constants that Swift cannot see: variadic functions (open, fcntl, ioctl), function-like macros (BLK*,
// S_IS*), and what glibc shows to _GNU_SOURCE only.
//
// Rules: every function is one system call and keeps nothing. It returns what the call returns, or -errno where the
// call fails; EINTR included, as the caller knows whether trying again is right. Nothing allocates; any thread may
// call. Lengths and offsets are bytes.
#ifndef FLEXPAGE_CLINUX_H
#define FLEXPAGE_CLINUX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

// What kind of file a descriptor or a path leads to.
enum linux_file_kind {
    LINUX_REGULAR,
    LINUX_DIRECTORY,
    LINUX_BLOCK_DEVICE,
    LINUX_CHARACTER_DEVICE,
    LINUX_FIFO,
    LINUX_SOCKET,
    LINUX_OTHER_KIND
};

// What stat(2) tells of a file that matters here.
struct linux_file {
    enum linux_file_kind kind;
    uint64_t device;  // of the filesystem that holds the file
    uint64_t inode;
    uint64_t special_device;  // which device this is, if it is one
    int64_t size;             // of a regular file
};

// open(2), with O_CLOEXEC and O_NOCTTY always. `direct` adds O_DIRECT, `exclusive` O_EXCL (which on a block device
// claims it).
int linux_open(const char *path, bool writable, bool direct, bool exclusive);

// open(2) of /proc/self/fd/`descriptor`: the same file, a new open file description, permission asked anew.
int linux_reopen(int descriptor, bool writable, bool direct, bool exclusive);

int linux_stat(const char *path, struct linux_file *file);
int linux_fstat(int descriptor, struct linux_file *file);

// fstatat(2), following symbolic links. `directory` may be -1 where `path` is an absolute one.
int linux_stat_at(int directory, const char *path, struct linux_file *file);

// open(2) of a directory as a place to begin paths at (O_PATH): no permission to read it is needed.
int linux_open_directory(const char *path);

// What moves when a file's contents are changed. Times are nanoseconds since 1970.
struct linux_stamp {
    uint64_t size;
    int64_t modified;
    int64_t changed;
};

// statx(2), asked of the server where the filesystem has one. -EOPNOTSUPP where the filesystem does not tell.
int linux_stamp(int descriptor, struct linux_stamp *stamp);

// fstatfs(2): whether the file is on a filesystem of which it is known that every change of a file moves its times, and
// that they are told as they are now.
bool linux_tells_changes(int descriptor);

// statx(2), STATX_NLINK alone: how many names the file has. Asking for times would cost the next write an update of the
// inode.
int linux_link_count(int descriptor);

// statx(2), STATX_DIOALIGN: 1 and what O_DIRECT wants of addresses and of offsets and lengths (0: no O_DIRECT here), or
// 0 where the kernel or the filesystem does not tell.
int linux_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset);

// preadv2(2) and pwritev2(2). `uncached` is RWF_DONTCACHE, which kernels before 6.14 and some filesystems refuse with
// EOPNOTSUPP.
ssize_t linux_preadv(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached);
ssize_t linux_pwritev(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached);

// lseek(2), SEEK_DATA, SEEK_HOLE, and SEEK_END: the size of a regular file.
int64_t linux_seek_data(int descriptor, int64_t offset);
int64_t linux_seek_hole(int descriptor, int64_t offset);
int64_t linux_seek_end(int descriptor);

int linux_fdatasync(int descriptor);

// sync_file_range(2): starts and awaits the writing of what is dirty in the page cache. Not a sync: nothing is durable.
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

// fcntl(2), F_OFD_SETLK: an open-file-description lock for writing on the whole file, or none. EAGAIN: another has one.
int linux_lock(int descriptor);
int linux_unlock(int descriptor);

// fcntl(2), F_OFD_GETLK: whether any of the file is locked for writing through another open file description (0 or 1).
int linux_is_locked(int descriptor);

// mmap(2): `length` bytes that read as zeroes and cannot be written. They are all the kernel's one zero page and take
// no memory. NULL where it fails.
const void *linux_map_zeroes(size_t length);
void linux_unmap(const void *address, size_t length);

// makedev(3)'s halves.
uint32_t linux_major(uint64_t device);
uint32_t linux_minor(uint64_t device);

#endif
