// The last will: when a fault is about to end the process, dirty data is first written to the image and synced.
// LastWill.c explains how.

#ifndef FLEXPAGE_LASTWILL_H
#define FLEXPAGE_LASTWILL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "CSignalStack.h"
#include "Interface.h"

/// To be called in after_fork, before the threads that serve are created: gives them stacks for signal handlers.
void last_will_prepare(void);

/// To be called in after_fork, once `server` serves: from now on a fault executes its last will, for at most `seconds`.
/// If it `leaves_handlers`, a fault that has a handler already is left to that.
/// Returns 0, or an errno value if the system refuses a thread or a pipe.
int last_will_begin(flexpage_server *server, unsigned seconds, bool leaves_handlers);

/// To be called before the server is destroyed: faults have their usual effect again. Waits forever if a will is being
/// executed. Does nothing if last_will_begin was not called.
void last_will_end(void);

/// Takes the faults out of a set of signals that a thread is to block: they lead to the will in any thread.
void last_will_spare_faults(sigset_t *set);

/// Whether a fault is ending the process. Only last_will_hold reads it.
extern atomic_bool last_will_is_executed;

/// Sleeps forever.
_Noreturn void last_will_stop(void);

/// To be called by each callback that changes an image or flushes it, after its work and before it returns. A request
/// that is not yet answered when the will begins is never answered. Costs one load.
static inline void last_will_hold(void)
{
    if (__builtin_expect(atomic_load(&last_will_is_executed), 0))
        last_will_stop();
}

#endif
