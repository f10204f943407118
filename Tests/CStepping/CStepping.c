#define _GNU_SOURCE
#include "CStepping.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// What the fork raises before the body, and after it. No thread can have it blocked.
static const int mark = SIGSTOP;

static void run_in_fork(void (*body)(void *), void *context)
{
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        _exit(1);
    raise(mark);
    body(context);
    raise(mark);
    _exit(0);
}

// The signal that has stopped the fork, or -1 if it is gone.
static int next_stop(pid_t fork)
{
    int status;
    pid_t answer;
    do
        answer = waitpid(fork, &status, __WALL);
    while (answer < 0 && errno == EINTR);
    return answer == fork && WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

static void end(pid_t fork)
{
    kill(fork, SIGKILL);
    while (waitpid(fork, 0, __WALL) < 0 && errno == EINTR) {
    }
}

struct stepping_result stepping_run(void (*body)(void *), bool (*look)(void *, long), void *context)
{
    struct stepping_result result = {0, 0, false};
    pid_t child = fork();
    if (child == 0)
        run_in_fork(body, context);
    int stop = child > 0 ? next_stop(child) : -1;
    if (stop != mark) {
        result.signal = SIGKILL;
        if (stop > 0)
            end(child);
        return result;
    }
    do {
        if (!look(context, result.steps)) {
            result.is_stopped = true;
            break;
        }
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) != 0)
            break;
        result.steps++;
        stop = next_stop(child);
    } while (stop == SIGTRAP);
    if (!result.is_stopped && stop != mark)
        result.signal = stop > 0 ? stop : SIGKILL;
    if (stop > 0)
        end(child);
    return result;
}

static void nothing(void *context) { (void)context; }

static bool go_on(void *context, long step)
{
    (void)context;
    return step < 1000000;
}

bool stepping_is_possible(void)
{
#ifdef __x86_64__
    struct stepping_result result = stepping_run(nothing, go_on, 0);
    return result.signal == 0 && !result.is_stopped && result.steps > 0;
#else
    // A single step between an exclusive load and its store makes the store fail, for ever.
    (void)nothing;
    (void)go_on;
    return false;
#endif
}
