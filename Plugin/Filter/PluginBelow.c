#define _GNU_SOURCE

#include "PluginBelow.h"

#include <link.h>
#include <stdio.h>
#include <string.h>

static char name_below[64];

/// Takes the name out of the path of a loaded object, if it is a plugin's. Returns 1 then, which ends the search.
static int take_name(struct dl_phdr_info *information, size_t size, void *unused)
{
    (void)size, (void)unused;
    static const char prefix[] = "nbdkit-", suffix[] = "-plugin.so";
    const char *file = strrchr(information->dlpi_name, '/');
    const char *begin = strstr(file != NULL ? file : information->dlpi_name, prefix);
    if (begin == NULL)
        return 0;
    begin += strlen(prefix);
    const char *end = strstr(begin, suffix);
    if (end == NULL)
        return 0;
    snprintf(name_below, sizeof name_below, "%.*s", (int)(end - begin), begin);
    return 1;
}

const char *plugin_below_name(void)
{
    // nbdkit loads the plugin before its filters, and on the same thread.
    if (name_below[0] == '\0' && dl_iterate_phdr(take_name, NULL) == 0)
        strcpy(name_below, "unknown");
    return name_below;
}
