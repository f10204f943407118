// Requests for data, as nbdkit makes them of a filter.

#include "Requests.h"

#include <errno.h>

#include "Filter.h"

/// The result of a callback.
static int answer(int32_t result, int *error)
{
    if (result == 0)
        return 0;
    *error = result;
    return -1;
}

int filter_pread(
    nbdkit_next *next, void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
    (void)next, (void)flags;
    return answer(request_read(handle, buffer, count, offset), error);
}

int filter_pwrite(
    nbdkit_next *next, void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
    (void)next;
    return answer(request_write(handle, buffer, count, offset, flags), error);
}

int filter_flush(nbdkit_next *next, void *handle, uint32_t flags, int *error)
{
    (void)next, (void)flags;
    return answer(request_flush(handle), error);
}

int filter_trim(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
    (void)next;
    return answer(request_trim(handle, count, offset, flags), error);
}

int filter_zero(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
    (void)next;
    int32_t result = request_zero(handle, count, offset, flags);
    // nbdkit aborts if a filter answers so to what need not be fast.
    if (result == EOPNOTSUPP && (flags & NBDKIT_FLAG_FAST_ZERO) == 0)
        result = EIO;
    return answer(result, error);
}

int filter_extents(
    nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents,
    int *error)
{
    (void)next;
    return answer(request_extents(handle, count, offset, flags, extents), error);
}

int filter_cache(nbdkit_next *next, void *handle, uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
    (void)next;
    return answer(request_cache(handle, count, offset, flags), error);
}
