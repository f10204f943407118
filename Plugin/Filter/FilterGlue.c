// The filter as nbdkit sees it: a struct of callbacks. Glue.c says what holds for it as for the plugin.

#include <stdlib.h>
#include <string.h>

#include "Below.h"
#include "Filter.h"
#include "Lifetime.h"

static struct nbdkit_filter filter = {
    .name = "flexpage",
    .longname = "Flexpage: a bounded cache before any source",
    .description = "Serves what is below from a cache in a fixed amount of memory.",
    .load = filter_load,
    .unload = filter_unload,
    .config = filter_config,
    .config_complete = filter_config_complete,
    .get_ready = filter_get_ready,
    .after_fork = filter_after_fork,
    .cleanup = filter_cleanup,
    .preconnect = filter_preconnect,
    .list_exports = filter_list_exports,
    .default_export = filter_default_export,
    .open = filter_open,
    .close = filter_close,
    .prepare = filter_prepare,
    .finalize = filter_finalize,
    .get_size = filter_get_size,
    .export_description = filter_export_description,
    .block_size = filter_block_size,
    .can_write = filter_can_write,
    .can_flush = filter_can_write,
    .is_rotational = filter_is_rotational,
    .can_trim = filter_can_write,
    .can_zero = filter_can_zero,
    .can_fast_zero = filter_can_write,
    .can_extents = filter_can,
    .can_fua = filter_can_fua,
    .can_multi_conn = filter_can,
    .can_cache = filter_can_cache,
    .pread = filter_pread,
    .pwrite = filter_pwrite,
    .flush = filter_flush,
    .trim = filter_trim,
    .zero = filter_zero,
    .extents = filter_extents,
    .cache = filter_cache,
};

/// Why the filter cannot be above what is loaded, or null.
static const char *refusal(void)
{
    // Each has Swift's runtime inside, and two of those in a process are more than anybody has tested.
    if (strcmp(plugin_below_name(), "flexpage") == 0)
        return "the flexpage plugin has the cache already; leave the filter out";
    return NULL;
}

/// The filter with its help. Glue.c says why it must exist now. The macro below evaluates this more than once.
static struct nbdkit_filter *described_filter(void)
{
    if (filter.config_help != NULL)
        return &filter;
    below_note();
    const char *why = refusal();
    if (why != NULL) {
        nbdkit_error("--filter=flexpage: %s", why);
        exit(EXIT_FAILURE);
    }
    filter.config_help = lifetime_help(true);
    return &filter;
}

NBDKIT_REGISTER_FILTER(*described_filter())
