#define _GNU_SOURCE

#include "Keeper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "Fork.h"
#include "LastWill.h"
#include "Lifetime.h"
#include "OffMainCall.h"
#include "Scheduling.h"

/// Milliseconds between two flushes after a quit signal: after one that succeeded, and after one that failed.
static const int interval = 50, retry_interval = 1000;

static const int quit_signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
enum { quit_signal_count = sizeof quit_signals / sizeof quit_signals[0] };
/// The previous handlers, indexed as quit_signals.
static struct sigaction earlier[quit_signal_count];

/// Wakes the keeper. It is an eventfd because a signal handler may write to it and poll waits by the monotonic clock.
static int bell = -1;
static atomic_bool is_quitting, is_ending;

static pthread_t thread;
static bool has_begun;
/// Posted when serving has begun or failed to begin.
static sem_t begun;
/// What to print after the beginning, and after the end. Read by the thread that waited for it.
static struct flexpage_message message;

/// Wakes the keeper. Uses only async-signal-safe functions. Ringing twice has the same effect as once.
static void ring(void)
{
    uint64_t one = 1;
    ssize_t written = write(bell, &one, sizeof one);
    (void)written;
}

static void call_earlier(int number, siginfo_t *information, void *context)
{
    for (int index = 0; index < quit_signal_count; index++) {
        const struct sigaction *action = &earlier[index];
        if (quit_signals[index] != number)
            continue;
        if (action->sa_flags & SA_SIGINFO)
            action->sa_sigaction(number, information, context);
        else
            action->sa_handler(number);
    }
}

static void handle_quit(int number, siginfo_t *information, void *context)
{
    int saved = errno;
    atomic_store(&is_quitting, true);
    ring();
    errno = saved;
    call_earlier(number, information, context);
}

/// Takes over those quit signals that have a handler. Signals that are ignored or have the default action are left
/// alone.
static void catch_quit_signals(void)
{
    for (int index = 0; index < quit_signal_count; index++) {
        struct sigaction *action = &earlier[index];
        if (sigaction(quit_signals[index], NULL, action) == -1)
            continue;
        bool is_caught =
            (action->sa_flags & SA_SIGINFO) || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
        struct sigaction ours = *action;
        ours.sa_flags |= SA_SIGINFO;
        ours.sa_sigaction = handle_quit;
        if (is_caught)
            sigaction(quit_signals[index], &ours, NULL);
    }
}

/// Makes a write beyond the process's file size limit fail with EFBIG instead of killing the server. Called after the
/// fork, because --run's command would inherit it.
static void survive_size_limit(void)
{
    struct sigaction action;
    if (sigaction(SIGXFSZ, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGXFSZ, SIG_IGN);
}

/// Sleeps until the bell rings or the time is over; -1 means forever.
static void wait_for_bell(int milliseconds)
{
    struct pollfd wanted = {.fd = bell, .events = POLLIN};
    uint64_t rings;
    if (poll(&wanted, 1, milliseconds) == 1) {
        ssize_t taken = read(bell, &rings, sizeof rings);
        (void)taken;
    }
}

/// Begins serving and prepares the last will. If either fails, the other is undone.
static bool begin(flexpage_server *server)
{
    const unsigned seconds = flexpage_server_last_will(server);
    if (seconds > 0)
        last_will_prepare();
    signal_stack_prepare();
    scheduling_prepare(server);
    if (!flexpage_server_begin(server, &message))
        return false;
    int failure = seconds > 0 ? last_will_begin(server, seconds, lifetime_is_of_filter()) : 0;
    if (failure == 0)
        return true;
    struct flexpage_message ignored = {0};
    flexpage_server_end(server, &ignored);
    free(ignored.error);
    free(ignored.note);
    if (asprintf(
            &message.error, "last-will=%u: cannot be prepared (%s); last-will=off serves without it", seconds,
            strerror(failure))
        == -1)
        message.error = NULL;
    return false;
}

/// Ends the process if a disk has kept the server from its end for end-time= and does nothing. nbdkit's main thread
/// waits for requests to that disk, so this is the only thread that can.
static void end_if_hopeless(flexpage_server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct flexpage_message last = {0};
    if (!flexpage_server_gives_up(server, now.tv_sec, &last))
        return;
    message_print(&last);
    _exit(EXIT_FAILURE);
}

static void *keep(void *unused)
{
    (void)unused;
    flexpage_server *server = lifetime_server();
    has_begun = begin(server);
    if (has_begun)
        scheduling_begin(server);
    bool begins = has_begun;
    sem_post(&begun);
    while (begins && !atomic_load(&is_ending)) {
        int pause = -1;
        if (atomic_load(&is_quitting)) {
            pause = flexpage_server_flush_if_changed(server) ? interval : retry_interval;
            end_if_hopeless(server);
        }
        wait_for_bell(pause);
    }
    if (!begins)
        return NULL;
    scheduling_end();
    flexpage_server_end(server, &message);
    if (flexpage_server_has_given_up(server)) {
        message_print(&message);
        _exit(EXIT_FAILURE);
    }
    return NULL;
}

/// Reports why serving cannot begin: to the parent if it is waiting, otherwise in the log.
static int fail(const char *why)
{
    if (!fork_tell_failure(why))
        nbdkit_error("%s", why);
    return -1;
}

/// Creates the thread. Returns 0 or an errno value.
static int start(void)
{
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell == -1 || sem_init(&begun, 0, 0) == -1)
        return errno;
    return pthread_create(&thread, NULL, keep, NULL);
}

int keeper_begin(void)
{
    int failure = start();
    if (failure != 0) {
        char why[thread_failure_size];
        describe_thread_failure(failure, why);
        return fail(why);
    }
    while (sem_wait(&begun) == -1 && errno == EINTR)
        continue;
    if (!has_begun) {
        pthread_join(thread, NULL);
        int result = fail(message.error != NULL ? message.error : "serving cannot begin");
        free(message.error);
        return result;
    }
    message_print(&message);
    survive_size_limit();
    catch_quit_signals();
    fork_tell_success();
    return 0;
}

bool keeper_is_quitting(void) { return atomic_load(&is_quitting); }

void keeper_end(void)
{
    if (!has_begun)
        return;
    atomic_store(&is_ending, true);
    ring();
    pthread_join(thread, NULL);
    has_begun = false;
    message_print(&message);
}
