// The life of what nbdkit has loaded, from load to unload: what the callbacks on nbdkit's main thread do. Because of
// the fork rule (OffMainCall.h), all of it runs as off-main calls or on the keeper's thread.

#ifndef FLEXPAGE_LIFETIME_H
#define FLEXPAGE_LIFETIME_H

#include <stdbool.h>

#include "Interface.h"

/// The help on the options, which nbdkit wants when plugin or filter is registered, before load. Never freed. Ends the
/// process if it cannot be had, because nbdkit expects no failure here. Called before the first thread.
const char *lifetime_help(bool is_filter);

/// Creates the server. Ends the process if that fails, because nbdkit expects no failure of load.
/// `layer` is what a filter serves, and outlives the server; null for a plugin, which serves image files.
void lifetime_load(const struct flexpage_layer *layer);

void lifetime_unload(void);

/// Whether the server has an option with this key.
bool lifetime_has_option(const char *key);

// These return 0, or -1 after the reason has been logged.

int lifetime_config(const char *key, const char *value);
int lifetime_config_complete(void);
int lifetime_get_ready(void);
int lifetime_after_fork(void);

/// Ends serving.
void lifetime_cleanup(void);

/// Whether a filter is served, and not the plugin.
bool lifetime_is_of_filter(void);

/// The server of this process, from load to unload. Any thread.
flexpage_server *lifetime_server(void);

#endif
