#include "Errand.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

static void *
errand_thread(void *argument)
{
    struct errand *errand = argument;
    errand->run(errand);
    return NULL;
}

int
errand_do(struct errand *errand)
{
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, errand_thread, errand);
    if (failure != 0) {
        nbdkit_error("cannot start a thread: %s", strerror(failure));
        return -1;
    }
    pthread_join(thread, NULL);
    answer_print(&errand->answer);
    return errand->succeeded ? 0 : -1;
}

/// Prints a line at a time: nbdkit puts its prefix before each. On its main thread that prefix names no plugin.
static void
print_note(char *note)
{
    char *rest = NULL;
    for (char *line = strtok_r(note, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        nbdkit_debug("flexpage: %s", line);
}

void
answer_print(struct flexpage_answer *answer)
{
    if (answer->note != NULL)
        print_note(answer->note);
    if (answer->error != NULL)
        nbdkit_error("%s", answer->error);
    free(answer->note);
    free(answer->error);
    memset(answer, 0, sizeof *answer);
}
