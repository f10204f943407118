// The last will: when a fault is about to end the process, what is dirty is brought to the images and synced first.
// LastWill.c says how.

#ifndef FLEXPAGE_LASTWILL_H
#define FLEXPAGE_LASTWILL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "CSignalStack.h"
#include "Interface.h"

/// To be called in after_fork, before the threads that serve are made: they get stacks for their handlers.
void last_will_prepare(void);

/// In after_fork, when there is something to serve: from now on faults bring out what is dirty of `server`, for at most
/// `seconds`. Returns 0, or an errno value where the system has no thread or no pipe for it.
int last_will_begin(flexpage_server *server, unsigned seconds);

/// Before the server is released: faults do again what they did before. Waits while a will is under way. Does no harm
/// where none has begun.
void last_will_end(void);

/// Whether a fault is ending the process. Only last_will_hold asks.
extern atomic_bool last_will_is_executed;

/// Sleeps for ever.
_Noreturn void last_will_stop(void);

/// To be called by each callback that changes an image, or flushes, after its work and before it returns: a request
/// that has not been answered when the will begins never is. Costs a load.
static inline void last_will_hold(void)
{
    if (__builtin_expect(atomic_load(&last_will_is_executed), 0))
        last_will_stop();
}

#endif
