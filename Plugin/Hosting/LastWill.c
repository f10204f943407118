// The last will: what the plugin does between a fatal signal and the end of the process.
//
//     the thread that faults                    the will's thread                  threads that serve
//
//     handler: sets the flag,                   sleeps at the pipe                 finish their work
//         writes a byte to the pipe   ──▶       writes dirty data to the image,    see the flag before they answer
//     waits, at most last-will= seconds,        syncs, prints a line                   a change: sleep forever
//         and says that the process lives
//     the signal has its usual effect ◀──       writes a byte to the other pipe
//
// Why no answered change is missing from the image: see Paging's LastWill. This file keeps its conditions for the flag.
// The flag is set before the will's thread is woken. It is read after a request's last change and before its answer.
// Both accesses are sequentially consistent, and the flag is never cleared.
//
// The handler can interrupt any instruction, inside malloc or with any lock held, so it calls only async-signal-safe
// functions (signal-safety(7)). So does the will's thread, because the thread that faulted is stopped and keeps its
// locks. The will's thread is created after the fork, because of the fork rule, and before any fault, because the
// system might refuse a thread then.
//
// - The first fault decides. A thread that faults later, with whatever signal, sleeps until the process has ended.
// - A fault in the will's own thread ends the process at once, with a line that says so.
// - Afterwards the signal takes its usual effect: a previous handler is called, then the signal is raised again with
//   its default action. A core dump shows the thread where it faulted. The process never continues after its will, even
//   if the previous handler would let it, because its writers are stopped.
// - A signal that was ignored stays ignored.
// - In a filter, a fault that has a handler is left to it: a plugin below may live with that fault, as a runtime does
//   that grows its memory so, and would die of ours. There is no will then.
// - Signals that end a process but are not faults, such as SIGUSR1, trigger the will too, unless they have a handler.
// - SIGKILL cannot be caught.

#define _GNU_SOURCE

#include "LastWill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// Signals that end a process: first faults, then signals from other processes or resource limits. The latter are only
/// caught if they have no handler.
static const int faults[] = {SIGABRT, SIGSEGV, SIGBUS,  SIGILL,    SIGFPE,  SIGTRAP, SIGSYS, SIGXCPU,
                             SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR, SIGSTKFLT};

/// The number of faults in that list. In the plugin, they are caught even if they have a handler.
enum { true_fault_count = 7 };

enum { fault_count = sizeof faults / sizeof faults[0] };

/// Their previous actions.
static struct sigaction earlier_actions[fault_count];

atomic_bool last_will_is_executed;

/// Written before the handlers are installed.
static struct {
    flexpage_server *server;
    unsigned seconds;
    pthread_t thread;
    bool has_begun;
    /// A byte in this pipe wakes the will's thread. Closing it ends the thread.
    int request[2];
    /// A byte in this pipe says that the will has been executed.
    int answer[2];
} will;

/// How often the process says that it is alive, milliseconds. The next server wants it once a second.
static const int64_t sign_of_life = 200;

/// Whether the calling thread is the will's.
static _Thread_local volatile sig_atomic_t is_of_will __attribute__((tls_model("initial-exec")));

_Noreturn void last_will_stop(void)
{
    for (;;)
        pause();
}

// Messages. Each is one write, without streams or malloc.

static void say(const char *line, size_t length)
{
    // A failure cannot be reported anywhere.
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

#define SAY(line) say(line, sizeof line - 1)

/// The name of an error: a constant, unlike its text, which may be translated.
static const char *name_of(int error)
{
    const char *name = strerrorname_np(error);
    return name != NULL ? name : "unknown error";
}

/// Formats like snprintf and appends. Only for numbers and constant strings, which need no memory.
__attribute__((format(printf, 4, 5))) static void append(
    char *line, size_t size, size_t *length, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(line + *length, size - *length, format, arguments);
    va_end(arguments);
    if (added > 0)
        *length = *length + (size_t)added < size ? *length + (size_t)added : size - 1;
}

static void tell(const struct flexpage_will *outcome)
{
    char line[512];
    size_t length = 0;
    append(
        line, sizeof line, &length,
        "nbdkit: flexpage: last will: %" PRIu64 " pages of 4096 bytes were written to the image%s",
        outcome->brought_out, outcome->sync_error == 0 ? " and synced" : "");
    if (outcome->sync_error != 0)
        append(line, sizeof line, &length, "; the sync failed (%s), so they may be lost", name_of(outcome->sync_error));
    if (outcome->failed > 0)
        append(
            line, sizeof line, &length, "; %" PRIu64 " could not be written (%s) and are lost", outcome->failed,
            name_of(outcome->error));
    if (outcome->passed_over > 0)
        append(line, sizeof line, &length, "; %" PRIu64 " are lost because their lock was held", outcome->passed_over);
    if (outcome->broken > 0)
        append(line, sizeof line, &length, "; %" PRIu64 " are lost because their records are corrupt", outcome->broken);
    append(line, sizeof line, &length, "\n");
    line[length - 1] = '\n';
    say(line, length);
}

// The handler.

/// Calls the previous handler of the signal, and raises the signal again with its default action. It takes effect when
/// our handler returns.
static void pass_on(int signal, siginfo_t *info, void *context)
{
    for (int index = 0; index < fault_count; index++) {
        const struct sigaction *earlier = &earlier_actions[index];
        if (faults[index] != signal)
            continue;
        if (earlier->sa_flags & SA_SIGINFO)
            earlier->sa_sigaction(signal, info, context);
        else if (earlier->sa_handler != SIG_DFL && earlier->sa_handler != SIG_IGN)
            earlier->sa_handler(signal);
    }
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    // It is blocked here. It is delivered as soon as we return, before the interrupted instruction continues.
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signal, info);
}

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/// While the will is executed, where the state that is kept says when the process was last alive. The next server takes
/// later changes of an image for another program's.
static _Atomic(uint64_t *) life;

static void keep_alive(uint64_t *word) { atomic_store(&life, word); }

static void say_alive(void)
{
    uint64_t *word = atomic_load(&life);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (word != NULL)
        __atomic_store_n(word, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, __ATOMIC_RELAXED);
}

/// Lets the will's thread execute the will, and waits for it, at most last-will= seconds.
static void execute(void)
{
    if (write(will.request[1], "", 1) != 1) {
        SAY("nbdkit: flexpage: last will: its thread cannot be woken; unflushed data is lost\n");
        return;
    }
    const int64_t end = milliseconds_now() + will.seconds * INT64_C(1000);
    for (;;) {
        say_alive();
        int64_t left = end - milliseconds_now();
        struct pollfd answer = {.fd = will.answer[0], .events = POLLIN};
        if (left <= 0) {
            SAY("nbdkit: flexpage: last will: not finished within last-will=; some unflushed data is lost\n");
            return;
        }
        // Other signals may interrupt poll.
        if (poll(&answer, 1, (int)(left < sign_of_life ? left : sign_of_life)) > 0)
            return;
    }
}

/// Whether another process has sent the signal. Then the thread that received it has not faulted.
static bool is_sent(const siginfo_t *info)
{
    return (info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE)
        && info->si_pid != getpid();
}

static void handle_fault(int signal, siginfo_t *info, void *context)
{
    const int error = errno;
    // A will is being executed. This thread has not faulted, so it continues and releases the locks that it holds.
    if (is_sent(info) && atomic_load(&last_will_is_executed))
        return;
    if (is_of_will) {
        SAY("nbdkit: flexpage: last will: it crashed itself; unflushed data is lost\n");
    } else if (atomic_exchange(&last_will_is_executed, true)) {
        last_will_stop();
    } else {
        execute();
    }
    pass_on(signal, info, context);
    errno = error;
}

// The will's thread.

void last_will_spare_faults(sigset_t *set)
{
    for (int index = 0; index < true_fault_count; index++)
        sigdelset(set, faults[index]);
}

static void fill_with_faults(sigset_t *set)
{
    sigemptyset(set);
    for (int index = 0; index < fault_count; index++)
        sigaddset(set, faults[index]);
}

static void *run_will(void *unused)
{
    (void)unused;
    signal_stack_prepare();
    char byte;
    ssize_t count;
    do
        count = read(will.request[0], &byte, 1);
    while (count == -1 && errno == EINTR);
    if (count != 1)
        return NULL;
    // These signals have been blocked so far, so that one sent to the process reaches a thread that can wait for this
    // one.
    is_of_will = 1;
    sigset_t set;
    fill_with_faults(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    struct flexpage_will outcome = {0};
    flexpage_server_bring_out(will.server, &outcome, keep_alive);
    tell(&outcome);
    count = write(will.answer[1], "", 1);
    return NULL;
}

/// Starts the thread with these signals blocked from its first instruction on.
static int start_thread(void)
{
    sigset_t set, before;
    fill_with_faults(&set);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int failure = pthread_create(&will.thread, NULL, run_will, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

// Installing and removing the handlers.

/// Whether a signal is to be caught that has the action `earlier`.
static bool is_caught(int index, const struct sigaction *earlier, bool leaves_handlers)
{
    bool has_handler = (earlier->sa_flags & SA_SIGINFO) != 0 || earlier->sa_handler != SIG_DFL;
    bool is_ignored = (earlier->sa_flags & SA_SIGINFO) == 0 && earlier->sa_handler == SIG_IGN;
    return !is_ignored && (!has_handler || (index < true_fault_count && !leaves_handlers));
}

static void install(bool leaves_handlers)
{
    struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    fill_with_faults(&action.sa_mask);
    for (int index = 0; index < fault_count; index++) {
        sigaction(faults[index], NULL, &earlier_actions[index]);
        if (is_caught(index, &earlier_actions[index], leaves_handlers))
            sigaction(faults[index], &action, NULL);
    }
}

/// Restores the previous actions, except where our handler has been replaced since.
static void uninstall(void)
{
    for (int index = 0; index < fault_count; index++) {
        struct sigaction present;
        sigaction(faults[index], NULL, &present);
        if ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == handle_fault)
            sigaction(faults[index], &earlier_actions[index], NULL);
    }
}

void last_will_prepare(void) { signal_stacks_want(); }

static void close_both(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

int last_will_begin(flexpage_server *server, unsigned seconds, bool leaves_handlers)
{
    will.server = server;
    will.seconds = seconds;
    int failure = pipe2(will.request, O_CLOEXEC) == -1 ? errno : 0;
    if (failure == 0 && pipe2(will.answer, O_CLOEXEC) == -1) {
        failure = errno;
        close_both(will.request);
    }
    if (failure == 0 && (failure = start_thread()) != 0) {
        close_both(will.request);
        close_both(will.answer);
    }
    if (failure != 0)
        return failure;
    will.has_begun = true;
    install(leaves_handlers);
    return 0;
}

void last_will_end(void)
{
    if (!will.has_begun)
        return;
    will.has_begun = false;
    uninstall();
    // A thread that is in the handler by now uses the pipes and the server until the process has ended.
    if (atomic_load(&last_will_is_executed))
        last_will_stop();
    close(will.request[1]);
    pthread_join(will.thread, NULL);
    close(will.request[0]);
    close_both(will.answer);
}
