// The plugin as nbdkit sees it: the struct at the end, and a callback for each of its members.
//
// It is C because nbdkit's interface is: a struct of function pointers, variable arguments, a macro. All it does is to
// turn nbdkit's way of saying things into Interface.h's and back. Two rules are kept here, for all of the plugin:
//
// - The fork rule: callbacks that nbdkit's main thread makes go through an errand (Errand.h), all of them, always.
//   The others come from threads that nbdkit made for a connection, after the fork. (With `nbdkit -s` the main thread
//   serves the one connection itself; nbdkit does not fork then.)
// - A request's error is that request's: logged, and handed to nbdkit for its reply.

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "Errand.h"
#include "Interface.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

// Since Linux 5.6; older headers lack it.
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/// -D flexpage.verbose=1: the comings and goings of clients, with the counters. Exported: nbdkit finds it by its name.
extern int flexpage_debug_verbose;
int flexpage_debug_verbose = 0;

/// From load to unload. Written by errands only, while the main thread waits for them.
static flexpage_server *server;

// MARK: The life of the plugin, on nbdkit's main thread

/// For what happens on no request's behalf. nbdkit_error works on threads that nbdkit does not know, too; it has no more
/// to say then than the line.
static void
log_line(const char *line)
{
    nbdkit_error("%s", line);
}

static void
run_load(struct errand *errand)
{
    server = flexpage_server_create(log_line);
    errand->succeeded = true;
}

static void
flexpage_load(void)
{
    struct errand errand = {.run = run_load};
    // load cannot fail as far as nbdkit is concerned. There would be no server to serve with.
    if (errand_do(&errand) == -1)
        exit(EXIT_FAILURE);
}

static void
run_unload(struct errand *errand)
{
    flexpage_server_destroy(server);
    server = NULL;
    errand->succeeded = true;
}

static void
flexpage_unload(void)
{
    struct errand errand = {.run = run_unload};
    errand_do(&errand);
}

static void
run_config(struct errand *errand)
{
    errand->succeeded = flexpage_server_configure(server, errand->key, errand->value, &errand->answer);
}

static int
flexpage_config(const char *key, const char *value)
{
    struct errand errand = {.run = run_config, .key = key, .value = value};
    return errand_do(&errand);
}

static void
run_config_complete(struct errand *errand)
{
    errand->succeeded = flexpage_server_check(server, &errand->answer);
}

static int
flexpage_config_complete(void)
{
    struct errand errand = {.run = run_config_complete};
    return errand_do(&errand);
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

static void
run_get_ready(struct errand *errand)
{
    errand->succeeded = flexpage_server_open_image(server, &errand->answer);
}

static int
flexpage_get_ready(void)
{
    become_io_flusher();
    struct errand errand = {.run = run_get_ready};
    return errand_do(&errand);
}

static void
run_after_fork(struct errand *errand)
{
    errand->succeeded = flexpage_server_begin(server, &errand->answer);
}

static int
flexpage_after_fork(void)
{
    struct errand errand = {.run = run_after_fork};
    return errand_do(&errand);
}

static void
run_cleanup(struct errand *errand)
{
    errand->succeeded = flexpage_server_end(server, &errand->answer);
}

static void
flexpage_cleanup(void)
{
    struct errand errand = {.run = run_cleanup};
    errand_do(&errand);
}

static void
run_dump_plugin(struct errand *errand)
{
    errand->number = flexpage_least_memory();
    errand->succeeded = true;
}

static void
flexpage_dump_plugin(void)
{
    struct errand errand = {.run = run_dump_plugin};
    if (errand_do(&errand) == -1)
        return;
    printf("flexpage_least_memory=%" PRIu64 "\n", errand.number);
}

// MARK: A connection

/// One line about a client, where -D flexpage.verbose=1 asks for it.
static void
tell_counters(const char *event, flexpage_client *client)
{
    if (!flexpage_debug_verbose)
        return;
    char *counters = flexpage_client_counters(client);
    nbdkit_debug("flexpage: %s: %s", event, counters != NULL ? counters : "");
    free(counters);
}

static void *
flexpage_open(int readonly)
{
    struct flexpage_answer answer = {0};
    flexpage_client *client = flexpage_client_open(server, readonly != 0, &answer);
    answer_print(&answer);
    if (client != NULL)
        tell_counters("a client has come", client);
    return client;
}

static void
flexpage_close(void *handle)
{
    tell_counters("a client leaves", handle);
    flexpage_client_close(handle);
}

static struct flexpage_facts
facts_of(void *handle)
{
    struct flexpage_facts facts = {0};
    flexpage_client_facts(handle, &facts);
    return facts;
}

static int64_t
flexpage_get_size(void *handle)
{
    return facts_of(handle).size;
}

static int
flexpage_can_write(void *handle)
{
    return facts_of(handle).can_write;
}

static int
flexpage_is_rotational(void *handle)
{
    return facts_of(handle).is_rotational;
}

/// One pager serves all connections to an image: what one was answered, the others see.
static int
flexpage_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

static int
flexpage_can_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

static int
flexpage_can_extents(void *handle)
{
    (void)handle;
    return 1;
}

static int
flexpage_can_fua(void *handle)
{
    return facts_of(handle).can_write ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

/// A fast zero is answered honestly by the image, which throws EOPNOTSUPP rather than write zeroes out.
static int
flexpage_can_fast_zero(void *handle)
{
    return facts_of(handle).can_write;
}

/// Any byte can be read; whole base pages cost least; 64 MiB is the most that nbdkit carries in one request of data.
static int
flexpage_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = 4096;
    *maximum = 64 << 20;
    return 0;
}

// MARK: Data

/// The error as NBD can say it. nbdkit calls all that it does not know "invalid argument", as if the client were to
/// blame; but media fail with ENODATA, EREMOTEIO, ETIMEDOUT, EILSEQ and more.
static int
wire_error(int error)
{
    switch (error) {
    case EROFS: case EPERM: case ENOMEM: case EINVAL: case ENOSPC: case EDQUOT: case EFBIG: case ESHUTDOWN:
    case EOPNOTSUPP: case EOVERFLOW:
        return error;
    default:
        return EIO;
    }
}

/// What a data callback returns, given what the call returned.
static int
finish(int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0)
        return 0;
    // A zero that cannot be done is no failure: nbdkit, or the client, writes zeroes instead.
    if (error != EOPNOTSUPP)
        nbdkit_error("%s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    nbdkit_set_error(wire_error(error));
    return -1;
}

/// The same for a request that writes or flushes. What keeps all of them from the image is logged when it begins and when
/// it ends, not for each that it fails.
static int
finish_writing(void *handle, int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0 || !flexpage_client_is_known_trouble(handle, error))
        return finish(error, what, count, offset);
    nbdkit_debug("flexpage: %s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    nbdkit_set_error(wire_error(error));
    return -1;
}

static int
flexpage_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    return finish(flexpage_client_read(handle, buffer, count, offset), "a read", count, offset);
}

static int
flexpage_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    // nbdkit has none to send today, and one that is not understood must fail.
    int32_t error = flags != 0 ? EINVAL : flexpage_client_cache(handle, count, offset);
    return finish(error, "a cache request", count, offset);
}

static int
flexpage_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_write(handle, buffer, count, offset, is_forced);
    return finish_writing(handle, error, "a write", count, offset);
}

static int
flexpage_flush(void *handle, uint32_t flags)
{
    (void)flags;
    return finish_writing(handle, flexpage_client_flush(handle), "a flush", 0, 0);
}

static int
flexpage_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool may_trim = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;
    bool only_if_fast = (flags & NBDKIT_FLAG_FAST_ZERO) != 0;
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_zero(handle, count, offset, may_trim, only_if_fast, is_forced);
    return finish_writing(handle, error, "a zero", count, offset);
}

static int
flexpage_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    return finish_writing(handle, flexpage_client_trim(handle, count, offset, is_forced), "a trim", count, offset);
}

/// Where extents go, and whether one is enough.
struct extent_sink {
    struct nbdkit_extents *extents;
    bool only_one;
    int error;
};

static bool
take_extent(void *context, uint64_t offset, uint64_t length, int32_t kind)
{
    static const uint32_t types[] = {
        [flexpage_extent_data] = 0,
        [flexpage_extent_zeroes] = NBDKIT_EXTENT_ZERO,
        [flexpage_extent_hole] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
    };
    struct extent_sink *sink = context;
    if (nbdkit_add_extent(sink->extents, offset, length, types[kind]) == -1)
        sink->error = errno;
    return sink->error == 0 && !sink->only_one;
}

static int
flexpage_extents(
    void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    struct extent_sink sink = {.extents = extents, .only_one = (flags & NBDKIT_FLAG_REQ_ONE) != 0};
    int32_t error = flexpage_client_extents(handle, count, offset, take_extent, &sink);
    return finish(error != 0 ? error : sink.error, "a block status request", count, offset);
}

// MARK: What nbdkit is given

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
    "cache=writeback|writethrough\n"                                                                                   \
    "                  A write is answered when it is in memory (writeback, the\n"                                     \
    "                  default; a flush makes it durable), or on the image.\n"                                         \
    "dirty=<PERCENT>   The share of the memory that may wait to be written\n"                                          \
    "                  before writers wait too (default 40%).\n"                                                       \
    "dirty-age=<SECONDS>\n"                                                                                            \
    "                  How long it may wait there (default 5).\n"                                                      \
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
