#include "Privileges.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

// sched.h defines it only with _GNU_SOURCE.
#ifndef SCHED_BATCH
#define SCHED_BATCH 3
#endif

// New in Linux 5.6; older headers lack it.
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

/// What privileges_give_back must undo.
static bool has_become_flusher, has_become_batch;
static int earlier_policy;
static struct sched_param earlier_param;

void become_io_flusher(void)
{
    if (prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1)
        return;
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)
        has_become_flusher = true;
    else
        nbdkit_debug(
            "flexpage: cannot become an IO flusher, which matters only if this machine uses the export: %s",
            strerror(errno));
}

int become_batch(void)
{
    earlier_policy = sched_getscheduler(0);
    sched_getparam(0, &earlier_param);
    if (sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) == 0) {
        has_become_batch = true;
        return 0;
    }
    nbdkit_error("scheduling=batch: not permitted by the system (%s); expected scheduling=normal", strerror(errno));
    return -1;
}

void privileges_give_back(void)
{
    if (has_become_flusher)
        prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    if (has_become_batch && earlier_policy >= 0)
        sched_setscheduler(0, earlier_policy, &earlier_param);
}
