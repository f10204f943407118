// Features of the processor and the compiler that Swift cannot express.
#ifndef FLEXPAGE_CINTRINSICS_H
#define FLEXPAGE_CINTRINSICS_H

#include <stdint.h>

// Prefetches the cache line at address. Never faults and never waits. Unlike a load, it does not delay the locked
// instruction that comes next.
static inline void flexpage_prefetch(const void *address) { __builtin_prefetch(address, 1, 3); }

// The locks that the calling thread holds: a count of eight bits for each rank. Debug builds only; see LockRank.swift.
extern _Thread_local uint64_t flexpage_held_locks __attribute__((tls_model("initial-exec"), visibility("hidden")));
static inline uint64_t flexpage_get_held_locks(void) { return flexpage_held_locks; }
static inline void flexpage_set_held_locks(uint64_t held) { flexpage_held_locks = held; }

#endif
