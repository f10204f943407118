#define _GNU_SOURCE

#include "Scheduling.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "LastWill.h"

/// How long a sample takes, nanoseconds.
static const long nap = 125000000;
/// The processor time after which a server that was idle is watched again, nanoseconds. The kernel notices it only when
/// its tick finds a thread of this process running: late, beside busy programs. So this is for idle servers only. It is
/// far more than a sample takes.
static const long activity = 10000000;
/// With fewer context switches in a sample, the server counts as idle.
static const uint64_t idle_switches = 16;

/// Whether scheduling_prepare has found nothing against it.
static bool is_possible;
static pthread_t thread;
static bool has_begun;
/// The threads of this process; null while nothing is watched. Only scheduling_begin, the watcher, and scheduling_end
/// use it, one after the other.
static DIR *tasks;
/// How many threads' waits are looked at: with 16 threads for each connection, those of 64 connections.
enum { max_threads = 1024 };

static int set_policy(pid_t thread_id, int policy)
{
    return sched_setscheduler(thread_id, policy, &(struct sched_param){0});
}

/// Why the policy is left alone.
static void tell_why_not(const char *reason) { nbdkit_debug("flexpage: scheduling=auto does nothing: %s", reason); }

/// What a child finds out.
enum outcome { POSSIBLE, REFUSED, ANOTHER_POLICY };

/// Tries in a child, without its signal handlers and without dumping core.
static _Noreturn void try_in_child(void)
{
    signal(SIGSYS, SIG_DFL);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int policy = sched_getscheduler(0);
    if (policy > 0)
        _exit(ANOTHER_POLICY);
    bool is_done = policy == SCHED_OTHER && set_policy(0, SCHED_BATCH) == 0 && set_policy(0, SCHED_OTHER) == 0;
    _exit(is_done ? POSSIBLE : REFUSED);
}

/// Whether this process has the default policy and may change it. A filter of system calls may kill it for asking: so a
/// child tries.
static enum outcome try_out(void)
{
    pid_t child = fork();
    if (child == 0)
        try_in_child();
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            return REFUSED;
    return WIFEXITED(status) ? (enum outcome)WEXITSTATUS(status) : REFUSED;
}

void scheduling_prepare(flexpage_server *server)
{
    if (!flexpage_server_is_auto(server))
        return;
    enum outcome outcome = try_out();
    is_possible = outcome == POSSIBLE;
    if (outcome == ANOTHER_POLICY)
        tell_why_not("the server was started with another policy, or with SCHED_RESET_ON_FORK");
    else if (!is_possible)
        tell_why_not("the system does not permit it, or it could not be tried");
}

/// Changes the policy of a thread that has the policy `from`. Returns whether it did.
static bool convert(pid_t thread_id, int from, int to)
{
    return sched_getscheduler(thread_id) == from && set_policy(thread_id, to) == 0;
}

/// Changes the policy of each thread that has the policy `from`. Returns how many those were.
static int convert_listed(int from, int to)
{
    int count = 0;
    rewinddir(tasks);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        pid_t thread_id = (pid_t)atoi(task->d_name);
        if (thread_id > 0)
            count += convert(thread_id, from, to);
    }
    return count;
}

/// Does so until a pass finds none, because a thread may make another one meanwhile. One that is missed nevertheless
/// has the other policy until the next change, which does no harm.
static void convert_all(int from, int to)
{
    enum { max_passes = 8 };
    for (int pass = 0; pass < max_passes && convert_listed(from, to) > 0;)
        pass++;
}

/// Adds what the kernel says about a thread's turns. Returns false if it has ended, or if this kernel does not say it.
static bool add_turns(const char *thread_id, struct flexpage_turns *turns)
{
    char path[32], text[96];
    snprintf(path, sizeof path, "%.20s/schedstat", thread_id);
    int file = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
    if (file == -1)
        return false;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    uint64_t ran, waited, count;
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &ran, &waited, &count) != 3)
        return false;
    turns->ran += ran / 1000;
    turns->waited += waited / 1000;
    // A kernel that does not count says that the thread never had a turn.
    return count > 0;
}

/// The turns of the process so far. Those of threads that have ended are missing in ran and waited, and with very many
/// threads so are those of the last.
static struct flexpage_turns turns_so_far(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    struct flexpage_turns turns = {.voluntary = (uint64_t)usage.ru_nvcsw, .involuntary = (uint64_t)usage.ru_nivcsw};
    rewinddir(tasks);
    struct dirent *task = readdir(tasks);
    for (int count = 0; task != NULL && count < max_threads; count++, task = readdir(tasks))
        if (task->d_name[0] != '.')
            (void)add_turns(task->d_name, &turns);
    return turns;
}

/// If a thread has ended meanwhile, its part is missing at the end. Then only the switches count, which the kernel
/// keeps for the process.
static struct flexpage_turns turns_between(struct flexpage_turns before, struct flexpage_turns after)
{
    struct flexpage_turns turns = {
        .voluntary = after.voluntary - before.voluntary, .involuntary = after.involuntary - before.involuntary};
    if (after.ran >= before.ran && after.waited >= before.waited) {
        turns.ran = after.ran - before.ran;
        turns.waited = after.waited - before.waited;
    }
    return turns;
}

/// Sleeps until so much time of the clock has passed. Only here can scheduling_end end the thread.
static void sleep_by(clockid_t clock, long nanoseconds)
{
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    clock_nanosleep(clock, 0, &(struct timespec){.tv_nsec = nanoseconds}, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

/// Whether the threads are SCHED_BATCH. Only the watcher uses it.
static bool is_batch;

/// - `reason`: Why it is normal.
static void make_batch(bool should_be, const char *reason)
{
    if (should_be == is_batch)
        return;
    is_batch = should_be;
    convert_all(is_batch ? SCHED_OTHER : SCHED_BATCH, is_batch ? SCHED_BATCH : SCHED_OTHER);
    nbdkit_debug("flexpage: scheduling=auto: %s%s", is_batch ? "batch" : "normal, because ", is_batch ? "" : reason);
}

static const char busy[] = "processors are busy", idle[] = "the server is idle";

/// Sleeps while the server is idle. Meanwhile the policy is the default one, because the first requests after that may
/// come long before it is noticed.
static void sleep_while_idle(bool should_be_batch)
{
    make_batch(false, idle);
    sleep_by(CLOCK_PROCESS_CPUTIME_ID, activity);
    make_batch(should_be_batch, busy);
}

static void *watch(void *context)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    flexpage_server *server = context;
    bool should_be_batch = true;
    for (;;) {
        sleep_while_idle(should_be_batch);
        struct flexpage_turns turns, before = turns_so_far();
        do {
            sleep_by(CLOCK_MONOTONIC, nap);
            struct flexpage_turns after = turns_so_far();
            turns = turns_between(before, after);
            before = after;
            should_be_batch = flexpage_server_prefers_batch(server, turns);
            make_batch(should_be_batch, busy);
        } while (turns.voluntary + turns.involuntary >= idle_switches);
    }
    return NULL;
}

/// Whether /proc/self/task has the threads of this process by the numbers that it knows them by. A /proc of another PID
/// namespace has other numbers, which may be those of other processes here.
static bool is_own_proc(void)
{
    char target[16] = "", own[16], path[32];
    snprintf(own, sizeof own, "%d", getpid());
    snprintf(path, sizeof path, "%d", gettid());
    ssize_t length = readlink("/proc/self", target, sizeof target - 1);
    return length > 0 && strcmp(target, own) == 0 && faccessat(dirfd(tasks), path, F_OK, 0) == 0;
}

/// Whether the kernel says how long threads wait.
static bool has_turns(void)
{
    char own[16];
    snprintf(own, sizeof own, "%d", gettid());
    return add_turns(own, &(struct flexpage_turns){0});
}

/// Creates the watcher, with the signals blocked that other threads can take: a handler would run while the thread can
/// be cancelled.
static bool create_watcher(flexpage_server *server)
{
    sigset_t blocked, earlier;
    sigfillset(&blocked);
    last_will_spare_faults(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &earlier);
    bool is_done = pthread_create(&thread, NULL, watch, server) == 0;
    pthread_sigmask(SIG_SETMASK, &earlier, NULL);
    return is_done;
}

/// Why the threads cannot be watched; null if they can. Opens `tasks`.
static const char *open_tasks(void)
{
    tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return "/proc cannot be read";
    if (!is_own_proc())
        return "/proc is that of another PID namespace";
    return has_turns() ? NULL : "the kernel does not say how long threads wait";
}

void scheduling_begin(flexpage_server *server)
{
    if (!is_possible)
        return;
    const char *reason = open_tasks();
    if (reason == NULL) {
        has_begun = create_watcher(server);
        reason = has_begun ? NULL : "there can be no further thread";
    }
    if (reason == NULL)
        return;
    tell_why_not(reason);
    if (tasks != NULL)
        closedir(tasks);
    tasks = NULL;
}

void scheduling_end(void)
{
    if (!has_begun)
        return;
    has_begun = false;
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    closedir(tasks);
    tasks = NULL;
}
