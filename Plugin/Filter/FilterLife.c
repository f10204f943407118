// The life of the filter: the callbacks on nbdkit's main thread.

#include <stddef.h>

#include "Below.h"
#include "Filter.h"
#include "Layer.h"
#include "Lifetime.h"
#include "OffMainCall.h"

/// How often nbdkit has loaded the filter. Two of it would share the variables of one.
static int loads;

void filter_load(void)
{
    if (++loads == 1)
        lifetime_load(&layer_below);
}

void filter_unload(void)
{
    if (--loads == 0)
        lifetime_unload();
}

int filter_config(nbdkit_next_config *next, nbdkit_backend *backend, const char *key, const char *value)
{
    if (lifetime_has_option(key))
        return lifetime_config(key, value);
    layer_note_key(key, value);
    return next(backend, key, value);
}

int filter_config_complete(nbdkit_next_config_complete *next, nbdkit_backend *backend)
{
    if (loads > 1) {
        nbdkit_error("--filter=flexpage is given twice; expected it once: one cache serves all clients");
        return -1;
    }
    const char *why = layer_refusal();
    if (why != NULL) {
        nbdkit_error("%s", why);
        return -1;
    }
    // It says nothing of a source that it has opened anew.
    if (retry_filter_is_below())
        print_warning(
            "the retry filter below hides a source that goes away: what that forgets is not written again, and a flush "
            "does not fail; leave retry out, because flexpage-retry= does its work");
    return lifetime_config_complete() == 0 ? next(backend) : -1;
}

int filter_get_ready(int thread_model)
{
    layer_set_model(thread_model);
    return lifetime_get_ready();
}

int filter_after_fork(nbdkit_backend *backend)
{
    layer_set_backend(backend);
    return lifetime_after_fork();
}

void filter_cleanup(nbdkit_backend *backend)
{
    (void)backend;
    lifetime_cleanup();
}
