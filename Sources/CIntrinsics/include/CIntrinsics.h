// What the processor can do and Swift cannot say. Header only.
#ifndef FLEXPAGE_CINTRINSICS_H
#define FLEXPAGE_CINTRINSICS_H

// Asks for the cache line at address to be brought near. Never faults, waits for nothing, and unlike a load it is not
// waited for by the locked instruction that comes next.
static inline void flexpage_prefetch(const void *address) { __builtin_prefetch(address, 1, 3); }

#endif
