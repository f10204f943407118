// Connections, as plugin and filter serve them. Called on a connection's threads.

#ifndef FLEXPAGE_CONNECTION_H
#define FLEXPAGE_CONNECTION_H

#include <stdbool.h>

#include "Interface.h"

/// Lets a client in that calls the export `name`. Returns null after it has logged which client is refused, and why.
flexpage_client *connection_open(const char *name, bool is_read_only);

void connection_close(flexpage_client *client);

/// The properties of the export that the client has.
struct flexpage_export_info connection_info(flexpage_client *client);

#endif
