// The plugin as nbdkit sees it: a struct of callbacks.
//
// It is written in C because nbdkit's interface is C: function pointers, variable arguments, a macro. It only
// translates between nbdkit's interface and Interface.h. The callbacks are in Lifetime.c, Connection.c and Requests.c.
//
// The fork rule holds for the whole plugin: every callback on nbdkit's main thread runs as an off-main call
// (OffMainCall.h). The other callbacks run on threads that nbdkit creates for a connection, after the fork. (With
// `nbdkit -s` the main thread serves the only connection itself, but then nbdkit does not fork.)

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <stddef.h>

#include "Callbacks.h"
#include "Lifetime.h"

static struct nbdkit_plugin plugin = {
    .name = "flexpage",
    .version = FLEXPAGE_VERSION,
    .longname = "Flexpage: disk images through a user-space pager",
    .description = "Serves disk images from its own cache in a fixed amount of memory.",
    .load = flexpage_load,
    .unload = flexpage_unload,
    .dump_plugin = flexpage_dump_plugin,
    .config = flexpage_config,
    .config_complete = flexpage_config_complete,
    .magic_config_key = "file",
    .get_ready = flexpage_get_ready,
    .after_fork = flexpage_after_fork,
    .cleanup = flexpage_cleanup,
    .list_exports = flexpage_list_exports,
    .default_export = flexpage_default_export,
    .open = flexpage_open,
    .close = flexpage_close,
    .get_size = flexpage_get_size,
    .block_size = flexpage_block_size,
    .can_write = flexpage_can_write,
    .can_flush = flexpage_can_write,
    .can_trim = flexpage_can_write,
    .can_zero = flexpage_can_write,
    .can_fast_zero = flexpage_can_fast_zero,
    .can_fua = flexpage_can_fua,
    .is_rotational = flexpage_is_rotational,
    .can_multi_conn = flexpage_can_multi_conn,
    .can_cache = flexpage_can_cache,
    .can_extents = flexpage_can_extents,
    .pread = flexpage_pread,
    .pwrite = flexpage_pwrite,
    .flush = flexpage_flush,
    .zero = flexpage_zero,
    .trim = flexpage_trim,
    .extents = flexpage_extents,
    .cache = flexpage_cache,
};

/// The plugin with its help, which is generated from the options. nbdkit copies the struct before it calls load, so the
/// help must exist when the plugin is registered. The macro below evaluates this more than once.
static struct nbdkit_plugin *described_plugin(void)
{
    if (plugin.config_help == NULL)
        plugin.config_help = lifetime_help(false);
    return &plugin;
}

NBDKIT_REGISTER_PLUGIN(*described_plugin())
