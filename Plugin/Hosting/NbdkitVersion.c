// nbdkit 1.32.4, 1.32.5 and 1.33.3 to 1.33.9 abort when a client vanishes while several replies to it wait to be sent
// (`raw_send_socket: Assertion 'sock >= 0'`). That ends all connections. With one thread per connection (-t 1) there is
// only one reply to send at a time, and nbdkit does not abort.
//
// nbdkit does not tell a plugin its version, so this runs nbdkit's own program with --version. If that fails, or if the
// output is not understood, no warning is printed.

#define _GNU_SOURCE

#include "NbdkitVersion.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "OffMainCall.h"

extern char **environ;

static const int patience_milliseconds = 2000;

struct version {
    int major, minor, release;
};

/// Starts `/proc/self/exe --version` with `output` as its standard output.
static bool start(int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    char program[] = "/proc/self/exe", option[] = "--version";
    char *arguments[] = {program, option, NULL};
    bool is_started = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0
        && posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) == 0
        && posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0
        && posix_spawn(pid, program, &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return is_started;
}

static int milliseconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)((now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000);
}

/// Reads `input` into a string until its end, or until the room or the time is used up.
static void read_text(int input, char *text, size_t size)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    size_t length = 0;
    while (length < size - 1) {
        struct pollfd poll_input = {.fd = input, .events = POLLIN};
        int left = patience_milliseconds - milliseconds_since(&start);
        if (left <= 0 || (poll(&poll_input, 1, left) == -1 && errno != EINTR))
            break;
        if (poll_input.revents == 0)
            continue;
        ssize_t count = read(input, text + length, size - 1 - length);
        if (count == 0 || (count == -1 && errno != EINTR))
            break;
        length += count > 0 ? (size_t)count : 0;
    }
    text[length] = '\0';
}

/// Fetches the output of `nbdkit --version`.
static void ask(char *text, size_t size)
{
    text[0] = '\0';
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == -1)
        return;
    pid_t pid;
    bool is_started = start(ends[1], &pid);
    close(ends[1]);
    if (is_started) {
        read_text(ends[0], text, size);
        // It has printed its version by now, or takes too long.
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
            ;
    }
    close(ends[0]);
}

static bool aborts_when_a_client_vanishes(const struct version *version)
{
    if (version->major != 1)
        return false;
    return (version->minor == 32 && (version->release == 4 || version->release == 5))
        || (version->minor == 33 && version->release >= 3 && version->release <= 9);
}

void nbdkit_version_warn(void)
{
    char text[256];
    ask(text, sizeof text);
    struct version version;
    if (sscanf(text, "nbdkit %d.%d.%d", &version.major, &version.minor, &version.release) != 3)
        return;
    if (!aborts_when_a_client_vanishes(&version))
        return;
    char line[256];
    snprintf(
        line, sizeof line,
        "nbdkit %d.%d.%d aborts when a client vanishes while several of its requests are under way, which ends the "
        "server: use nbdkit 1.34 or later; if you cannot, use -t 1 and let each client open several connections",
        version.major, version.minor, version.release);
    print_warning(line);
}
