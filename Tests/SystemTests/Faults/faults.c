// A library that tests load into nbdkit (LD_PRELOAD) to make one of its threads fault at a chosen place.
//
// FAULT names the place. SIGUSR2 arms the library, which then creates the file that ARMED names. The first thread that
// reaches the place faults, once:
//
//   unlock-shard, unlock-queue, unlock-ledger   holding that lock of the pager's, at the end of what it guards
//   malloc        in malloc, whose lock is never released: any other thread that allocates waits forever
//   malloc-locked in malloc or free, holding one of these locks. Nothing may be allocated or freed there: if another
//                 thread has faulted in malloc, the last will would wait for the lock in vain
//   write         about to write to the image
//   overflow      in the middle of a read of the image, with no stack left
//   fdatasync     in a sync (any thread, each time)
//   hang          in a sync too, but it hangs instead
//
// The pager's locks are recognised by the order of their initialisation, in a mapping of MEMORY bytes: five innermost
// locks (memory, leaves, queue, waiters, waiting writers), then those of the 64 shards, then that of the image's
// ledger.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *fault = "";
static atomic_bool is_armed;
static atomic_bool is_done;
static atomic_bool is_malloc_stuck;

static char *arena;
static size_t arena_bytes;
enum { queue_lock = 2, first_shard = 5, ledger_lock = first_shard + 64, known_locks };
static pthread_mutex_t *locks[known_locks];
static atomic_int lock_count;

#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static bool is_place(const char *name) { return atomic_load(&is_armed) && strcmp(fault, name) == 0; }

static bool is_first_at(const char *name) { return is_place(name) && !atomic_exchange(&is_done, true); }

// A null pointer. The compiler must not know that, or it leaves the store out.
static int *volatile nowhere;

static void crash(void) { *nowhere = 1; }

static void arm(int signal)
{
    (void)signal;
    atomic_store(&is_armed, true);
    const char *told = getenv("ARMED");
    int descriptor = told != NULL ? open(told, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (descriptor >= 0)
        close(descriptor);
}

__attribute__((constructor)) static void begin(void)
{
    const char *bytes = getenv("MEMORY");
    arena_bytes = bytes != NULL ? strtoul(bytes, NULL, 10) : 0;
    if (getenv("FAULT") != NULL)
        fault = strdup(getenv("FAULT"));
    signal(SIGUSR2, arm);
}

static void *noted(void *mapping, size_t length)
{
    if (length == arena_bytes && mapping != MAP_FAILED) {
        // The first mapping of this size is only a trial; the one that serves comes later.
        arena = mapping;
        atomic_store(&lock_count, 0);
    }
    return mapping;
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset)
{
    return noted(NEXT(mmap)(address, length, protection, flags, descriptor, offset), length);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t offset)
{
    return noted(NEXT(mmap64)(address, length, protection, flags, descriptor, offset), length);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    if (arena != NULL && (char *)mutex >= arena && (char *)mutex < arena + arena_bytes) {
        int number = atomic_fetch_add(&lock_count, 1);
        if (number < known_locks)
            locks[number] = mutex;
    }
    return NEXT(pthread_mutex_init)(mutex, attributes);
}

static bool is_shard(pthread_mutex_t *mutex)
{
    for (int number = first_shard; number < ledger_lock; number++)
        if (locks[number] == mutex)
            return true;
    return false;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static __typeof__(&pthread_mutex_unlock) unlock;
    if (unlock == NULL)
        unlock = NEXT(pthread_mutex_unlock);
    if (atomic_load(&is_armed)
        && ((strcmp(fault, "unlock-shard") == 0 && is_shard(mutex))
            || (strcmp(fault, "unlock-queue") == 0 && mutex == locks[queue_lock])
            || (strcmp(fault, "unlock-ledger") == 0 && mutex == locks[ledger_lock]))
        && !atomic_exchange(&is_done, true))
        crash();
    return unlock(mutex);
}

// Whether this thread holds one of the pager's locks.
static bool holds_lock(void)
{
    const pid_t self = (pid_t)syscall(SYS_gettid);
    for (int number = 0; number < known_locks; number++)
        if (locks[number] != NULL && locks[number]->__data.__owner == self)
            return true;
    return false;
}

void *__libc_malloc(size_t size);
void __libc_free(void *block);

void free(void *block)
{
    if (block != NULL && is_place("malloc-locked") && holds_lock())
        crash();
    __libc_free(block);
}

void *malloc(size_t size)
{
    if (is_place("malloc-locked") && holds_lock())
        crash();
    if (atomic_load(&is_malloc_stuck))
        for (;;)
            pause();
    if (is_first_at("malloc")) {
        atomic_store(&is_malloc_stuck, true);
        abort();
    }
    return __libc_malloc(size);
}

ssize_t pwritev64v2(int descriptor, const struct iovec *pieces, int count, off64_t offset, int flags)
{
    if (is_first_at("write"))
        crash();
    return NEXT(pwritev64v2)(descriptor, pieces, count, offset, flags);
}

static int overflow(volatile char *above)
{
    volatile char room[4096];
    room[0] = above[0];
    return overflow(room) + room[0];
}

ssize_t preadv64v2(int descriptor, const struct iovec *pieces, int count, off64_t offset, int flags)
{
    volatile char bottom[1] = {1};
    if (is_first_at("overflow"))
        return overflow(bottom);
    return NEXT(preadv64v2)(descriptor, pieces, count, offset, flags);
}

int fdatasync(int descriptor)
{
    if (is_place("fdatasync"))
        crash();
    while (is_place("hang"))
        pause();
    return NEXT(fdatasync)(descriptor);
}
