// Connections: a client connects, learns the properties of the export, and disconnects.

#include "Connection.h"

#include <stdbool.h>
#include <stdlib.h>

#include "Callbacks.h"
#include "Lifetime.h"
#include "OffMainCall.h"

/// The maximum number of names that nbdkit puts into a list.
enum { max_exports = 10000 };

void *flexpage_open(int readonly)
{
    const char *name = nbdkit_export_name();
    return name != NULL ? connection_open(name, readonly != 0) : NULL;
}

void flexpage_close(void *handle) { connection_close(handle); }

/// A list that is being made: nbdkit's, and whether it has refused a name.
struct listing {
    struct nbdkit_exports *exports;
    int length;
    bool has_failed;
};

static void add_export(void *context, const char *name)
{
    struct listing *listing = context;
    if (listing->has_failed || listing->length == max_exports)
        return;
    listing->length++;
    listing->has_failed = nbdkit_add_export(listing->exports, name, NULL) == -1;
}

int flexpage_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    (void)readonly, (void)is_tls;
    struct listing listing = {.exports = exports};
    struct flexpage_message message = {0};
    int answer = flexpage_server_list_exports(lifetime_server(), add_export, &listing, &message);
    message_print(&message);
    if (answer == 0)
        return nbdkit_use_default_export(exports);
    return answer == -1 || listing.has_failed ? -1 : 0;
}

const char *flexpage_default_export(int readonly, int is_tls)
{
    (void)readonly, (void)is_tls;
    char *name = flexpage_server_default_export(lifetime_server());
    const char *kept = name != NULL ? nbdkit_strdup_intern(name) : NULL;
    free(name);
    return kept;
}

int64_t flexpage_get_size(void *handle) { return connection_info(handle).size; }

int flexpage_can_write(void *handle) { return connection_info(handle).can_write; }

int flexpage_is_rotational(void *handle) { return connection_info(handle).is_rotational; }

/// All connections to an image share one pager, so each sees the completed writes of the others.
int flexpage_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

int flexpage_can_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

int flexpage_can_extents(void *handle)
{
    (void)handle;
    return 1;
}

int flexpage_can_fua(void *handle) { return connection_info(handle).can_write ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE; }

/// The image supports fast zeroes: it fails with EOPNOTSUPP if it would have to write zeroes out.
int flexpage_can_fast_zero(void *handle) { return connection_info(handle).can_write; }

/// Any byte can be read, whole base pages cost least, and nbdkit transfers at most 64 MiB in one request.
int flexpage_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = 4096;
    *maximum = flexpage_max_request;
    return 0;
}
