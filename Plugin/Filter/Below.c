#define _GNU_SOURCE

#include "Below.h"

#include <link.h>
#include <stdio.h>
#include <string.h>

static char name_below[64];
static bool sleeps, retries;

/// The last part of an object's path.
static const char *file_of(const struct dl_phdr_info *information)
{
    const char *slash = strrchr(information->dlpi_name, '/');
    return slash != NULL ? slash + 1 : information->dlpi_name;
}

/// Takes the name out of the path of a loaded object, if it is a plugin's. Returns 1 then, which ends the search.
static int take_name(struct dl_phdr_info *information, size_t size, void *unused)
{
    (void)size, (void)unused;
    static const char prefix[] = "nbdkit-", suffix[] = "-plugin.so";
    const char *begin = strstr(file_of(information), prefix);
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
    if (name_below[0] == '\0' && dl_iterate_phdr(take_name, NULL) == 0)
        strcpy(name_below, "unknown");
    return name_below;
}

/// Returns 1 if the object is the file `name`.
static int is_file(struct dl_phdr_info *information, size_t size, void *name)
{
    (void)size;
    return strcmp(file_of(information), name) == 0;
}

/// Whether the filter with this name is loaded.
static bool filter_is_loaded(const char *name)
{
    char file[128];
    snprintf(file, sizeof file, "nbdkit-%s-filter.so", name);
    return dl_iterate_phdr(is_file, file) != 0;
}

void below_note(void)
{
    static const char *const sleepers[] = {"delay", "rate", "retry", "retry-request"};
    plugin_below_name();
    for (size_t index = 0; index < sizeof sleepers / sizeof sleepers[0]; index++)
        sleeps = sleeps || filter_is_loaded(sleepers[index]);
    retries = filter_is_loaded("retry");
}

bool retry_filter_is_below(void) { return retries; }

bool filter_below_sleeps(void) { return sleeps; }
