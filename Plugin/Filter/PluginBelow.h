// Which plugin nbdkit has loaded: nbdkit does not tell its filters.

#ifndef FLEXPAGE_PLUGINBELOW_H
#define FLEXPAGE_PLUGINBELOW_H

/// The plugin's name, from the name of its file: "curl" for nbdkit-curl-plugin.so. "unknown" if no file is named so.
const char *plugin_below_name(void);

#endif
