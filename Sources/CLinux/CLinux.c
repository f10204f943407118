#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

// Missing from linux/magic.h, or from older versions of it.
#define BCACHEFS_MAGIC 0xca451a4e
#define ZFS_MAGIC 0x2fc12fc1
#define FUSE_MAGIC 0x65735546
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

// New in Linux 5.15.
#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, __u64)
#endif

// New in Linux 6.14; the headers of older distributions lack it.
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif

static int result(int value) { return value < 0 ? -errno : value; }

static int open_flags(bool writable, bool direct, bool exclusive)
{
    return O_CLOEXEC | O_NOCTTY | (writable ? O_RDWR : O_RDONLY) | (direct ? O_DIRECT : 0) | (exclusive ? O_EXCL : 0);
}

int linux_open(const char *path, bool writable, bool direct, bool exclusive)
{
    return result(open(path, open_flags(writable, direct, exclusive)));
}

int linux_reopen(int descriptor, bool writable, bool direct, bool exclusive)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return linux_open(path, writable, direct, exclusive);
}

static int open_at(int directory, const char *path, enum linux_lookup lookup, int flags)
{
    if (lookup == LINUX_ANYWHERE)
        return result(openat(directory, path, flags));
    // open(2) ignores flags that make no sense together, and openat2(2) refuses them.
    struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return result((int)syscall(SYS_openat2, directory, path, &how, sizeof how));
}

int linux_open_at(int directory, const char *path, enum linux_lookup lookup, bool writable, bool direct)
{
    return open_at(directory, path, lookup, open_flags(writable, direct, false) | O_NONBLOCK);
}

int linux_look_at(int directory, const char *path, enum linux_lookup lookup)
{
    return open_at(directory, path, lookup, O_PATH | O_CLOEXEC);
}

int linux_open_readable_directory(const char *path) { return result(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

int linux_accept(int socket) { return result(accept4(socket, NULL, NULL, SOCK_CLOEXEC)); }

int linux_replace(int descriptor, int other) { return result(dup3(other, descriptor, O_CLOEXEC)); }

static enum linux_file_kind kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return LINUX_REGULAR;
    case S_IFDIR: return LINUX_DIRECTORY;
    case S_IFBLK: return LINUX_BLOCK_DEVICE;
    case S_IFCHR: return LINUX_CHARACTER_DEVICE;
    case S_IFIFO: return LINUX_FIFO;
    case S_IFSOCK: return LINUX_SOCKET;
    default: return LINUX_OTHER_KIND;
    }
}

static void describe(const struct stat *status, struct linux_file *file)
{
    *file = (struct linux_file){
        .kind = kind_of(status->st_mode),
        .device = status->st_dev,
        .inode = status->st_ino,
        .special_device = status->st_rdev,
        .size = status->st_size,
        .allocated = status->st_blocks * 512,
        .links = status->st_nlink,
        .owner = status->st_uid,
        .permissions = status->st_mode & 07777,
    };
}

int linux_stat(const char *path, struct linux_file *file)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    describe(&status, file);
    return 0;
}

int linux_fstat(int descriptor, struct linux_file *file)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0)
        return -errno;
    describe(&status, file);
    return 0;
}

int linux_stat_at(int directory, const char *path, struct linux_file *file)
{
    struct stat status;
    if (fstatat(directory, path, &status, 0) < 0)
        return -errno;
    describe(&status, file);
    return 0;
}

int linux_open_directory(const char *path) { return result(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)); }

// Computed unsigned, because a filesystem can store a year that overflows. The result is only compared.
static int64_t nanoseconds(struct statx_timestamp time)
{
    return (int64_t)((uint64_t)time.tv_sec * 1000000000u + time.tv_nsec);
}

int linux_stamp(int descriptor, struct linux_stamp *stamp)
{
    const unsigned wanted = STATX_SIZE | STATX_MTIME | STATX_CTIME;
    struct statx status;
    if (statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, wanted, &status) < 0)
        return -errno;
    if ((status.stx_mask & wanted) != wanted)
        return -EOPNOTSUPP;
    *stamp = (struct linux_stamp){
        .size = status.stx_size,
        .modified = nanoseconds(status.stx_mtime),
        .changed = nanoseconds(status.stx_ctime),
    };
    return 0;
}

bool linux_leads_to(const char *path, uint64_t device, uint64_t inode)
{
    struct statx status;
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &status) == 0 && status.stx_ino == inode
        && makedev(status.stx_dev_major, status.stx_dev_minor) == device;
}

uint64_t linux_birth(int descriptor)
{
    struct statx status;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME, &status) < 0 || (status.stx_mask & STATX_BTIME) == 0)
        return 0;
    return (uint64_t)nanoseconds(status.stx_btime);
}

uint64_t linux_handle(int descriptor)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } room = {.handle.handle_bytes = MAX_HANDLE_SZ};
    int mount;
    if (name_to_handle_at(descriptor, "", &room.handle, &mount, AT_EMPTY_PATH) < 0)
        return 0;
    // FNV-1a.
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned index = 0; index < room.handle.handle_bytes; index++)
        hash = (hash ^ room.handle.f_handle[index]) * 0x100000001b3;
    return hash != 0 ? hash : 1;
}

bool linux_tells_changes(int descriptor)
{
    struct statfs status;
    if (fstatfs(descriptor, &status) < 0)
        return false;
    // Not included are network filesystems that take times from the client's clock, cache them, or update them only
    // when a file is closed, and FUSE, which may hide any of these.
    switch ((uint32_t)status.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case F2FS_SUPER_MAGIC:
    case BCACHEFS_MAGIC:
    case ZFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case NFS_SUPER_MAGIC: return true;
    default: return false;
    }
}

int linux_link_count(int descriptor)
{
    struct statx status;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_NLINK, &status) < 0)
        return -errno;
    if ((status.stx_mask & STATX_NLINK) == 0)
        return -EOPNOTSUPP;
    return status.stx_nlink > INT32_MAX ? INT32_MAX : (int)status.stx_nlink;
}

int linux_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset)
{
#ifdef STATX_DIOALIGN
    struct statx status;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) < 0)
        return 0;
    if ((status.stx_mask & STATX_DIOALIGN) == 0)
        return 0;
    *memory = status.stx_dio_mem_align;
    *offset = status.stx_dio_offset_align;
    return 1;
#else
    (void)descriptor, (void)memory, (void)offset;
    return 0;
#endif
}

ssize_t linux_preadv(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached)
{
    ssize_t bytes = preadv2(descriptor, pieces, count, offset, uncached ? RWF_DONTCACHE : 0);
    return bytes < 0 ? -errno : bytes;
}

ssize_t linux_pwritev(int descriptor, const struct iovec *pieces, int count, int64_t offset, bool uncached)
{
    ssize_t bytes = pwritev2(descriptor, pieces, count, offset, uncached ? RWF_DONTCACHE : 0);
    return bytes < 0 ? -errno : bytes;
}

static int64_t seek(int descriptor, int64_t offset, int whence)
{
    off_t found = lseek(descriptor, offset, whence);
    return found < 0 ? -errno : found;
}

int64_t linux_seek_data(int descriptor, int64_t offset) { return seek(descriptor, offset, SEEK_DATA); }

int64_t linux_seek_hole(int descriptor, int64_t offset) { return seek(descriptor, offset, SEEK_HOLE); }

int64_t linux_seek_end(int descriptor) { return seek(descriptor, 0, SEEK_END); }

int linux_fdatasync(int descriptor) { return result(fdatasync(descriptor)); }

int linux_write_back(int descriptor, int64_t offset, int64_t length)
{
    unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return result(sync_file_range(descriptor, offset, length, flags));
}

// posix_fadvise returns its error and does not set errno.
int linux_drop_cache(int descriptor, int64_t offset, int64_t length)
{
    return -posix_fadvise(descriptor, offset, length, POSIX_FADV_DONTNEED);
}

int linux_expect_random(int descriptor) { return -posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM); }

int linux_punch_hole(int descriptor, int64_t offset, int64_t length)
{
    return result(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}

int linux_allocate(int descriptor, int64_t offset, int64_t length)
{
    return result(fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length));
}

int linux_zero_range(int descriptor, int64_t offset, int64_t length)
{
    return result(fallocate(descriptor, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length));
}

int64_t linux_block_size(int descriptor)
{
    uint64_t bytes = 0;
    if (ioctl(descriptor, BLKGETSIZE64, &bytes) < 0)
        return -errno;
    return bytes > INT64_MAX ? -EFBIG : (int64_t)bytes;
}

int linux_block_logical_size(int descriptor)
{
    int bytes = 0;
    return ioctl(descriptor, BLKSSZGET, &bytes) < 0 ? -errno : bytes;
}

int linux_block_read_only(int descriptor)
{
    int answer = 0;
    if (ioctl(descriptor, BLKROGET, &answer) < 0)
        return -errno;
    return answer != 0;
}

static int set_lock(int descriptor, short type, int64_t start, int64_t length)
{
    // l_pid must be 0.
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return result(fcntl(descriptor, F_OFD_SETLK, &lock));
}

// Whether there is a lock of another open file description that conflicts with this one.
static int find_lock(int descriptor, short type, int64_t start, int64_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (fcntl(descriptor, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type != F_UNLCK;
}

int linux_lock(int descriptor) { return set_lock(descriptor, F_WRLCK, 0, LINUX_FIRST_MARK); }

int linux_unlock(int descriptor) { return set_lock(descriptor, F_UNLCK, 0, LINUX_FIRST_MARK); }

// A read lock conflicts with write locks only. qemu takes read locks on single bytes, one for each permission.
int linux_is_locked(int descriptor) { return find_lock(descriptor, F_RDLCK, 0, LINUX_FIRST_MARK); }

int linux_mark(int descriptor, int64_t offset) { return set_lock(descriptor, F_RDLCK, offset, 1); }

int linux_unmark(int descriptor, int64_t offset) { return set_lock(descriptor, F_UNLCK, offset, 1); }

int linux_ending(int descriptor)
{
    struct statfs status;
    if (fstatfs(descriptor, &status) < 0)
        return -errno;
    switch ((uint32_t)status.f_type) {
    // A kill does not end the wait for a block device. FUSE waits for its daemon, whatever comes.
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case F2FS_SUPER_MAGIC:
    case MSDOS_SUPER_MAGIC:
    case FUSE_MAGIC: return LINUX_ENDS_WITH_LOCKS;
    // A kill ends the wait for their servers, and mount options can take the page cache out of the way.
    case V9FS_MAGIC:
    case CIFS_MAGIC:
    case SMB2_MAGIC: return LINUX_OUTLIVES_LOCKS;
    // NFS and Ceph: a kill ends the wait for their servers too, but the page cache has a copy. And what is not known.
    default: return LINUX_ENDS_WITH_LOCKS_IF_BUFFERED;
    }
}

bool linux_has_foreign_clock(int descriptor)
{
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && (uint32_t)status.f_type == NFS_SUPER_MAGIC;
}

int64_t linux_disk_sequence(int descriptor)
{
    uint64_t sequence = 0;
    return ioctl(descriptor, BLKGETDISKSEQ, &sequence) < 0 ? -errno : (int64_t)(sequence & INT64_MAX);
}

int linux_filesystem(int descriptor, struct linux_filesystem *filesystem)
{
    struct statfs status;
    if (fstatfs(descriptor, &status) < 0)
        return -errno;
    uint32_t magic = (uint32_t)status.f_type;
    *filesystem = (struct linux_filesystem){
        .magic = magic,
        .is_tmpfs = magic == TMPFS_MAGIC,
        .is_hugetlbfs = magic == HUGETLBFS_MAGIC,
        .block_size = status.f_bsize,
        .available = status.f_blocks == 0 ? INT64_MAX : (int64_t)status.f_bavail * status.f_bsize,
    };
    return 0;
}

int linux_open_private(const char *path, bool create)
{
    int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (create ? O_CREAT | O_EXCL : 0);
    return result(open(path, flags, 0600));
}

int linux_flock(int descriptor) { return result(flock(descriptor, LOCK_EX | LOCK_NB)); }

int linux_reserve(int descriptor, int64_t length) { return result(fallocate(descriptor, 0, 0, length)); }

int linux_truncate(int descriptor, int64_t length) { return result(ftruncate(descriptor, length)); }

void *linux_map_shared(int descriptor, size_t length, size_t alignment)
{
    size_t room = length + alignment;
    uint8_t *base = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    uint8_t *aligned = (uint8_t *)(((uintptr_t)base + alignment - 1) & ~(uintptr_t)(alignment - 1));
    size_t before = (size_t)(aligned - base), after = room - before - length;
    if (before > 0)
        munmap(base, before);
    if (after > 0)
        munmap(aligned + length, after);
    void *address = mmap(aligned, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
    if (address != MAP_FAILED)
        return address;
    munmap(aligned, length);
    return NULL;
}

const void *linux_map_zeroes(size_t length)
{
    void *address = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

void linux_unmap(const void *address, size_t length) { munmap((void *)address, length); }

uint32_t linux_major(uint64_t device) { return major(device); }

uint32_t linux_minor(uint64_t device) { return minor(device); }

int linux_duplicate(int descriptor) { return result(fcntl(descriptor, F_DUPFD_CLOEXEC, 0)); }

void linux_watch_peer(int descriptor)
{
    const int on = 1, idle_seconds = 10, interval_seconds = 5, probes = 4, unanswered_milliseconds = 30000;
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_milliseconds, sizeof unanswered_milliseconds);
}

int linux_end_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0)
        return -EINVAL;
    return result(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// New in Linux 5.6; the headers of older distributions lack it.
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

int linux_become_io_flusher(void) { return result(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0)); }

int linux_lock_memory(void) { return result(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)); }
