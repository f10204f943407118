// The callbacks that the filter gives to nbdkit. nbdkit-filter(3) specifies each of them.
//
// A connection has no context of its own below: the server has contexts that all connections share (Layer.c). So nbdkit
// must find every callback here; for one that is missing it would call the next layer's through a null pointer.

#ifndef FLEXPAGE_FILTER_H
#define FLEXPAGE_FILTER_H

#include <stdint.h>

#include <nbdkit-filter.h>

#include "Interface.h"

// FilterLife.c: called on nbdkit's main thread.

void filter_load(void);
void filter_unload(void);
int filter_config(nbdkit_next_config *next, nbdkit_backend *backend, const char *key, const char *value);
int filter_config_complete(nbdkit_next_config_complete *next, nbdkit_backend *backend);
int filter_get_ready(int thread_model);
int filter_after_fork(nbdkit_backend *backend);
void filter_cleanup(nbdkit_backend *backend);

// FilterConnection.c: called on a connection's threads.

int filter_preconnect(nbdkit_next_preconnect *next, nbdkit_backend *backend, int readonly);
int filter_list_exports(
    nbdkit_next_list_exports *next, nbdkit_backend *backend, int readonly, int is_tls, struct nbdkit_exports *exports);
const char *filter_default_export(nbdkit_next_default_export *next, nbdkit_backend *backend, int readonly, int is_tls);
void *filter_open(nbdkit_next_open *next, nbdkit_context *context, int readonly, const char *exportname, int is_tls);
void filter_close(void *handle);
int filter_prepare(nbdkit_next *next, void *handle, int readonly);
int filter_finalize(nbdkit_next *next, void *handle);
int64_t filter_get_size(nbdkit_next *next, void *handle);
const char *filter_export_description(nbdkit_next *next, void *handle);
int filter_block_size(nbdkit_next *next, void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum);
int filter_can_write(nbdkit_next *next, void *handle);
int filter_can_zero(nbdkit_next *next, void *handle);
int filter_can_fua(nbdkit_next *next, void *handle);
int filter_can_cache(nbdkit_next *next, void *handle);
int filter_is_rotational(nbdkit_next *next, void *handle);
/// For what is always possible.
int filter_can(nbdkit_next *next, void *handle);

// FilterRequests.c: called on a connection's threads, many at once.

int filter_pread(
    nbdkit_next *next, void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags, int *error);
int filter_pwrite(
    nbdkit_next *next, void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags, int *error);
int filter_flush(nbdkit_next *next, void *handle, uint32_t flags, int *error);
int filter_trim(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error);
int filter_zero(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error);
int filter_extents(
    nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents,
    int *error);
int filter_cache(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error);

#endif
