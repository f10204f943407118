// The interface between the two halves of the plugin, and of the filter. Hosting, Glue and Filter (C, which know
// nbdkit) make the calls; Adapter (Swift, which knows the pager) implements them. Swift implements these very
// declarations (`@c @implementation`), so the compiler checks both halves against this file. A filter's layer is called
// the other way round: struct flexpage_layer.
//
// Rules:
// - Calls on a server never come from nbdkit's main thread. nbdkit forks after get_ready, and Swift's locks remember
//   thread ids, which are stale in the child's first thread. Glue makes each of these calls on a thread of its own.
// - Calls on a client come from nbdkit's connection threads, which are created after the fork.
// - Calls on a server come one at a time. Calls on a client come from many threads at once.
// - nbdkit's message functions depend on the calling thread. So a call returns its text, and Glue prints it.
// - Reads and writes allocate nothing. The bound of memory= and serving swap depend on this.

#ifndef FLEXPAGE_INTERFACE_H
#define FLEXPAGE_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#define FLEXPAGE_VERSION "0.2.0"

#pragma clang assume_nonnull begin

/// What is served, and how. There is one in the process, from load to unload.
typedef struct flexpage_server flexpage_server;

/// One connection.
typedef struct flexpage_client flexpage_client;

/// The text that a call returns. The reader frees it with free().
struct flexpage_message {
    /// Why the call failed: one sentence for a person. The end of a server can have several, one a line.
    char *_Nullable error;
    /// For the debug log: one or more lines.
    char *_Nullable note;
    /// Warnings for the person who starts the server: one or more lines. Only before the fork, while there is a
    /// terminal.
    char *_Nullable warning;
};

/// The properties of an export that a client learns when it connects.
struct flexpage_export_info {
    int64_t size;
    bool can_write;
    bool is_rotational;
};

/// Receives one extent. `kind` is a value of enum flexpage_extent_kind. Returns false if no more are wanted.
typedef bool (*flexpage_extent_taker)(void *context, uint64_t offset, uint64_t length, int32_t kind);

enum flexpage_extent_kind {
    flexpage_extent_data = 0,
    flexpage_extent_zeroes = 1,
    flexpage_extent_hole = 2,
};

// The layer below a filter. Filter implements these calls, and Adapter makes them, from any thread that does not hold a
// lock. A context is one connection to the layer, as a client would have it.

/// How many calls a layer bears at once: the values are those of nbdkit's thread models.
enum flexpage_layer_model {
    /// One context, and one call at a time.
    flexpage_layer_one_connection = 0,
    /// One call at a time.
    flexpage_layer_one_call = 1,
    /// One call at a time in each context.
    flexpage_layer_one_call_a_context = 2,
    flexpage_layer_parallel = 3,
};

/// What a layer says of itself when a context has been opened. Sizes are in bytes.
struct flexpage_layer_info {
    int64_t size;
    /// What the offset and the length of a request have to be multiples of, what they should be multiples of, and the
    /// largest request; 0 if the layer does not say.
    uint32_t min_block, preferred_block, max_request;
    bool can_write, can_flush, can_zero, can_fast_zero, can_trim, can_extents, can_multi_conn, is_rotational;
};

/// Each call returns 0 or an errno value, unless it says otherwise. A call that `info` does not allow must not be made.
struct flexpage_layer {
    /// What messages call the layer.
    const char *_Nonnull (*_Nonnull name)(void);
    /// Valid after get_ready.
    int32_t (*_Nonnull model)(void);
    /// Returns a context, or null after the layer has logged why there is none.
    void *_Nullable (*_Nonnull open)(const char *export_name, bool is_read_only, struct flexpage_layer_info *info);
    void (*close)(void *context);
    int32_t (*read)(void *context, void *buffer, uint32_t count, uint64_t offset);
    int32_t (*write)(void *context, const void *buffer, uint32_t count, uint64_t offset);
    int32_t (*flush)(void *context);
    int32_t (*zero)(void *context, uint32_t count, uint64_t offset, bool may_trim, bool only_if_fast);
    int32_t (*trim)(void *context, uint32_t count, uint64_t offset);
    int32_t (*extents)(void *context, uint32_t count, uint64_t offset, flexpage_extent_taker take, void *taker_context);
};

// The life of a server. A function that returns bool returns false, with an error in the message, if it fails.

/// Prints one line that a person should see, from any thread.
typedef void (*flexpage_logger)(const char *line);

/// Called before an image is released to other writers. Does not return if it must not be released any more. Any
/// thread.
typedef void (*flexpage_gate)(void);

/// Creates a server without any configuration.
/// `layer` is what a filter serves; null for image files.
flexpage_server *flexpage_server_create(
    const struct flexpage_layer *_Nullable layer, flexpage_logger log, flexpage_gate _Nullable gate);

/// Whether the server has an option with this key. For a filter, which passes all others on.
bool flexpage_server_has_option(flexpage_server *server, const char *key);

/// Takes one key=value of the command line.
bool flexpage_server_configure(
    flexpage_server *server, const char *key, const char *value, struct flexpage_message *message);

/// Checks the configuration as a whole, and memory= against the memory of the machine.
bool flexpage_server_check(flexpage_server *server, struct flexpage_message *message);

/// Opens the image, or checks the images that are opened when clients come. Called before the fork, because nbdkit
/// changes the user and the directory of the process later.
bool flexpage_server_open_image(flexpage_server *server, struct flexpage_message *message);

/// Whether the server's threads should be scheduled as SCHED_BATCH, whatever else the machine does.
bool flexpage_server_is_batch(flexpage_server *server);

/// Whether the server's threads should be scheduled as flexpage_server_prefers_batch says.
bool flexpage_server_is_auto(flexpage_server *server);

/// What the kernel says about the threads in a stretch of time: how often one went to sleep, how often one was
/// preempted, and for how many microseconds they ran, and waited for a processor, in all.
struct flexpage_turns {
    uint64_t voluntary, involuntary, ran, waited;
};

/// Whether the threads should be SCHED_BATCH from now on, after these turns since the last call. Called by one thread,
/// from when the server serves until serving ends.
bool flexpage_server_prefers_batch(flexpage_server *server, struct flexpage_turns turns);

/// Seconds that the last will may take; 0 for no last will.
uint32_t flexpage_server_last_will(flexpage_server *server);

/// The outcome of a last will: numbers of base pages, and errno values.
struct flexpage_will {
    uint64_t brought_out;
    uint64_t failed;
    uint64_t passed_over;
    uint64_t broken;
    int32_t error;
    int32_t sync_error;
};

/// Executes the last will: writes dirty data to the image and syncs it, whatever locks other threads hold. Any thread
/// may call it from when the server serves until it is destroyed, even during another call. Does nothing once serving
/// has ended. Allocates nothing.
///
/// `keep_alive` is called at the beginning with the word of the kept state that says when the process was last alive,
/// in nanoseconds of CLOCK_REALTIME, if there is one. Another thread stores the time there, so that the next server
/// does not take the will's writes for another program's. At the end it is called with null.
void flexpage_server_bring_out(
    flexpage_server *server, struct flexpage_will *outcome, void (*keep_alive)(uint64_t *_Nullable word));

enum { flexpage_max_descriptors = 8 + 3 * 1024 };

/// Stores the descriptors of the open image, or of the directory of images, in `descriptors`, which has
/// room for flexpage_max_descriptors. Returns their number. A process that only starts the server must close them,
/// because a lock or a claim lasts as long as any copy is open.
int32_t flexpage_server_descriptors(flexpage_server *server, int32_t *descriptors);

/// Allocates the memory and starts serving. Called after the fork, because threads and locks do not survive a fork.
bool flexpage_server_begin(flexpage_server *server, struct flexpage_message *message);

/// Writes everything dirty to the image and makes it durable, unless nothing was written since the last such call.
/// Clients may be connected. Returns false if that fails.
bool flexpage_server_flush_if_changed(flexpage_server *server);

/// After a quit signal: whether nothing was done for any image for the time of end-time=, although data is left, or a
/// request or a connecting client waits for a disk. The message's error says which. `now` is in seconds of a clock that
/// is never set back. Call it after each flexpage_server_flush_if_changed.
bool flexpage_server_gives_up(flexpage_server *server, int64_t now, struct flexpage_message *message);

/// Ends serving, after one last flush. The message's error says what could not be written. Clients that are still
/// connected are not served any more, and nbdkit calls no close for them. Does nothing if the server never began.
bool flexpage_server_end(flexpage_server *server, struct flexpage_message *message);

/// Whether flexpage_server_end has given up on a disk that hangs. Threads still use what serves, so nothing may be
/// destroyed: the process has to end.
bool flexpage_server_has_given_up(flexpage_server *server);

/// Destroys the server. Nothing may use it or its clients afterwards.
void flexpage_server_destroy(flexpage_server *server);

/// The options' part of --help, in lines. The caller frees it.
char *_Nullable flexpage_config_help(bool is_filter);

/// The maximum number of bytes of one request.
enum { flexpage_max_request = 64 << 20 };

/// The plugin's part of --dump-plugin, in lines of key=value. The caller frees it.
char *_Nullable flexpage_plugin_dump(void);

// Names. Any thread may make these calls while the server serves, except nbdkit's main thread.

/// Receives the name of one export.
typedef void (*flexpage_name_taker)(void *context, const char *name);

/// Gives `take` the names of all exports in order, and returns 1. Returns 0 if one image is served under every name,
/// and -1, with an error in the message, if the names cannot be listed.
int32_t flexpage_server_list_exports(
    flexpage_server *server, flexpage_name_taker take, void *context, struct flexpage_message *message);

/// The name of the export for clients that name none; empty if there is none. The caller frees it.
char *_Nullable flexpage_server_default_export(flexpage_server *server);

// Connections. `export_name` is what the client calls the image, and may be empty. `is_read_only` says whether nbdkit
// serves read-only (-r).

/// Returns null, with an error in the message, if the client is refused. Otherwise the message may have a note.
flexpage_client *_Nullable flexpage_client_open(
    flexpage_server *server, const char *export_name, bool is_read_only, struct flexpage_message *message);
void flexpage_client_close(flexpage_client *client);
void flexpage_client_export_info(flexpage_client *client, struct flexpage_export_info *info);

/// The counters of the whole server, as text. The caller frees it.
char *_Nullable flexpage_client_counters(flexpage_client *client);

// Requests. Each returns 0, or the errno value with which this request alone fails.

int32_t flexpage_client_read(flexpage_client *client, void *buffer, uint32_t count, uint64_t offset);
int32_t flexpage_client_cache(flexpage_client *client, uint32_t count, uint64_t offset);
int32_t flexpage_client_extents(
    flexpage_client *client, uint32_t count, uint64_t offset, flexpage_extent_taker take, void *context);
int32_t flexpage_client_write(
    flexpage_client *client, const void *buffer, uint32_t count, uint64_t offset, bool is_forced);

/// Whether `error`, with which a write or a flush has failed, keeps every write off the image at present. Such an error
/// is logged once when it begins and once when it ends.
bool flexpage_client_is_known_trouble(flexpage_client *client, int32_t error);

int32_t flexpage_client_flush(flexpage_client *client);
int32_t flexpage_client_zero(
    flexpage_client *client, uint32_t count, uint64_t offset, bool may_trim, bool only_if_fast, bool is_forced);
int32_t flexpage_client_trim(flexpage_client *client, uint32_t count, uint64_t offset, bool is_forced);

#pragma clang assume_nonnull end

#endif
