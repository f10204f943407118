// The life of the plugin, from load to unload: what nbdkit's main thread calls. By the fork rule (Errand.h) all of it goes
// through an errand, always.

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "Callbacks.h"
#include "Errand.h"
#include "LastWill.h"
#include "NbdkitVersion.h"

// What sched.h calls it only for who asks for more than POSIX.
#ifndef SCHED_BATCH
#define SCHED_BATCH 3
#endif

// Since Linux 5.6; older headers lack it.
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/// From load to unload. Written by errands only, while the main thread waits for them.
static flexpage_server *server;

flexpage_server *
lifetime_server(void)
{
    return server;
}

/// For what happens on no request's behalf. nbdkit_error works on threads that nbdkit does not know, too; it has no more
/// to say then than the line.
static void
log_line(const char *line)
{
    nbdkit_error("%s", line);
}

/// Before an image is given to other writers: a will that is being executed may still write there.
static void
last_will_hold_image(void)
{
    last_will_hold();
}

static void
run_load(struct errand *errand)
{
    server = flexpage_server_create(log_line, last_will_hold_image);
    errand->succeeded = true;
}

void
flexpage_load(void)
{
    // load cannot fail as far as nbdkit is concerned. There would be no server to serve with.
    if (errand_do(&(struct errand){.run = run_load}) == -1)
        exit(EXIT_FAILURE);
}

static void
run_unload(struct errand *errand)
{
    last_will_end();
    flexpage_server_destroy(server);
    server = NULL;
    errand->succeeded = true;
}

void
flexpage_unload(void)
{
    errand_do(&(struct errand){.run = run_unload});
}

static void
run_config(struct errand *errand)
{
    errand->succeeded = flexpage_server_configure(server, errand->key, errand->value, &errand->answer);
}

int
flexpage_config(const char *key, const char *value)
{
    return errand_do(&(struct errand){.run = run_config, .key = key, .value = value});
}

static void
run_config_complete(struct errand *errand)
{
    errand->succeeded = flexpage_server_check(server, &errand->answer);
}

int
flexpage_config_complete(void)
{
    return errand_do(&(struct errand){.run = run_config_complete});
}

/// Tells the kernel that this process is part of how dirty pages get written, when an export is mounted on the same
/// machine: memory it asks for is then never sought by writing to that export. Threads made later inherit it. It needs
/// CAP_SYS_RESOURCE; without it all works but for that case, so it is no error.
static void
become_io_flusher(void)
{
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == -1)
        nbdkit_debug("flexpage: not an IO flusher, which only serving to this same machine needs: %s", strerror(errno));
}

/// scheduling=batch: a thread that has been answered by the disk or the client waits for its turn, rather than to push
/// another one of the server, or the client, off its processor. Threads made later inherit it. Takes no privilege.
static int
become_batch(void)
{
    if (sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) == 0)
        return 0;
    nbdkit_error("scheduling=batch: the system does not allow it (%s); leave it out", strerror(errno));
    return -1;
}

static void
run_get_ready(struct errand *errand)
{
    errand->succeeded = flexpage_server_open_image(server, &errand->answer);
    errand->number = flexpage_server_is_batch(server);
}

int
flexpage_get_ready(void)
{
    become_io_flusher();
    struct errand errand = {.run = run_get_ready};
    if (errand_do(&errand) == -1)
        return -1;
    nbdkit_version_warn();
    return errand.number != 0 ? become_batch() : 0;
}

static void
run_after_fork(struct errand *errand)
{
    const unsigned seconds = flexpage_server_last_will(server);
    if (seconds > 0)
        last_will_prepare();
    errand->succeeded = flexpage_server_begin(server, &errand->answer)
        && (seconds == 0 || last_will_begin(server, seconds) == 0);
}

int
flexpage_after_fork(void)
{
    return errand_do(&(struct errand){.run = run_after_fork});
}

static void
run_cleanup(struct errand *errand)
{
    errand->succeeded = flexpage_server_end(server, &errand->answer);
}

void
flexpage_cleanup(void)
{
    errand_do(&(struct errand){.run = run_cleanup});
}

static void
run_dump_plugin(struct errand *errand)
{
    errand->number = flexpage_least_memory();
    errand->succeeded = true;
}

void
flexpage_dump_plugin(void)
{
    struct errand errand = {.run = run_dump_plugin};
    if (errand_do(&errand) == -1)
        return;
    printf("flexpage_least_memory=%" PRIu64 "\n", errand.number);
}
