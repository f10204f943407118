#include "Requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "LastWill.h"

/// The error as NBD can express it. nbdkit turns errors that it does not know into "invalid argument", which blames the
/// client, but media fail with ENODATA, EREMOTEIO, ETIMEDOUT, EILSEQ and more.
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

/// The error for the reply, given the result of the call.
static int32_t finish(int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    if (error == 0)
        return 0;
    // An unsupported zero is not a failure: nbdkit or the client writes zeroes instead.
    if (error != EOPNOTSUPP)
        nbdkit_error("%s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    return wire_error(error);
}

/// The same for a request that writes or flushes. An error that keeps every write off the image is logged once when it
/// begins and once when it ends, not for each request. Does not return while the last will is being executed.
static int32_t finish_writing(flexpage_client *client, int32_t error, const char *what, uint32_t count, uint64_t offset)
{
    last_will_hold();
    if (error == 0 || !flexpage_client_is_known_trouble(client, error))
        return finish(error, what, count, offset);
    nbdkit_debug("flexpage: %s of %" PRIu32 " bytes at %" PRIu64 " failed: %s", what, count, offset, strerror(error));
    return wire_error(error);
}

int32_t request_read(flexpage_client *client, void *buffer, uint32_t count, uint64_t offset)
{
    signal_stack_prepare();
    return finish(flexpage_client_read(client, buffer, count, offset), "a read", count, offset);
}

int32_t request_cache(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    // No flags are defined today. A request with an unknown one must fail.
    int32_t error = flags != 0 ? EINVAL : flexpage_client_cache(client, count, offset);
    return finish(error, "a cache request", count, offset);
}

int32_t request_write(flexpage_client *client, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_write(client, buffer, count, offset, is_forced);
    return finish_writing(client, error, "a write", count, offset);
}

int32_t request_flush(flexpage_client *client)
{
    signal_stack_prepare();
    return finish_writing(client, flexpage_client_flush(client), "a flush", 0, 0);
}

int32_t request_zero(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool may_trim = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;
    bool only_if_fast = (flags & NBDKIT_FLAG_FAST_ZERO) != 0;
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    int32_t error = flexpage_client_zero(client, count, offset, may_trim, only_if_fast, is_forced);
    return finish_writing(client, error, "a zero", count, offset);
}

int32_t request_trim(flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags)
{
    signal_stack_prepare();
    bool is_forced = (flags & NBDKIT_FLAG_FUA) != 0;
    return finish_writing(client, flexpage_client_trim(client, count, offset, is_forced), "a trim", count, offset);
}

/// Where extents are stored, and whether one is enough.
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

int32_t request_extents(
    flexpage_client *client, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    signal_stack_prepare();
    struct extent_sink sink = {.extents = extents, .only_one = (flags & NBDKIT_FLAG_REQ_ONE) != 0};
    int32_t error = flexpage_client_extents(client, count, offset, take_extent, &sink);
    return finish(error != 0 ? error : sink.error, "a block status request", count, offset);
}
