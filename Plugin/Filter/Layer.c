#include "Layer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "Below.h"
#include "Keeper.h"
#include "LayerCall.h"

// Written on the main thread before any other thread reads them.

static int model = NBDKIT_THREAD_MODEL_PARALLEL;
static nbdkit_backend *backend_below;
/// A key that says that the layer chooses by the name of the export, with its value; empty if there was none.
static char choosing_key[64];
/// Whether it only judges the names.
static bool is_only_judging;

static pthread_mutex_t one_call = PTHREAD_MUTEX_INITIALIZER;

void layer_set_model(int thread_model) { model = thread_model; }

void layer_set_backend(nbdkit_backend *backend) { backend_below = backend; }

/// Layers of which each client may get another content, or none. A context that all clients share belongs to no client,
/// so it has no name: some of these plugins end the process then.
static const struct choice {
    /// The plugin; null for any.
    const char *plugin;
    /// The key that makes it so, and the value; null for any.
    const char *key, *value;
    /// Whether the key makes it so only if its value is true.
    bool is_switch;
    /// Whether each client that is let in gets the same.
    bool is_judging;
} choosing[] = {
    {.plugin = "file", .key = "dir"},
    {.plugin = "file", .key = "dirfd"},
    {.plugin = "nbd", .key = "dynamic-export", .is_switch = true},
    {.plugin = "ondemand"},
    {.plugin = "info"},
    {.plugin = "tmpdisk"},
    {.key = "ext2file", .value = "exportname"},
    {.key = "exportname-strict", .is_switch = true, .is_judging = true},
    {.key = "exportname_strict", .is_switch = true, .is_judging = true},
};

enum { choosing_count = sizeof choosing / sizeof choosing[0] };

static bool is_plugin(const char *name) { return name == NULL || strcmp(name, plugin_below_name()) == 0; }

/// A value that is neither true nor false is refused by the layer that has the key.
static bool is_true(const char *value)
{
    static const char *const words[] = {"1", "true", "t", "yes", "y", "on"};
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++)
        if (strcasecmp(value, words[index]) == 0)
            return true;
    return false;
}

static bool is_meant(const struct choice *choice, const char *key, const char *value)
{
    return choice->key != NULL && strcmp(key, choice->key) == 0 && is_plugin(choice->plugin)
        && (choice->value == NULL || strcmp(value, choice->value) == 0) && (!choice->is_switch || is_true(value));
}

void layer_note_key(const char *key, const char *value)
{
    for (size_t index = 0; index < choosing_count; index++) {
        if (!is_meant(&choosing[index], key, value))
            continue;
        snprintf(choosing_key, sizeof choosing_key, "%s=%s", key, value);
        is_only_judging = choosing[index].is_judging;
    }
}

const char *layer_refusal(void)
{
    static char text[256];
    bool is_choosing = choosing_key[0] != '\0';
    for (size_t index = 0; index < choosing_count; index++)
        is_choosing = is_choosing || (choosing[index].key == NULL && is_plugin(choosing[index].plugin));
    if (!is_choosing)
        return NULL;
    if (is_only_judging)
        snprintf(
            text, sizeof text,
            "%s below the filter would judge only the name that the first client gives; place its filter before "
            "--filter=flexpage",
            choosing_key);
    else
        snprintf(
            text, sizeof text,
            "the %s plugin%s%s can serve each client something else, and the filter has one cache for all; serve one "
            "image with it, or use the filter without it",
            plugin_below_name(), choosing_key[0] != '\0' ? " with " : "", choosing_key);
    return text;
}

/// Whether the plugin is a script, which may choose by the name of the export, and is not told it.
static bool is_script(void)
{
    static const char *const names[] = {"sh",  "eval", "python", "perl", "lua",   "ruby",
                                        "tcl", "cc",   "ocaml",  "rust", "golang"};
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++)
        if (is_plugin(names[index]))
            return true;
    return false;
}

void layer_note_name(const char *export_name)
{
    static atomic_bool is_told;
    if (export_name[0] == '\0' || !is_script() || atomic_exchange(&is_told, true))
        return;
    char shown[65];
    snprintf(shown, sizeof shown, "%s", export_name);
    for (char *byte = shown; *byte != '\0'; byte++)
        if (*byte < ' ' || *byte == 127)
            *byte = '?';
    nbdkit_error(
        "a client wants the export \"%s\", which %s is not told; it serves all clients what it has for \"\"", shown,
        layer_below.name());
}

void layer_lock(void)
{
    if (model <= NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS)
        pthread_mutex_lock(&one_call);
}

void layer_unlock(void)
{
    if (model <= NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS)
        pthread_mutex_unlock(&one_call);
}

static const char *name(void)
{
    static char text[128];
    // Before the first other thread.
    if (text[0] == '\0')
        snprintf(text, sizeof text, "the %s plugin", plugin_below_name());
    return text;
}

static int32_t model_of_layer(void) { return model; }

/// What the first context has said that it is. Never freed.
static _Atomic(char *) description;

const char *layer_description(void) { return atomic_load(&description); }

static void note_description(nbdkit_next *next)
{
    const char *text = next->export_description(next);
    char *copy = text != NULL && atomic_load(&description) == NULL ? strdup(text) : NULL;
    char *none = NULL;
    if (copy != NULL && !atomic_compare_exchange_strong(&description, &none, copy))
        free(copy);
}

/// Asks everything that nbdkit wants to be asked before a context may be used. Returns false if the layer fails.
static bool fill_in(nbdkit_next *next, struct flexpage_layer_info *info)
{
    info->size = next->get_size(next);
    if (info->size < 0 || next->block_size(next, &info->min_block, &info->preferred_block, &info->max_request) == -1)
        return false;
    const int can_write = next->can_write(next), can_flush = next->can_flush(next);
    const int is_rotational = next->is_rotational(next), can_multi_conn = next->can_multi_conn(next);
    const int can_extents = next->can_extents(next), can_fua = next->can_fua(next);
    const int can_zero = can_write == 1 ? next->can_zero(next) : NBDKIT_ZERO_NONE;
    const int can_fast_zero = can_write == 1 ? next->can_fast_zero(next) : 0;
    const int can_trim = can_write == 1 ? next->can_trim(next) : 0;
    const int answers[] = {can_write, can_flush, is_rotational, can_multi_conn, can_extents,
                           can_fua,   can_zero,  can_fast_zero, can_trim,       next->can_cache(next)};
    for (size_t index = 0; index < sizeof answers / sizeof answers[0]; index++)
        if (answers[index] == -1)
            return false;
    info->can_write = can_write;
    info->can_flush = can_flush;
    info->is_rotational = is_rotational;
    info->can_multi_conn = can_multi_conn;
    info->can_extents = can_extents;
    info->can_trim = can_trim;
    // nbdkit would emulate a zero by writes. Ours keep to the layer's maximum, and a trim becomes none of them.
    info->can_zero = can_zero == NBDKIT_ZERO_NATIVE;
    info->can_fast_zero = can_fast_zero && can_zero == NBDKIT_ZERO_NATIVE;
    return true;
}

static void close_context(void *context)
{
    nbdkit_next *next = context;
    layer_lock();
    next->finalize(next);
    nbdkit_next_context_close(next);
    layer_unlock();
}

static nbdkit_next *open_locked(const char *export_name, bool is_read_only, struct flexpage_layer_info *info)
{
    nbdkit_next *next = nbdkit_next_context_open(backend_below, is_read_only, export_name, 1);
    if (next == NULL)
        return NULL;
    if (next->prepare(next) == 0 && fill_in(next, info)) {
        note_description(next);
        return next;
    }
    next->finalize(next);
    nbdkit_next_context_close(next);
    return NULL;
}

/// What a context is opened with, and the context.
struct opening {
    const char *export_name;
    bool is_read_only;
    struct flexpage_layer_info *info;
    nbdkit_next *next;
};

static void *open_once(void *argument)
{
    struct opening *opening = argument;
    layer_lock();
    opening->next = open_locked(opening->export_name, opening->is_read_only, opening->info);
    layer_unlock();
    return NULL;
}

static void *open_context(const char *export_name, bool is_read_only, struct flexpage_layer_info *info)
{
    struct opening opening = {.export_name = export_name, .is_read_only = is_read_only, .info = info};
    open_once(&opening);
    // The client of this thread may have left: see LayerCall.h.
    if (opening.next == NULL && filter_below_sleeps() && !keeper_is_quitting())
        layer_run_elsewhere(open_once, &opening);
    return opening.next;
}

static int make_read(struct layer_call *call, int *error)
{
    return call->next->pread(call->next, call->buffer, call->count, call->offset, 0, error);
}

static int32_t read_below(void *context, void *buffer, uint32_t count, uint64_t offset)
{
    struct layer_call call = {.make = make_read, .next = context, .buffer = buffer, .count = count, .offset = offset};
    return layer_call_do(&call);
}

static int make_write(struct layer_call *call, int *error)
{
    return call->next->pwrite(call->next, call->bytes, call->count, call->offset, 0, error);
}

static int32_t write_below(void *context, const void *buffer, uint32_t count, uint64_t offset)
{
    struct layer_call call = {.make = make_write, .next = context, .bytes = buffer, .count = count, .offset = offset};
    return layer_call_do(&call);
}

static int make_flush(struct layer_call *call, int *error) { return call->next->flush(call->next, 0, error); }

static int32_t flush_below(void *context)
{
    struct layer_call call = {.make = make_flush, .next = context, .is_flush = true};
    return layer_call_do(&call);
}

static int make_zero(struct layer_call *call, int *error)
{
    return call->next->zero(call->next, call->count, call->offset, call->flags, error);
}

static int32_t zero_below(void *context, uint32_t count, uint64_t offset, bool may_trim, bool only_if_fast)
{
    struct layer_call call = {
        .make = make_zero,
        .next = context,
        .count = count,
        .offset = offset,
        .flags = (may_trim ? NBDKIT_FLAG_MAY_TRIM : 0) | (only_if_fast ? NBDKIT_FLAG_FAST_ZERO : 0)};
    return layer_call_do(&call);
}

static int make_trim(struct layer_call *call, int *error)
{
    return call->next->trim(call->next, call->count, call->offset, 0, error);
}

static int32_t trim_below(void *context, uint32_t count, uint64_t offset)
{
    struct layer_call call = {.make = make_trim, .next = context, .count = count, .offset = offset};
    return layer_call_do(&call);
}

/// Gives what the layer has said to `take`.
static void give(const struct nbdkit_extents *extents, uint64_t end, flexpage_extent_taker take, void *taker_context)
{
    for (size_t index = 0; index < nbdkit_extents_count(extents); index++) {
        const struct nbdkit_extent extent = nbdkit_get_extent(extents, index);
        if (extent.offset >= end)
            return;
        const uint64_t length = extent.length < end - extent.offset ? extent.length : end - extent.offset;
        const int32_t kind = (extent.type & NBDKIT_EXTENT_ZERO) == 0 ? flexpage_extent_data
            : (extent.type & NBDKIT_EXTENT_HOLE) != 0                ? flexpage_extent_hole
                                                                     : flexpage_extent_zeroes;
        if (!take(taker_context, extent.offset, length, kind))
            return;
    }
}

/// A call that has failed may have added some, so each begins with none.
static int make_extents(struct layer_call *call, int *error)
{
    nbdkit_extents_free(call->extents);
    call->extents = nbdkit_extents_new(call->offset, call->offset + call->count);
    if (call->extents == NULL) {
        *error = ENOMEM;
        return -1;
    }
    return call->next->extents(call->next, call->count, call->offset, 0, call->extents, error);
}

static int32_t extents_below(
    void *context, uint32_t count, uint64_t offset, flexpage_extent_taker take, void *taker_context)
{
    struct layer_call call = {.make = make_extents, .next = context, .count = count, .offset = offset};
    const int32_t result = layer_call_do(&call);
    if (result == 0)
        give(call.extents, offset + count, take, taker_context);
    nbdkit_extents_free(call.extents);
    return result;
}

const struct flexpage_layer layer_below = {
    .name = name,
    .model = model_of_layer,
    .open = open_context,
    .close = close_context,
    .read = read_below,
    .write = write_below,
    .flush = flush_below,
    .zero = zero_below,
    .trim = trim_below,
    .extents = extents_below,
};
