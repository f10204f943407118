#include "Connection.h"

#include <stdlib.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "CSignalStack.h"
#include "Lifetime.h"
#include "OffMainCall.h"
#include "Peer.h"

/// -D flexpage.verbose=1 logs the counters whenever a client connects or disconnects. Exported: nbdkit looks it up by
/// name.
extern int flexpage_debug_verbose;
int flexpage_debug_verbose = 0;

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

flexpage_client *connection_open(const char *name, bool is_read_only)
{
    signal_stack_prepare();
    struct flexpage_message message = {0};
    flexpage_client *client = flexpage_client_open(lifetime_server(), name, is_read_only, &message);
    if (client == NULL)
        refuse(&message);
    message_print(&message);
    if (client != NULL)
        tell_counters("client connected", client);
    return client;
}

void connection_close(flexpage_client *client)
{
    tell_counters("client disconnecting", client);
    flexpage_client_close(client);
}

struct flexpage_export_info connection_info(flexpage_client *client)
{
    struct flexpage_export_info info = {0};
    flexpage_client_export_info(client, &info);
    return info;
}
