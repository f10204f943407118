// An off-main call: a call on the server that runs on a thread of its own, while nbdkit's main thread waits for it.
//
// This is how the fork rule is kept: nbdkit's main thread runs no Swift. After nbdkit has forked, the child's only
// thread has the parent's thread-local storage, which contains a stale thread id. Swift's locks trap or spin with it.
// A thread that is created after the fork has the right id, and one that was joined before the fork leaves nothing
// behind.
//
// An off-main call costs one thread that is created and joined, about 50 µs. There are only a few in a server's life.

#ifndef FLEXPAGE_OFF_MAIN_CALL_H
#define FLEXPAGE_OFF_MAIN_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "Interface.h"

struct off_main_call {
    /// What to do. Sets `succeeded`, and fills in `message` if there is something to print.
    void (*run)(struct off_main_call *call);
    const char *key;
    const char *value;
    /// The result of an off-main call that asks for text. The caller frees it.
    char *text;
    bool succeeded;
    struct flexpage_message message;
};

/// Runs `call` on a new thread, waits until it ends, and prints its message. Returns 0, or -1 if it failed.
int off_main_call_do(struct off_main_call *call);

/// The maximum size of `describe_thread_failure`'s text, including its terminator.
enum { thread_failure_size = 192 };

/// Describes why a thread could not be created, and what helps. `failure` is the result of pthread_create.
void describe_thread_failure(int failure, char text[thread_failure_size]);

/// Prints a warning for the person who starts the server. It goes to standard error, as nbdkit's own warnings do,
/// because nbdkit's log has no level between errors and what only -v shows.
void print_warning(const char *line);

/// Prints a message in the context of the calling thread, and frees its text.
void message_print(struct flexpage_message *message);

#endif
