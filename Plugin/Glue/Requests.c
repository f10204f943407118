// Requests for data. A request's error is that request's: logged, and handed to nbdkit for its reply.

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "Callbacks.h"
#include "LastWill.h"

/// The error as NBD can say it. nbdkit calls all that it does not know "invalid argument", as if the client were to
/// blame; but media fail with ENODATA, EREMOTEIO, ETIMEDOUT, EILSEQ and more.
static int wire_error(int error)
{
    switch (error) {
    case EROFS:
    case EPERM:
    case ENOMEM:
    case EINVAL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ESHUTDOWN:
    case EOPNOTSUPP:
    case EOVERFLOW: return error;
    default: return EIO;
    }
}

/// What a data callback returns, given what the call returned.
static int finish(int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0)
        return 0;
    // A zero that cannot be done is no failure: nbdkit, or the client, writes zeroes instead.
    if (error != EOPNOTSUPP)
        nbdkit_error("%s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    nbdkit_set_error(wire_error(error));
    return -1;
}

/// The same for a request that writes or flushes. What keeps all of them from the image is logged when it begins and
/// when it ends, not for each that it fails. When the last will is being executed it does not return.
static int finish_writing(void *handle, int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    last_will_hold();
    if (error == 0 || !flexpage_client_is_known_trouble(handle, error))
        return finish(error, what, count, offset);
    nbdkit_debug("flexpage: %s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    nbdkit_set_error(wire_error(error));
    return -1;
}

int flexpage_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    (void)flags;
    return finish(flexpage_client_read(handle, buffer, count, offset), "a read", count, offset);
}

int flexpage_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    // nbdkit has none to send today, and one that is not understood must fail.
    int32_t error = flags != 0 ? EINVAL : flexpage_client_cache(handle, count, offset);
    return finish(error, "a cache request", count, offset);
}

int flexpage_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_write(handle, buffer, count, offset, is_forced);
    return finish_writing(handle, error, "a write", count, offset);
}

int flexpage_flush(void *handle, uint32_t flags)
{
    signal_stack_prepare();
    (void)flags;
    return finish_writing(handle, flexpage_client_flush(handle), "a flush", 0, 0);
}

int flexpage_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool may_trim = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;
    bool only_if_fast = (flags & NBDKIT_FLAG_FAST_ZERO) != 0;
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_zero(handle, count, offset, may_trim, only_if_fast, is_forced);
    return finish_writing(handle, error, "a zero", count, offset);
}

int flexpage_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    return finish_writing(handle, flexpage_client_trim(handle, count, offset, is_forced), "a trim", count, offset);
}

/// Where extents go, and whether one is enough.
struct extent_sink {
    struct nbdkit_extents *extents;
    bool only_one;
    int error;
};

static bool take_extent(void *context, uint64_t offset, uint64_t length, int32_t kind)
{
    static const uint32_t types[] = {
        [flexpage_extent_data] = 0,
        [flexpage_extent_zeroes] = NBDKIT_EXTENT_ZERO,
        [flexpage_extent_hole] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
    };
    struct extent_sink *sink = context;
    if (nbdkit_add_extent(sink->extents, offset, length, types[kind]) == -1)
        sink->error = errno;
    return sink->error == 0 && !sink->only_one;
}

int flexpage_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    signal_stack_prepare();
    struct extent_sink sink = {.extents = extents, .only_one = (flags & NBDKIT_FLAG_REQ_ONE) != 0};
    int32_t error = flexpage_client_extents(handle, count, offset, take_extent, &sink);
    return finish(error != 0 ? error : sink.error, "a block status request", count, offset);
}
