// What nbdkit has loaded: it does not tell its filters. It loads the plugin first, and then the filters, each after
// those below it. So what is loaded when the filter is registered is below it, and that is noted then.

#ifndef FLEXPAGE_BELOW_H
#define FLEXPAGE_BELOW_H

#include <stdbool.h>

/// The plugin's name, from the name of its file: "curl" for nbdkit-curl-plugin.so. "unknown" if no file is named so.
const char *plugin_below_name(void);

/// Notes what is below. Called when the filter is registered.
void below_note(void);

/// Whether the retry filter is below.
bool retry_filter_is_below(void);

/// Whether a filter below waits with nbdkit_nanosleep(3), which fails if the server or the thread's client goes.
bool filter_below_sleeps(void);

#endif
