#define _GNU_SOURCE

#include "Fork.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "Interface.h"
#include "Privileges.h"

/// How long the parent waits for the child's message, milliseconds.
static const int patience = 10000;

/// Whether the next fork is nbdkit's. Only the main thread writes this and the variables below.
static bool is_watching;
/// The descriptors that the parent closes.
static int32_t of_server[flexpage_max_descriptors];
static int32_t of_server_count;
/// Whether this process has given up what the server needs.
static bool has_given_back;
/// The pipe for the child's message. The parent reads it, the child writes it. -1 if it is not open.
static int reader = -1, writer = -1;

/// Whether the fork under way is nbdkit's.
static bool is_of_nbdkit;

/// Where the object that `address` is in begins; null if it is in none.
static void *object_at(void *address)
{
    Dl_info info;
    return dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/// Stops at the first caller that is neither this file's object nor the C library, and stores its object.
static _Unwind_Reason_Code find_caller(struct _Unwind_Context *context, void *found)
{
    void **caller = found;
    void *object = object_at((void *)_Unwind_GetIP(context));
    if (object == NULL || object == object_at((void *)find_caller) || object == object_at((void *)fork))
        return _URC_NO_REASON;
    *caller = object;
    return _URC_END_OF_STACK;
}

/// Whether nbdkit itself forks. In the foreground it does not, and a plugin below a filter may start a program before
/// serving begins. A caller that cannot be found is nbdkit.
static bool forks_nbdkit(void)
{
    void *caller = NULL;
    _Unwind_Backtrace(find_caller, &caller);
    return caller == NULL || caller == object_at((void *)nbdkit_error);
}

static void before_fork(void)
{
    int ends[2];
    is_of_nbdkit = is_watching && forks_nbdkit();
    if (!is_of_nbdkit || pipe2(ends, O_CLOEXEC) == -1)
        return;
    reader = ends[0];
    writer = ends[1];
}

/// Closes one end of the pipe.
static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/// Reads the child's message. Returns its length: 1 for success, more for the text of a failure, 0 if the child has
/// ended without a message, and -1 if there is none within `patience`.
static ssize_t read_word(char *word, size_t size)
{
    struct pollfd wanted = {.fd = reader, .events = POLLIN};
    int ready;
    do
        ready = poll(&wanted, 1, patience);
    while (ready == -1 && errno == EINTR);
    return ready == 1 ? read(reader, word, size) : -1;
}

/// Whether there is no child because the fork failed, which nbdkit reports itself. If SIGCHLD is ignored, a child that
/// has ended cannot be found either; the answer is false then.
static bool has_no_child(void)
{
    struct sigaction action;
    if (sigaction(SIGCHLD, NULL, &action) == -1 || (action.sa_flags & SA_NOCLDWAIT) || action.sa_handler == SIG_IGN)
        return false;
    siginfo_t information;
    return waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == -1;
}

/// Returns if the child serves or may still come to serve, and ends the process otherwise. It does not call exit(),
/// which takes a lock that the C library holds while it runs the handlers of a fork.
static void wait_for_child(void)
{
    char word[PIPE_BUF + 1];
    ssize_t length = read_word(word, sizeof word - 1);
    if (length == 1 || length < 0 || (length == 0 && has_no_child()))
        return;
    word[length] = '\0';
    fprintf(stderr, "nbdkit: error: %s\n", length > 0 ? word : "the server exited before it could serve");
    _exit(EXIT_FAILURE);
}

static void after_fork_in_parent(void)
{
    if (!is_of_nbdkit)
        return;
    is_of_nbdkit = false;
    is_watching = false;
    has_given_back = true;
    for (int32_t index = 0; index < of_server_count; index++)
        close(of_server[index]);
    privileges_give_back();
    close_end(&writer);
    if (reader >= 0)
        wait_for_child();
    close_end(&reader);
}

static void after_fork_in_child(void)
{
    if (!is_of_nbdkit)
        return;
    is_of_nbdkit = false;
    is_watching = false;
    close_end(&reader);
}

int fork_watch(const int32_t *descriptors, int32_t count)
{
    memcpy(of_server, descriptors, sizeof *descriptors * (size_t)count);
    of_server_count = count;
    int failure = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    is_watching = failure == 0;
    return failure;
}

bool fork_over(void)
{
    is_watching = false;
    return !has_given_back;
}

/// Sends a message to the parent, which may not be waiting any more.
static bool tell(const char *word, size_t length)
{
    bool is_told = writer >= 0 && write(writer, word, length) == (ssize_t)length;
    close_end(&writer);
    return is_told;
}

void fork_tell_success(void) { tell("", 1); }

bool fork_tell_failure(const char *why)
{
    size_t length = strlen(why);
    return tell(why, length < PIPE_BUF ? length : PIPE_BUF);
}
