// An errand: a call on the server that runs on a thread of its own, while nbdkit's main thread waits for it.
//
// This is how the fork rule is kept: nbdkit's main thread runs no Swift. After nbdkit has forked, the child's only
// thread has the parent's thread-local storage, which contains a stale thread id. Swift's locks trap or spin with it.
// A thread that is created after the fork has the right id, and one that was joined before the fork leaves nothing
// behind.
//
// An errand costs one thread that is created and joined, about 50 µs. Errands run a few times in a server's life.

#ifndef FLEXPAGE_ERRAND_H
#define FLEXPAGE_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

#include "Interface.h"

struct errand {
    /// What to do. Sets `succeeded`, and fills in `answer` if there is something to print.
    void (*run)(struct errand *errand);
    const char *key;
    const char *value;
    /// The result of an errand that asks for a number.
    uint64_t number;
    bool succeeded;
    struct flexpage_answer answer;
};

/// Runs `errand` on a new thread, waits until it ends, and prints its answer. Returns 0, or -1 if it failed.
int errand_do(struct errand *errand);

/// The maximum size of `describe_thread_failure`'s text, including its terminator.
enum { thread_failure_size = 192 };

/// Describes why a thread could not be created, and what helps. `failure` is the result of pthread_create.
void describe_thread_failure(int failure, char text[thread_failure_size]);

/// Prints a warning for the person who starts the server. It goes to standard error, as nbdkit's own warnings do,
/// because nbdkit's log has no level between errors and what only -v shows.
void print_warning(const char *line);

/// Prints an answer in the context of the calling thread, and frees its text.
void answer_print(struct flexpage_answer *answer);

#endif
