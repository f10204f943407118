// The layer below the filter: the plugin, or another filter.

#ifndef FLEXPAGE_LAYER_H
#define FLEXPAGE_LAYER_H

#include "Filter.h"

/// The layer, for the server.
extern const struct flexpage_layer layer_below;

/// Called in get_ready, before the fork.
void layer_set_model(int thread_model);

/// Called in after_fork, before serving begins.
void layer_set_backend(nbdkit_backend *backend);

/// Notes a key that is passed on. A few say that the layer chooses what to serve by the name of the export.
void layer_note_key(const char *key, const char *value);

/// Why clients cannot be served from this layer, in a sentence, or null. Called in config_complete, when all keys have
/// been noted.
const char *layer_refusal(void);

/// Notes the name that a client gives. If a script is below, which might mean something by it, the log says once that
/// the script is not told.
void layer_note_name(const char *export_name);

/// What the layer says of itself, or null. Valid as long as the process lives. A client has been let in.
const char *layer_description(void);

/// To be held while something else than a context of the layer is called. nbdkit's own lock does not keep the filter's
/// threads out of a plugin that bears one call at a time.
void layer_lock(void);
void layer_unlock(void);

#endif
