// Requests for data, as nbdkit makes them of a plugin.

#include "Requests.h"

#include "Callbacks.h"

/// The result of a callback. nbdkit puts the error into the reply.
static int answer(int32_t error)
{
    if (error == 0)
        return 0;
    nbdkit_set_error(error);
    return -1;
}

int flexpage_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    return answer(request_read(handle, buffer, count, offset));
}

int flexpage_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return answer(request_cache(handle, count, offset, flags));
}

int flexpage_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    return answer(request_write(handle, buffer, count, offset, flags));
}

int flexpage_flush(void *handle, uint32_t flags)
{
    (void)flags;
    return answer(request_flush(handle));
}

int flexpage_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return answer(request_zero(handle, count, offset, flags));
}

int flexpage_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return answer(request_trim(handle, count, offset, flags));
}

int flexpage_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    return answer(request_extents(handle, count, offset, flags, extents));
}
