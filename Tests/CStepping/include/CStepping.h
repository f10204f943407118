// Runs something in a fork, one instruction at a time (ptrace).
#ifndef FLEXPAGE_CSTEPPING_H
#define FLEXPAGE_CSTEPPING_H

#include <stdbool.h>

struct stepping_result {
    // Instructions so far.
    long steps;
    // 0 if the body has returned; otherwise the signal that has ended the fork or stopped it.
    int signal;
    // Whether the fork has been ended because `look` wanted that.
    bool is_stopped;
};

// Whether a process may step through its fork here.
bool stepping_is_possible(void);

// Calls `body` in a fork, and `look` in this process before each instruction of the fork, until it returns false. The
// fork is gone when this returns. The calling thread must not be another one's tracer.
struct stepping_result stepping_run(void (*body)(void *), bool (*look)(void *, long), void *context);

#endif
