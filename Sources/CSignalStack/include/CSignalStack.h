// A separate stack for each thread's signal handlers (sigaltstack(2)). Without it, a thread whose own stack has
// overflowed dies before any handler runs.
//
//     none ── signal_stack_prepare ──▶ mapped ── the thread ends: release ──▶ none
//
// A thread gets its stack when it first calls signal_stack_prepare(), and loses it when it ends. The stack takes memory
// only for pages that a handler has touched. There is a guard page below it.
//
// Rules: any thread may call; each call concerns the calling thread. Threads get no stack before signal_stacks_want().
#ifndef FLEXPAGE_CSIGNALSTACK_H
#define FLEXPAGE_CSIGNALSTACK_H

#include <stdbool.h>

// Whether signal_stack_prepare has dealt with the calling thread. Each request reads it, so it is in the part of
// thread-local storage that a plain load reaches.
extern _Thread_local bool signal_stack_is_prepared __attribute__((tls_model("initial-exec"), visibility("hidden")));

// From now on, threads that call signal_stack_prepare() get a stack.
void signal_stacks_want(void);

// The slow path of signal_stack_prepare(), for a thread that has not called it before.
void signal_stack_prepare_slowly(void);

// Gives the calling thread a stack for its handlers, unless it has one or stacks are not wanted. If the system refuses
// the memory, the thread has none. From the second call on it costs a load and a test.
static inline void signal_stack_prepare(void)
{
    if (__builtin_expect(!signal_stack_is_prepared, 0))
        signal_stack_prepare_slowly();
}

#endif
