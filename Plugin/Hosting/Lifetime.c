#include "Lifetime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "Footprint.h"
#include "Fork.h"
#include "Keeper.h"
#include "LastWill.h"
#include "NbdkitVersion.h"
#include "OffMainCall.h"
#include "Privileges.h"

/// Exists from load to unload. Only off-main calls write it, while the main thread waits for them.
static flexpage_server *server;
/// What it serves; null for image files.
static const struct flexpage_layer *layer_below;

flexpage_server *lifetime_server(void) { return server; }

bool lifetime_is_of_filter(void) { return layer_below != NULL; }

/// Logs a line that belongs to no request. On threads that nbdkit does not know, nbdkit_error prints only the line.
static void log_line(const char *line) { nbdkit_error("%s", line); }

/// Called before an image is released to other writers. Holds it back if a last will, which may still write, is being
/// executed.
static void last_will_hold_image(void) { last_will_hold(); }

static void run_help_of_plugin(struct off_main_call *call)
{
    call->text = flexpage_config_help(false);
    call->succeeded = true;
}

static void run_help_of_filter(struct off_main_call *call)
{
    call->text = flexpage_config_help(true);
    call->succeeded = true;
}

const char *lifetime_help(bool is_filter)
{
    // A plugin below a filter expects the stacks and arenas that it has without it.
    if (!is_filter)
        footprint_reduce();
    struct off_main_call help = {.run = is_filter ? run_help_of_filter : run_help_of_plugin};
    // Without a thread, serving would be impossible anyway.
    if (off_main_call_do(&help) == -1)
        exit(EXIT_FAILURE);
    return help.text;
}

static void run_load(struct off_main_call *call)
{
    server = flexpage_server_create(layer_below, log_line, last_will_hold_image);
    call->succeeded = true;
}

void lifetime_load(const struct flexpage_layer *layer)
{
    layer_below = layer;
    // nbdkit expects no failure of load. Without a server there is nothing to serve with.
    if (off_main_call_do(&(struct off_main_call){.run = run_load}) == -1)
        exit(EXIT_FAILURE);
}

static void run_unload(struct off_main_call *call)
{
    last_will_end();
    flexpage_server_destroy(server);
    server = NULL;
    call->succeeded = true;
}

void lifetime_unload(void) { off_main_call_do(&(struct off_main_call){.run = run_unload}); }

static void run_has_option(struct off_main_call *call)
{
    call->succeeded = flexpage_server_has_option(server, call->key);
}

bool lifetime_has_option(const char *key)
{
    return off_main_call_do(&(struct off_main_call){.run = run_has_option, .key = key}) == 0;
}

static void run_config(struct off_main_call *call)
{
    call->succeeded = flexpage_server_configure(server, call->key, call->value, &call->message);
}

int lifetime_config(const char *key, const char *value)
{
    return off_main_call_do(&(struct off_main_call){.run = run_config, .key = key, .value = value});
}

static void run_config_complete(struct off_main_call *call)
{
    call->succeeded = flexpage_server_check(server, &call->message);
}

int lifetime_config_complete(void) { return off_main_call_do(&(struct off_main_call){.run = run_config_complete}); }

/// What get_ready needs while the process still has its privileges.
struct readiness {
    struct off_main_call call;
    bool is_batch;
    int32_t descriptors[flexpage_max_descriptors];
    int32_t count;
};

static void run_get_ready(struct off_main_call *call)
{
    struct readiness *readiness = (struct readiness *)call;
    call->succeeded = flexpage_server_open_image(server, &call->message);
    readiness->is_batch = flexpage_server_is_batch(server);
    readiness->count = flexpage_server_descriptors(server, readiness->descriptors);
}

int lifetime_get_ready(void)
{
    become_io_flusher();
    struct readiness readiness = {.call.run = run_get_ready};
    if (off_main_call_do(&readiness.call) == -1)
        return -1;
    nbdkit_version_warn();
    if (readiness.is_batch && become_batch() == -1)
        return -1;
    int failure = fork_watch(readiness.descriptors, readiness.count);
    if (failure == 0)
        return 0;
    nbdkit_error("cannot watch for nbdkit's fork: %s", strerror(failure));
    return -1;
}

int lifetime_after_fork(void)
{
    if (fork_over())
        return keeper_begin();
    nbdkit_error("a filter started another program before serving began; run without that filter");
    return -1;
}

void lifetime_cleanup(void) { keeper_end(); }
