// A stack a thread for the handlers of its signals (sigaltstack(2)): without one, a thread whose own stack has
// overflowed dies before any handler runs.
//
//     none ── prepare ──▶ there ── the thread's end ──▶ none
//
// A thread gets it when it first calls signal_stack_prepare(), and the system takes it back when the thread ends. It is
// address space of which only what a handler has touched takes memory, with a page below that nobody may touch.
//
// Rules: any thread; each call is about the calling thread. Nobody has such a stack before signal_stacks_want().
#ifndef FLEXPAGE_CSIGNALSTACK_H
#define FLEXPAGE_CSIGNALSTACK_H

#include <stdbool.h>

// Whether the calling thread has been looked after. In the part of thread-local storage that a plain load reaches, as
// each request looks at it.
extern _Thread_local bool signal_stack_is_prepared __attribute__((tls_model("initial-exec"), visibility("hidden")));

// From now on threads that ask for a stack get one.
void signal_stacks_want(void);

// Does what signal_stack_prepare does, for a thread that has not asked before.
void signal_stack_prepare_slowly(void);

// Gives the calling thread a stack for its handlers, unless it has one, or nobody wants them. Where the system has none
// to give the thread goes without. Costs a load and a test from the second call on.
static inline void signal_stack_prepare(void)
{
    if (__builtin_expect(!signal_stack_is_prepared, 0))
        signal_stack_prepare_slowly();
}

#endif
