// An off-main call: a call on the server that runs on a thread of its own, while nbdkit's main thread waits for it.
//
// This keeps the rule that nbdkit's main thread runs no Swift. After nbdkit forks, the child's only thread holds what
// the parent's held in thread-local storage, a stale thread id among it, with which Swift's locks trap or spin. A
// thread made afterwards holds the right one; a thread made before the fork and joined leaves nothing behind.
// The cost is one thread made and joined a call, some 50 µs, in calls that come once in the life of the server.

#ifndef FLEXPAGE_OFF_MAIN_CALL_H
#define FLEXPAGE_OFF_MAIN_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "Interface.h"

struct off_main_call {
    /// What to do; sets `succeeded` and `message` where it has something to say.
    void (*run)(struct off_main_call *call);
    const char *key;
    const char *value;
    /// What a call that asks something brings back.
    uint64_t number;
    bool succeeded;
    struct flexpage_message message;
};

/// Runs `call` on a new thread, waits for its end, and prints what it has to say. Returns 0, or -1 where it failed.
int off_main_call_do(struct off_main_call *call);

/// Bytes of `describe_thread_failure`'s text at the most, with its end.
enum { thread_failure_size = 192 };

/// Says why a thread could not be made, and what helps: `failure` is what pthread_create has returned.
void describe_thread_failure(int failure, char text[thread_failure_size]);

/// Prints a line that a person should see who starts the server, and that is no error. It goes to standard error, as
/// nbdkit's own warnings do: its log has errors, and what only -v shows.
void print_warning(const char *line);

/// Prints a message on the calling thread's behalf, and frees its text.
void message_print(struct flexpage_message *message);

#endif
