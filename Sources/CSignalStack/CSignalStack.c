#define _GNU_SOURCE

#include "CSignalStack.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

// Room for the kernel's frame (about 12 KiB on processors with the widest registers), our handler, and a previous
// handler that ours calls. It is kept small because nbdkit --swap locks all of it for each thread.
static const size_t stack_bytes = 32 << 10;

_Thread_local bool signal_stack_is_prepared;

static atomic_bool are_wanted;
static pthread_once_t once = PTHREAD_ONCE_INIT;
// Holds each thread's mapping. Its destructor releases the mapping.
static pthread_key_t mapping_of_thread;
static bool has_key;

static size_t guard_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static void release(void *mapping)
{
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(mapping, guard_bytes() + stack_bytes);
}

static void make_key(void) { has_key = pthread_key_create(&mapping_of_thread, release) == 0; }

void signal_stacks_want(void)
{
    pthread_once(&once, make_key);
    atomic_store(&are_wanted, has_key);
}

// Whether the thread already has a stack from elsewhere.
static bool has_another(void)
{
    stack_t present;
    return sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE) == 0;
}

static void *map(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *mapping = mmap(NULL, guard_bytes() + stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    mprotect(mapping, guard_bytes(), PROT_NONE);
    return mapping;
}

void signal_stack_prepare_slowly(void)
{
    if (!atomic_load(&are_wanted))
        return;
    signal_stack_is_prepared = true;
    char *mapping = has_another() ? NULL : map();
    if (mapping == NULL)
        return;
    stack_t stack = {.ss_sp = mapping + guard_bytes(), .ss_size = stack_bytes};
    if (sigaltstack(&stack, NULL) == -1 || pthread_setspecific(mapping_of_thread, mapping) != 0)
        release(mapping);
}
