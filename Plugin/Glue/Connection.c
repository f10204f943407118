// Connections: a client connects, learns the properties of the export, and disconnects.

#include <stdbool.h>
#include <stdlib.h>

#include "Callbacks.h"
#include "LastWill.h"
#include "OffMainCall.h"
#include "Peer.h"

/// -D flexpage.verbose=1 logs the counters whenever a client connects or disconnects. Exported: nbdkit looks it up by
/// name.
extern int flexpage_debug_verbose;
int flexpage_debug_verbose = 0;

/// The maximum number of names that nbdkit puts into a list.
enum { max_exports = 10000 };

/// Logs an event and the counters, if -D flexpage.verbose=1 is set.
static void tell_counters(const char *event, flexpage_client *client)
{
    if (!flexpage_debug_verbose)
        return;
    char *counters = flexpage_client_counters(client);
    nbdkit_debug("flexpage: %s: %s", event, counters != NULL ? counters : "");
    free(counters);
}

/// Logs which client is refused, and why. nbdkit tells the client only that there is no such export, because the reply
/// has no room for a reason.
static void refuse(struct flexpage_message *message)
{
    char peer[peer_size];
    peer_name(peer);
    nbdkit_error("client %s is refused: %s", peer, message->error != NULL ? message->error : "unknown reason");
    free(message->error);
    message->error = NULL;
}

void *flexpage_open(int readonly)
{
    signal_stack_prepare();
    struct flexpage_message message = {0};
    const char *name = nbdkit_export_name();
    if (name == NULL)
        return NULL;
    flexpage_client *client = flexpage_client_open(lifetime_server(), name, readonly != 0, &message);
    if (client == NULL)
        refuse(&message);
    message_print(&message);
    if (client != NULL)
        tell_counters("client connected", client);
    return client;
}

void flexpage_close(void *handle)
{
    tell_counters("client disconnecting", handle);
    flexpage_client_close(handle);
}

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

static struct flexpage_export_info export_info_of(void *handle)
{
    struct flexpage_export_info info = {0};
    flexpage_client_export_info(handle, &info);
    return info;
}

int64_t flexpage_get_size(void *handle) { return export_info_of(handle).size; }

int flexpage_can_write(void *handle) { return export_info_of(handle).can_write; }

int flexpage_is_rotational(void *handle) { return export_info_of(handle).is_rotational; }

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

int flexpage_can_fua(void *handle) { return export_info_of(handle).can_write ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE; }

/// The image supports fast zeroes: it fails with EOPNOTSUPP if it would have to write zeroes out.
int flexpage_can_fast_zero(void *handle) { return export_info_of(handle).can_write; }

/// Any byte can be read, whole base pages cost least, and nbdkit transfers at most 64 MiB in one request.
int flexpage_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = 4096;
    *maximum = flexpage_max_request;
    return 0;
}
