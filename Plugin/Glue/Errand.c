#include "Errand.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

static void *errand_thread(void *argument)
{
    struct errand *errand = argument;
    errand->run(errand);
    return NULL;
}

void describe_thread_failure(int failure, char text[thread_failure_size])
{
    snprintf(
        text, thread_failure_size,
        "cannot start a thread: %s; raise the process limit (ulimit -u) or the control group's pids.max",
        strerror(failure));
}

int errand_do(struct errand *errand)
{
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, errand_thread, errand);
    if (failure != 0) {
        char why[thread_failure_size];
        describe_thread_failure(failure, why);
        nbdkit_error("%s", why);
        return -1;
    }
    pthread_join(thread, NULL);
    answer_print(&errand->answer);
    return errand->succeeded ? 0 : -1;
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

void answer_print(struct flexpage_answer *answer)
{
    if (answer->note != NULL)
        print_note(answer->note);
    if (answer->warning != NULL)
        print_warnings(answer->warning);
    if (answer->error != NULL)
        nbdkit_error("%s", answer->error);
    free(answer->note);
    free(answer->warning);
    free(answer->error);
    memset(answer, 0, sizeof *answer);
}
