// A connection: a client comes, is told what its export is and can do, and leaves.

#include <stdbool.h>
#include <stdlib.h>

#include "Callbacks.h"
#include "OffMainCall.h"
#include "LastWill.h"
#include "Peer.h"

/// -D flexpage.verbose=1: the comings and goings of clients, with the counters. Exported: nbdkit finds it by its name.
extern int flexpage_debug_verbose;
int flexpage_debug_verbose = 0;

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

/// Says in the log which client is refused, and why. The client itself is told by nbdkit that there is no such export,
/// and nothing else: the reply has no room for a reason.
static void
refuse(struct flexpage_message *message)
{
    char peer[peer_size];
    peer_name(peer);
    nbdkit_error("the client %s is refused: %s", peer, message->error != NULL ? message->error : "no reason is known");
    free(message->error);
    message->error = NULL;
}

void *
flexpage_open(int readonly)
{
    signal_stack_prepare();
    struct flexpage_message message = {0};
    flexpage_client *client = flexpage_client_open(lifetime_server(), readonly != 0, &message);
    if (client == NULL)
        refuse(&message);
    message_print(&message);
    if (client != NULL)
        tell_counters("a client has come", client);
    return client;
}

void
flexpage_close(void *handle)
{
    tell_counters("a client leaves", handle);
    flexpage_client_close(handle);
}

static struct flexpage_export_info
export_info_of(void *handle)
{
    struct flexpage_export_info info = {0};
    flexpage_client_export_info(handle, &info);
    return info;
}

int64_t
flexpage_get_size(void *handle)
{
    return export_info_of(handle).size;
}

int
flexpage_can_write(void *handle)
{
    return export_info_of(handle).can_write;
}

int
flexpage_is_rotational(void *handle)
{
    return export_info_of(handle).is_rotational;
}

/// One pager serves all connections to an image: what one was answered, the others see.
int
flexpage_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

int
flexpage_can_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

int
flexpage_can_extents(void *handle)
{
    (void)handle;
    return 1;
}

int
flexpage_can_fua(void *handle)
{
    return export_info_of(handle).can_write ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

/// A fast zero is answered honestly by the image, which throws EOPNOTSUPP rather than write zeroes out.
int
flexpage_can_fast_zero(void *handle)
{
    return export_info_of(handle).can_write;
}

/// Any byte can be read; whole base pages cost least; 64 MiB is the most that nbdkit carries in one request of data.
int
flexpage_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = 4096;
    *maximum = 64 << 20;
    return 0;
}
