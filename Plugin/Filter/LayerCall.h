// A call of a context of the layer below, made on any thread.
//
// **A client that leaves.** Filters that wait (delay, rate, retry, retry-request) do it with nbdkit_nanosleep(3). On a
// connection's thread that fails with ESHUTDOWN as soon as the client has left. But the contexts are everybody's, and
// what is written or read on that thread is too. So a call that fails in this way is made again on a thread of its own,
// of which nbdkit knows no connection. That costs some 50 µs, once for a client that leaves in the middle of something.

#ifndef FLEXPAGE_LAYER_CALL_H
#define FLEXPAGE_LAYER_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "Filter.h"

struct layer_call {
    /// Makes the call. Returns 0, or -1 with an errno value in `error`.
    int (*make)(struct layer_call *call, int *error);
    nbdkit_next *next;
    void *buffer;
    const void *bytes;
    uint32_t count;
    uint64_t offset;
    uint32_t flags;
    struct nbdkit_extents *extents;
    /// A flush that the source itself has failed is not made again: a layer may report a failure once only.
    bool is_flush;
    int32_t error;
};

/// Returns 0 or an errno value. No other call is under way meanwhile if the layer bears one only.
int32_t layer_call_do(struct layer_call *call);

/// Runs `run` on a thread of its own, and waits for it. Returns false if there can be no more threads.
bool layer_run_elsewhere(void *(*run)(void *argument), void *argument);

#endif
