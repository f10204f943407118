// The callbacks that the plugin gives to nbdkit. nbdkit-plugin(3) specifies each of them.

#ifndef FLEXPAGE_CALLBACKS_H
#define FLEXPAGE_CALLBACKS_H

#include <stdint.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "Interface.h"

// Lifetime.c: called on nbdkit's main thread.

void flexpage_load(void);
void flexpage_unload(void);
int flexpage_config(const char *key, const char *value);
int flexpage_config_complete(void);
int flexpage_get_ready(void);
int flexpage_after_fork(void);
void flexpage_cleanup(void);
void flexpage_dump_plugin(void);

// Connection.c: called on a connection's threads.

int flexpage_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports);
const char *flexpage_default_export(int readonly, int is_tls);
void *flexpage_open(int readonly);
void flexpage_close(void *handle);
int64_t flexpage_get_size(void *handle);
int flexpage_can_write(void *handle);
int flexpage_is_rotational(void *handle);
int flexpage_can_multi_conn(void *handle);
int flexpage_can_cache(void *handle);
int flexpage_can_extents(void *handle);
int flexpage_can_fua(void *handle);
int flexpage_can_fast_zero(void *handle);
int flexpage_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum);

// Requests.c: called on a connection's threads, many at once.

int flexpage_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags);
int flexpage_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int flexpage_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags);
int flexpage_flush(void *handle, uint32_t flags);
int flexpage_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int flexpage_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int flexpage_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents);

#endif
