// What the two sides of the plugin say to each other: Glue (C, which knows nbdkit) calls, Adapter (Swift, which knows
// the pager) answers. Swift implements these very declarations (`@c @implementation`), so that both sides are checked
// against this file.
//
// Rules:
// - The calls on a server never come from nbdkit's main thread. nbdkit forks after get_ready, and Swift's locks
//   remember thread ids that are stale in the forked child's first thread; Glue runs each of them on a thread of its
//   own. The calls on a client come from nbdkit's threads for connections, which are all younger than the fork.
// - Calls on a server come one at a time. Calls on a client come from many threads at once.
// - nbdkit's functions for messages know the calling thread; so a call hands its text back, and Glue prints it.
// - Nothing on the way of a read or a write allocates, as the promise of memory= and serving swap depend on it.

#ifndef FLEXPAGE_INTERFACE_H
#define FLEXPAGE_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#define FLEXPAGE_VERSION "0.2.0"

#pragma clang assume_nonnull begin

/// What is served and how: one for the process, from load to unload.
typedef struct flexpage_server flexpage_server;

/// One connection.
typedef struct flexpage_client flexpage_client;

/// The text a call hands back. Whoever reads it frees it, with free().
struct flexpage_message {
    /// Why the call failed: one sentence, for a person.
    char *_Nullable error;
    /// What is good to know when looking for trouble: one or more lines.
    char *_Nullable note;
    /// What a person should see though nothing fails: one or more lines. Only before the fork, while there is a
    /// terminal.
    char *_Nullable warning;
};

/// What a client is told of its export while it connects.
struct flexpage_export_info {
    int64_t size;
    bool can_write;
    bool is_rotational;
};

/// Takes one extent; `kind` is one of enum flexpage_extent_kind. Returns false when no more are wanted.
typedef bool (*flexpage_extent_taker)(void *context, uint64_t offset, uint64_t length, int32_t kind);

enum flexpage_extent_kind {
    flexpage_extent_data = 0,
    flexpage_extent_zeroes = 1,
    flexpage_extent_hole = 2,
};

// The life of a server. What returns bool returns false, and an error in the message, where it fails.

/// Prints one line that a person should see, from any thread.
typedef void (*flexpage_logger)(const char *line);

/// Called before an image is let go, for other writers to have; does not return where that must not be any more. Any
/// thread.
typedef void (*flexpage_gate)(void);

/// A server with nothing configured.
flexpage_server *flexpage_server_create(flexpage_logger log, flexpage_gate _Nullable gate);

/// Takes one key=value of the command line.
bool flexpage_server_configure(
    flexpage_server *server, const char *key, const char *value, struct flexpage_message *message);

/// Checks what was configured as a whole, and against the memory of the machine.
bool flexpage_server_check(flexpage_server *server, struct flexpage_message *message);

/// Opens the image. Before the fork: later the process may be another user's, in another directory.
bool flexpage_server_open_image(flexpage_server *server, struct flexpage_message *message);

/// Whether the server's threads are to be scheduled as SCHED_BATCH.
bool flexpage_server_is_batch(flexpage_server *server);

/// Seconds that the last will may take; 0 where there is to be none.
uint32_t flexpage_server_last_will(flexpage_server *server);

/// What became of a last will: base pages, and errno values.
struct flexpage_will {
    uint64_t brought_out;
    uint64_t failed;
    uint64_t passed_over;
    uint64_t broken;
    int32_t error;
    int32_t sync_error;
};

/// Brings what is dirty to the images, and syncs them, whatever the other threads of the process hold or do. From any
/// thread, once it serves and until it is destroyed; the rule of one call at a time does not hold for it. Allocates
/// nothing.
void flexpage_server_bring_out(flexpage_server *server, struct flexpage_will *outcome);

enum { flexpage_max_descriptors = 4 };

/// The descriptors of the open image, that which claims a block device among them: a process that only starts the
/// server must not keep them, as a lock or a claim lasts as long as any copy. Puts them into `descriptors`, which has
/// room for flexpage_max_descriptors, and returns how many there are.
int32_t flexpage_server_descriptors(flexpage_server *server, int32_t *descriptors);

/// Takes the memory and starts serving. After the fork: threads and locks do not survive one.
bool flexpage_server_begin(flexpage_server *server, struct flexpage_message *message);

/// Brings to the image, durably, what was written and is not there yet, as far as something has been written since the
/// last such call. Clients may be there. Returns false where that fails.
bool flexpage_server_flush_if_changed(flexpage_server *server);

/// Brings everything to its end: what was written is brought to the image. Says in the message what could not be.
/// Clients that are still there are not served any more; nbdkit calls no close for them. Does no harm to a server that
/// never began.
bool flexpage_server_end(flexpage_server *server, struct flexpage_message *message);

/// Releases the server. Nothing may use it or its clients afterwards.
void flexpage_server_destroy(flexpage_server *server);

/// The least memory= that can serve, in bytes.
uint64_t flexpage_min_memory(void);

/// What --help says of the options, in lines; to be freed.
char *_Nullable flexpage_config_help(void);

// A connection. `is_read_only` says that nbdkit was told to serve read-only.

/// Null, and an error in the message, where the client is refused. A note may be in it where not.
flexpage_client *_Nullable flexpage_client_open(
    flexpage_server *server, bool is_read_only, struct flexpage_message *message);
void flexpage_client_close(flexpage_client *client);
void flexpage_client_export_info(flexpage_client *client, struct flexpage_export_info *info);

/// The counters of the whole server, in words; to be freed.
char *_Nullable flexpage_client_counters(flexpage_client *client);

// Data. Each returns 0, or the errno value that this request, and it alone, fails with.

int32_t flexpage_client_read(flexpage_client *client, void *buffer, uint32_t count, uint64_t offset);
int32_t flexpage_client_cache(flexpage_client *client, uint32_t count, uint64_t offset);
int32_t flexpage_client_extents(
    flexpage_client *client, uint32_t count, uint64_t offset, flexpage_extent_taker take, void *context);
int32_t flexpage_client_write(
    flexpage_client *client, const void *buffer, uint32_t count, uint64_t offset, bool is_forced);

/// Whether `error`, which a request that writes or flushes has ended with, is what keeps all of them from the image:
/// that is logged once when it begins and once when it ends.
bool flexpage_client_is_known_trouble(flexpage_client *client, int32_t error);

int32_t flexpage_client_flush(flexpage_client *client);
int32_t flexpage_client_zero(
    flexpage_client *client, uint32_t count, uint64_t offset, bool may_trim, bool only_if_fast, bool is_forced);
int32_t flexpage_client_trim(flexpage_client *client, uint32_t count, uint64_t offset, bool is_forced);

#pragma clang assume_nonnull end

#endif
