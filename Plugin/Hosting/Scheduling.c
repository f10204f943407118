#define _GNU_SOURCE

#include "Scheduling.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

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
/// How many threads' waits are looked at. Those of so many say enough.
enum { max_threads = 256 };

static int set_policy(pid_t thread_id, int policy)
{
    return sched_setscheduler(thread_id, policy, &(struct sched_param){0});
}

/// Whether this process may ask for its policy and change it. Only a filter of system calls can forbid that, and
/// it may kill: so a child tries. Its death dumps no core.
static bool is_permitted(void)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0)
        return true;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        bool is_done = sched_getscheduler(0) >= 0 && set_policy(0, SCHED_BATCH) == 0;
        _exit(is_done ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/// Why the policy is left alone.
static void tell_why_not(const char *reason) { nbdkit_debug("flexpage: scheduling=auto does nothing: %s", reason); }

void scheduling_prepare(flexpage_server *server)
{
    if (!flexpage_server_is_auto(server))
        return;
    if (!is_permitted())
        tell_why_not("the system does not permit it");
    else if (sched_getscheduler(getpid()) != SCHED_OTHER)
        tell_why_not("the server was started with another policy");
    else
        is_possible = true;
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

/// Adds what the kernel says about a thread's turns. Nothing if it has ended, or if this kernel does not say it.
static void add_turns(const char *thread_id, struct flexpage_turns *turns)
{
    char path[32], text[96];
    snprintf(path, sizeof path, "%.20s/schedstat", thread_id);
    int file = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
    if (file == -1)
        return;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    uint64_t ran, waited;
    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
        return;
    turns->ran += ran / 1000;
    turns->waited += waited / 1000;
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
            add_turns(task->d_name, &turns);
    return turns;
}

/// How much larger a figure has become. Nothing if it is smaller, because a thread has ended.
static uint64_t growth(uint64_t before, uint64_t after) { return after > before ? after - before : 0; }

static struct flexpage_turns turns_between(struct flexpage_turns before, struct flexpage_turns after)
{
    return (struct flexpage_turns){
        .voluntary = growth(before.voluntary, after.voluntary),
        .involuntary = growth(before.involuntary, after.involuntary),
        .ran = growth(before.ran, after.ran),
        .waited = growth(before.waited, after.waited)};
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

static void make_batch(bool should_be)
{
    if (should_be == is_batch)
        return;
    is_batch = should_be;
    convert_all(is_batch ? SCHED_OTHER : SCHED_BATCH, is_batch ? SCHED_BATCH : SCHED_OTHER);
}

/// Sleeps while the server is idle. Meanwhile the policy is the default one, because the first requests after that may
/// come long before it is noticed.
static void sleep_while_idle(bool should_be_batch)
{
    make_batch(false);
    sleep_by(CLOCK_PROCESS_CPUTIME_ID, activity);
    make_batch(should_be_batch);
}

static void *watch(void *context)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    flexpage_server *server = context;
    for (bool should_be_batch = true, is_idle = true;;) {
        if (is_idle)
            sleep_while_idle(should_be_batch);
        struct flexpage_turns before = turns_so_far();
        sleep_by(CLOCK_MONOTONIC, nap);
        struct flexpage_turns turns = turns_between(before, turns_so_far());
        is_idle = turns.voluntary + turns.involuntary < idle_switches;
        should_be_batch = flexpage_server_prefers_batch(server, turns);
        if (should_be_batch != is_batch)
            nbdkit_debug("flexpage: scheduling=auto: %s", is_batch ? "normal, because processors are busy" : "batch");
        make_batch(should_be_batch);
    }
    return NULL;
}

void scheduling_begin(flexpage_server *server)
{
    if (!is_possible)
        return;
    tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        tell_why_not("/proc cannot be read");
        return;
    }
    has_begun = pthread_create(&thread, NULL, watch, server) == 0;
    if (has_begun)
        return;
    tell_why_not("there can be no further thread");
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
