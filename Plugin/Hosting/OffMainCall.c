#include "OffMainCall.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

static void *off_main_call_thread(void *argument)
{
    struct off_main_call *call = argument;
    call->run(call);
    return NULL;
}

void describe_thread_failure(int failure, char text[thread_failure_size])
{
    snprintf(
        text, thread_failure_size,
        "cannot start a thread: %s; raise the process limit (ulimit -u) or the control group's pids.max",
        strerror(failure));
}

int off_main_call_do(struct off_main_call *call)
{
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, off_main_call_thread, call);
    if (failure != 0) {
        char why[thread_failure_size];
        describe_thread_failure(failure, why);
        nbdkit_error("%s", why);
        return -1;
    }
    pthread_join(thread, NULL);
    message_print(&call->message);
    return call->succeeded ? 0 : -1;
}

/// Prints each line by itself, so that nbdkit prefixes each. On nbdkit's main thread that prefix names no plugin.
static void print_note(char *note)
{
    char *rest = NULL;
    for (char *line = strtok_r(note, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        nbdkit_debug("flexpage: %s", line);
}

void print_warning(const char *line) { fprintf(stderr, "nbdkit: flexpage: warning: %s\n", line); }

static void print_warnings(char *warnings)
{
    char *rest = NULL;
    for (char *line = strtok_r(warnings, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        print_warning(line);
}

/// Prints each line by itself.
static void print_errors(char *errors)
{
    char *rest = NULL;
    for (char *line = strtok_r(errors, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        nbdkit_error("%s", line);
}

void message_print(struct flexpage_message *message)
{
    if (message->note != NULL)
        print_note(message->note);
    if (message->warning != NULL)
        print_warnings(message->warning);
    if (message->error != NULL)
        print_errors(message->error);
    free(message->note);
    free(message->warning);
    free(message->error);
    memset(message, 0, sizeof *message);
}
