// Connections: a client connects, learns the properties of the export, and disconnects. What concerns names is asked of
// the layer below; a connection opens nothing there.

#include <stdbool.h>
#include <stddef.h>

#include "Connection.h"
#include "Filter.h"
#include "Layer.h"

int filter_preconnect(nbdkit_next_preconnect *next, nbdkit_backend *backend, int readonly)
{
    layer_lock();
    int result = next(backend, readonly);
    layer_unlock();
    return result;
}

int filter_list_exports(
    nbdkit_next_list_exports *next, nbdkit_backend *backend, int readonly, int is_tls, struct nbdkit_exports *exports)
{
    (void)is_tls;
    layer_lock();
    int result = next(backend, readonly, exports);
    layer_unlock();
    return result;
}

const char *filter_default_export(nbdkit_next_default_export *next, nbdkit_backend *backend, int readonly, int is_tls)
{
    (void)is_tls;
    layer_lock();
    const char *name = next(backend, readonly);
    layer_unlock();
    return name;
}

void *filter_open(nbdkit_next_open *next, nbdkit_context *context, int readonly, const char *exportname, int is_tls)
{
    (void)next, (void)context, (void)is_tls;
    flexpage_client *client = connection_open(exportname, readonly != 0);
    if (client != NULL)
        layer_note_name(exportname);
    return client;
}

void filter_close(void *handle) { connection_close(handle); }

int filter_prepare(nbdkit_next *next, void *handle, int readonly)
{
    (void)next, (void)handle, (void)readonly;
    return 0;
}

int filter_finalize(nbdkit_next *next, void *handle)
{
    (void)next, (void)handle;
    return 0;
}

int64_t filter_get_size(nbdkit_next *next, void *handle)
{
    (void)next;
    return connection_info(handle).size;
}

const char *filter_export_description(nbdkit_next *next, void *handle)
{
    (void)next, (void)handle;
    return layer_description();
}

/// Any byte can be read, whole base pages cost least, and nbdkit transfers at most 64 MiB in one request.
int filter_block_size(nbdkit_next *next, void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)next, (void)handle;
    *minimum = 1;
    *preferred = 4096;
    *maximum = flexpage_max_request;
    return 0;
}

int filter_can_write(nbdkit_next *next, void *handle)
{
    (void)next;
    return connection_info(handle).can_write;
}

int filter_can_zero(nbdkit_next *next, void *handle)
{
    (void)next;
    return connection_info(handle).can_write ? NBDKIT_ZERO_NATIVE : NBDKIT_ZERO_NONE;
}

int filter_can_fua(nbdkit_next *next, void *handle)
{
    (void)next;
    return connection_info(handle).can_write ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

int filter_can_cache(nbdkit_next *next, void *handle)
{
    (void)next, (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

int filter_is_rotational(nbdkit_next *next, void *handle)
{
    (void)next;
    return connection_info(handle).is_rotational;
}

int filter_can(nbdkit_next *next, void *handle)
{
    (void)next, (void)handle;
    return 1;
}
