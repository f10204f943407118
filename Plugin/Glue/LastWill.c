// The last will: what is done between a signal that ends the process and its end.
//
//     a thread that faults                      the thread of the will             threads that serve
//
//     handler: the flag is set,                 sleeps at the pipe                 finish what they do
//         a byte to the pipe          ──▶       brings out what is dirty,          see the flag before they answer
//     sleeps, at most last-will= seconds        syncs, tells                           a change: sleep for ever
//     the signal does what it did     ◀──       a byte to the other pipe
//
// Why nothing answered is missing from it: Paging's LastWill says that, and what it wants of the flag is kept here. It
// is set before the thread of the will is woken, read after a request's last change and before its answer, both in the
// order of sequential consistency, and never taken back.
//
// The handler may come upon any instruction, in malloc or with any lock held: it calls what is safe in it
// (signal-safety(7)), and so does the thread of the will, as the thread that faulted is stopped and keeps what it
// holds. That thread is made after the fork, by the fork rule, and before any fault, as a thread could not be had then.
//
// - The first thread decides: one that faults later, another signal too, sleeps until the process has ended.
// - A fault of the will's own thread ends the process at once, with a line that says so.
// - What the signal did before is done afterwards: a handler that was there is called, and then the signal comes anew,
//   to the default action: a dump shows the thread where it faulted. A process does not go on after its will, even
//   where such a handler would have it: its writers have been stopped.
// - A signal that was ignored stays ignored.
// - Signals that are no faults but end a process, such as SIGUSR1, have a will too, unless somebody has a handler for
//   them.
// - Nobody hears of SIGKILL.

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

/// What ends a process: faults first, then what others send, or a limit of the process, where nobody has another use
/// for it.
static const int faults[] = {SIGABRT, SIGSEGV, SIGBUS,  SIGILL,    SIGFPE,  SIGTRAP, SIGSYS, SIGXCPU,
                             SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR, SIGSTKFLT};

/// So many of them are faults: they are caught even if somebody else has caught them before.
enum { true_fault_count = 7 };

enum { fault_count = sizeof faults / sizeof faults[0] };

/// What they did before.
static struct sigaction earlier_actions[fault_count];

atomic_bool last_will_is_executed;

/// All of it is written before the handlers are there.
static struct {
    flexpage_server *server;
    unsigned seconds;
    pthread_t thread;
    bool has_begun;
    /// A byte in it wakes the thread of the will; its end ends it.
    int request[2];
    /// A byte in it says that all has been done that can be.
    int answer[2];
} will;

/// Whether the calling thread is the will's.
static _Thread_local volatile sig_atomic_t is_of_will __attribute__((tls_model("initial-exec")));

_Noreturn void last_will_stop(void)
{
    for (;;)
        pause();
}

// Telling. No stream, no malloc: a line in one write.

static void say(const char *line, size_t length)
{
    // Where it cannot be written nobody can be told.
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

#define SAY(line) say(line, sizeof line - 1)

/// The name of an error, which unlike its text is not translated.
static const char *name_of(int error)
{
    const char *name = strerrorname_np(error);
    return name != NULL ? name : "an unknown error";
}

/// Formats like snprintf, behind what is there; numbers and constant strings only, for which it needs no memory.
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
        "nbdkit: flexpage: last will: %" PRIu64 " pages of 4096 bytes have been brought to the image%s",
        outcome->brought_out, outcome->sync_error == 0 ? ", and synced" : "");
    if (outcome->sync_error != 0)
        append(
            line, sizeof line, &length, "; the sync failed (%s), and they may be lost", name_of(outcome->sync_error));
    if (outcome->failed > 0)
        append(
            line, sizeof line, &length, "; %" PRIu64 " could not be written (%s) and are lost", outcome->failed,
            name_of(outcome->error));
    if (outcome->passed_over > 0)
        append(line, sizeof line, &length, "; %" PRIu64 " are lost because their lock was held", outcome->passed_over);
    if (outcome->broken > 0)
        append(line, sizeof line, &length, "; %" PRIu64 " are lost because their records are broken", outcome->broken);
    append(line, sizeof line, &length, "\n");
    line[length - 1] = '\n';
    say(line, length);
}

// The handler.

/// Has the signal do what it did before, and then what it does by default, when the handler has returned.
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
    // It is blocked here and comes as soon as we return, before the instruction that we return to.
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signal, info);
}

static int64_t milliseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/// Has the will executed, and waits for that, but not for ever.
static void execute(void)
{
    if (write(will.request[1], "", 1) != 1) {
        SAY("nbdkit: flexpage: last will: its thread cannot be woken; what was not flushed is lost\n");
        return;
    }
    const int64_t end = milliseconds_now() + will.seconds * INT64_C(1000);
    for (;;) {
        int64_t left = end - milliseconds_now();
        struct pollfd answer = {.fd = will.answer[0], .events = POLLIN};
        if (left <= 0) {
            SAY("nbdkit: flexpage: last will: not done in the time of last-will=; some of what was not flushed is "
                "lost\n");
            return;
        }
        // Other signals come in between.
        if (poll(&answer, 1, (int)left) > 0)
            return;
    }
}

/// Whether another process has sent it: then the thread that it came to is as good as any.
static bool is_sent(const siginfo_t *info)
{
    return (info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE)
        && info->si_pid != getpid();
}

static void handle_fault(int signal, siginfo_t *info, void *context)
{
    const int error = errno;
    // The first one is being dealt with: a thread that has not faulted itself goes on, and lets go of what it holds.
    if (is_sent(info) && atomic_load(&last_will_is_executed))
        return;
    if (is_of_will) {
        SAY("nbdkit: flexpage: last will: it has failed itself; what was not flushed is lost\n");
    } else if (atomic_exchange(&last_will_is_executed, true)) {
        last_will_stop();
    } else {
        execute();
    }
    pass_on(signal, info, context);
    errno = error;
}

// Its thread.

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
    // Faults are blocked so far, so that one that is sent to the process comes to a thread that can wait for this one.
    is_of_will = 1;
    sigset_t set;
    fill_with_faults(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    struct flexpage_will outcome = {0};
    flexpage_server_bring_out(will.server, &outcome);
    tell(&outcome);
    count = write(will.answer[1], "", 1);
    return NULL;
}

/// Starts it with faults blocked from its first moment on.
static int start_thread(void)
{
    sigset_t set, before;
    fill_with_faults(&set);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int failure = pthread_create(&will.thread, NULL, run_will, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

// The handlers' coming and going.

static void install(void)
{
    struct sigaction action = {.sa_sigaction = handle_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    fill_with_faults(&action.sa_mask);
    for (int index = 0; index < fault_count; index++) {
        const struct sigaction *earlier = &earlier_actions[index];
        sigaction(faults[index], NULL, &earlier_actions[index]);
        bool has_handler = (earlier->sa_flags & SA_SIGINFO) != 0 || earlier->sa_handler != SIG_DFL;
        bool is_ignored = (earlier->sa_flags & SA_SIGINFO) == 0 && earlier->sa_handler == SIG_IGN;
        if (!is_ignored && (index < true_fault_count || !has_handler))
            sigaction(faults[index], &action, NULL);
    }
}

/// Puts back what was there, where nobody has put something else there since.
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

int last_will_begin(flexpage_server *server, unsigned seconds)
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
    install();
    return 0;
}

void last_will_end(void)
{
    if (!will.has_begun)
        return;
    will.has_begun = false;
    uninstall();
    // Who has come into the handler by now keeps the pipes and the server until the process has ended.
    if (atomic_load(&last_will_is_executed))
        last_will_stop();
    close(will.request[1]);
    pthread_join(will.thread, NULL);
    close(will.request[0]);
    close_both(will.answer);
}
