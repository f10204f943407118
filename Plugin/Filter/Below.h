// What nbdkit has loaded: it does not tell its filters. It loads the plugin first, and then the filters, each after
// those below it. So what is loaded when the filter is registered is below it.

#ifndef FLEXPAGE_BELOW_H
#define FLEXPAGE_BELOW_H

#include <stdbool.h>

/// The plugin's name, from the name of its file: "curl" for nbdkit-curl-plugin.so. "unknown" if no file is named so.
const char *plugin_below_name(void);

/// Whether the filter with this name is loaded.
bool filter_is_loaded(const char *name);

#endif
