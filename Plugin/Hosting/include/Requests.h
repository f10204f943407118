// Requests for data, as plugin and filter answer them. An error concerns only its request: it is logged, and returned
// for the reply.
//
// Called on a connection's threads, many at once. Each function returns 0, or an errno value that NBD can express.
// `flags` are nbdkit's.

#ifndef FLEXPAGE_REQUESTS_H
#define FLEXPAGE_REQUESTS_H

#include <stdint.h>

#include "Interface.h"

struct nbdkit_extents;

int32_t request_read(flexpage_client *client, void *buffer, uint32_t count, uint64_t offset);
int32_t request_cache(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags);
int32_t request_write(flexpage_client *client, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags);
int32_t request_flush(flexpage_client *client);
int32_t request_zero(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags);
int32_t request_trim(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags);
int32_t request_extents(
    flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents);

#endif
