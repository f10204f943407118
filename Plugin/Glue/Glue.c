// The plugin as nbdkit sees it: a struct with a callback for each of its members.
//
// It is C because nbdkit's interface is: a struct of function pointers, variable arguments, a macro. All it does is to
// turn nbdkit's way of saying things into Interface.h's and back. The callbacks stand in files of their own: Lifetime.c,
// Connection.c, Requests.c. One rule is kept for all of the plugin, the fork rule: callbacks that nbdkit's main thread makes
// go through an errand (Errand.h), all of them, always. The others come from threads that nbdkit made for a connection,
// after the fork. (With `nbdkit -s` the main thread serves the one connection itself; nbdkit does not fork then.)

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include "Callbacks.h"

#define CONFIG_HELP                                                                                                    \
    "[file=]<PATH>     (required) The disk image or block device to serve.\n"                                          \
    "memory=<SIZE>     The memory for its pages, a hard bound (default 256M).\n"                                       \
    "direct=auto|on|off\n"                                                                                             \
    "                  Bypass the host's page cache: where the image's\n"                                              \
    "                  filesystem can (auto, the default), or fail (on), or\n"                                         \
    "                  never (off).\n"                                                                                 \
    "readahead=<SIZE>|off\n"                                                                                           \
    "                  The most that is read ahead of a sequential reader\n"                                          \
    "                  (default 4M).\n"                                                                                \
    "scheduling=normal|batch\n"                                                                                        \
    "                  How the kernel schedules the server's threads (default\n"                                      \
    "                  normal); batch is faster where nothing else keeps all of\n"                                    \
    "                  the processors busy.\n"                                                                        \
    "cache=writeback|writethrough\n"                                                                                   \
    "                  A write is answered when it is in memory (writeback, the\n"                                     \
    "                  default; a flush makes it durable), or on the image.\n"                                         \
    "dirty=<PERCENT>   The share of the memory that may wait to be written\n"                                          \
    "                  before writers wait too (default 40%).\n"                                                       \
    "dirty-age=<SECONDS>\n"                                                                                            \
    "                  How long it may wait there (default 5).\n"                                                      \
    "last-will=<SECONDS>|off\n"                                                                                        \
    "                  How long what waits may be brought out when a fault ends\n"                                      \
    "                  the process (default 10).\n"                                                                     \
    "flush-time=<SECONDS>|off\n"                                                                                       \
    "                  How long a flush may take: writers wait before more is\n"                                       \
    "                  dirty than the disk can write in that time (default 10).\n"                                     \
    "lock=on|off       Keep other writers from the image (default on)."

static struct nbdkit_plugin plugin = {
    .name = "flexpage",
    .version = FLEXPAGE_VERSION,
    .longname = "Flexpage: disk images through a user-space pager",
    .description = "Serves a disk image from a cache of its own, in memory of fixed size.",
    .load = flexpage_load,
    .unload = flexpage_unload,
    .dump_plugin = flexpage_dump_plugin,
    .config = flexpage_config,
    .config_complete = flexpage_config_complete,
    .config_help = CONFIG_HELP,
    .magic_config_key = "file",
    .get_ready = flexpage_get_ready,
    .after_fork = flexpage_after_fork,
    .cleanup = flexpage_cleanup,
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

NBDKIT_REGISTER_PLUGIN(plugin)
