// Replays a trace over NBD in a closed loop, and prints the time and the latencies as JSON. `Scripts/bench traces`
// compiles it and runs it.
//
//     replay [--depth N] [--checksum] SOCKET TRACE CONTENT
//
// TRACE has the records below, in the byte order of this machine (prepared_trace.py writes them). N requests, 8 by
// default, are under way at any time: the next one is sent when one is answered. At the end comes a flush, whose time
// counts.
//
// A write takes its bytes from the first 16 MiB of CONTENT, which are repeated without end: byte N of the image becomes
// byte N of them. So a second replay writes what is there already, and the image stays what it is.
//
// With --checksum, it also sums up what was read. The sum does not depend on the order of answers. It costs time, so it
// is for tests.
#include <errno.h>
#include <getopt.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct record {
    uint64_t offset;
    uint32_t length;
    uint32_t is_write;
};

struct replay {
    struct nbd_handle *nbd;
    struct record *records;
    size_t count;
    uint32_t longest;
    // The content, and its beginning once more, so that each write is one piece of it.
    uint8_t *content;
    size_t period;
    // Nanoseconds, by the number of the record.
    uint64_t *latencies;
    size_t answered;
    bool is_summed;
    uint64_t sum;
};

// A request under way. Only this program's one thread touches it.
struct slot {
    struct replay *replay;
    bool is_busy;
    size_t number;
    uint64_t began;
    uint8_t *buffer;
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "replay: %s: %s\n", what, why);
    exit(1);
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (!memory)
        fail("out of memory", strerror(errno));
    return memory;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// Reads up to `most` bytes of a file.
static void *read_file(const char *path, size_t most, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail(path, strerror(errno));
    long end = ftell(file);
    if (end < 0)
        fail(path, strerror(errno));
    *size = (size_t)end < most ? (size_t)end : most;
    rewind(file);
    void *bytes = allocate(*size);
    if (fread(bytes, 1, *size, file) != *size)
        fail(path, "it could not be read");
    fclose(file);
    return bytes;
}

static void read_records(struct replay *replay, const char *path)
{
    size_t size;
    replay->records = read_file(path, SIZE_MAX, &size);
    if (size == 0 || size % sizeof(struct record) != 0)
        fail(path, "it is not a prepared trace");
    replay->count = size / sizeof(struct record);
    for (size_t number = 0; number < replay->count; number++) {
        if (replay->records[number].length > replay->longest)
            replay->longest = replay->records[number].length;
    }
    replay->latencies = allocate(replay->count * sizeof(uint64_t));
}

static void read_content(struct replay *replay, const char *path)
{
    uint8_t *bytes = read_file(path, (size_t)16 << 20, &replay->period);
    if (replay->period == 0)
        fail(path, "it is empty");
    replay->content = allocate(replay->period + replay->longest);
    for (size_t at = 0; at < replay->period + replay->longest; at++)
        replay->content[at] = bytes[at % replay->period];
    free(bytes);
}

// FNV-1a of what a request has read, begun with the request's number.
static uint64_t hash(const struct slot *slot)
{
    uint64_t value = 14695981039346656037u ^ slot->number;
    for (uint32_t at = 0; at < slot->replay->records[slot->number].length; at++)
        value = (value ^ slot->buffer[at]) * 1099511628211u;
    return value;
}

// libnbd calls it when a request is answered. It must not send another one.
static int answered(void *context, int *error)
{
    struct slot *slot = context;
    struct replay *replay = slot->replay;
    if (*error != 0)
        fail("the server failed to answer a request", strerror(*error));
    replay->latencies[slot->number] = now() - slot->began;
    if (replay->is_summed && !replay->records[slot->number].is_write)
        replay->sum += hash(slot);
    replay->answered++;
    slot->is_busy = false;
    return 1;
}

static void send_next(struct slot *slot, size_t number)
{
    struct replay *replay = slot->replay;
    const struct record *record = &replay->records[number];
    nbd_completion_callback done = {.callback = answered, .user_data = slot};
    slot->number = number;
    slot->is_busy = true;
    slot->began = now();
    const uint8_t *source = replay->content + record->offset % replay->period;
    int64_t cookie = record->is_write
        ? nbd_aio_pwrite(replay->nbd, source, record->length, record->offset, done, 0)
        : nbd_aio_pread(replay->nbd, slot->buffer, record->length, record->offset, done, 0);
    if (cookie < 0)
        fail("cannot send a request", nbd_get_error());
}

static struct slot *idle_slot(struct slot *slots, size_t depth)
{
    for (size_t index = 0; index < depth; index++) {
        if (!slots[index].is_busy)
            return &slots[index];
    }
    return NULL;
}

static void run(struct replay *replay, struct slot *slots, size_t depth)
{
    size_t next = 0;
    struct slot *slot;
    while (replay->answered < replay->count) {
        // While one is sent, others may be answered. So there may be nothing left to wait for.
        while (next < replay->count && (slot = idle_slot(slots, depth)))
            send_next(slot, next++);
        if (replay->answered < next && nbd_poll(replay->nbd, -1) < 0)
            fail("the connection failed", nbd_get_error());
    }
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

// Prints two percentiles of the latencies of reads, of writes, or of both (NULL), by nearest rank.
static void print_percentiles(const struct replay *replay, const char *prefix, const bool *is_write)
{
    uint64_t *latencies = allocate(replay->count * sizeof(uint64_t));
    size_t count = 0;
    for (size_t number = 0; number < replay->count; number++) {
        if (!is_write || (replay->records[number].is_write != 0) == *is_write)
            latencies[count++] = replay->latencies[number];
    }
    qsort(latencies, count, sizeof(uint64_t), compare);
    for (size_t share = 50; count > 0 && share <= 99; share += 49) {
        double microseconds = (double)latencies[(count * share + 99) / 100 - 1] / 1000;
        printf(", \"%sp%zu_us\": %.1f", prefix, share, microseconds);
    }
    free(latencies);
}

static void print(const struct replay *replay, uint64_t ran, uint64_t flushed)
{
    static const bool reads = false, writes = true;
    uint64_t bytes[2] = {0, 0}, requests[2] = {0, 0};
    for (size_t number = 0; number < replay->count; number++) {
        const struct record *record = &replay->records[number];
        requests[record->is_write != 0]++;
        bytes[record->is_write != 0] += record->length;
    }
    double seconds = (double)(ran + flushed) / 1e9;
    printf("{\"seconds\": %.6f, \"flush_seconds\": %.6f", seconds, (double)flushed / 1e9);
    printf(", \"requests\": %zu, \"requests_per_second\": %.1f", replay->count, (double)replay->count / seconds);
    printf(", \"reads\": %llu, \"writes\": %llu", (unsigned long long)requests[0], (unsigned long long)requests[1]);
    printf(", \"bytes_asked\": %llu, \"bytes_sent\": %llu", (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
    print_percentiles(replay, "", NULL);
    print_percentiles(replay, "read_", &reads);
    print_percentiles(replay, "write_", &writes);
    if (replay->is_summed)
        printf(", \"sum\": \"%016llx\"", (unsigned long long)replay->sum);
    printf("}\n");
}

static void connect_to(struct replay *replay, const char *socket)
{
    replay->nbd = nbd_create();
    // Buffers need no clearing before a read.
    if (!replay->nbd || nbd_set_pread_initialize(replay->nbd, false) < 0 || nbd_connect_unix(replay->nbd, socket) < 0)
        fail(socket, nbd_get_error());
}

static struct slot *make_slots(struct replay *replay, size_t depth)
{
    struct slot *slots = allocate(depth * sizeof(struct slot));
    for (size_t index = 0; index < depth; index++) {
        slots[index] = (struct slot){.replay = replay, .buffer = allocate(replay->longest)};
        // So that the first read does not have to touch it first.
        memset(slots[index].buffer, 0, replay->longest);
    }
    return slots;
}

static size_t parse_depth(const char *word)
{
    char *end;
    unsigned long depth = strtoul(word, &end, 10);
    if (*word == '\0' || *end != '\0' || depth == 0 || depth > 1024)
        fail(word, "the depth is a number from 1 to 1024");
    return depth;
}

int main(int count, char **words)
{
    static const struct option options[] = {
        {"depth", required_argument, NULL, 'd'}, {"checksum", no_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
    struct replay replay = {0};
    size_t depth = 8;
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) {
        if (option == 'd')
            depth = parse_depth(optarg);
        else if (option == 'c')
            replay.is_summed = true;
        else
            return 2;
    }
    if (count - optind != 3)
        fail("usage", "replay [--depth N] [--checksum] SOCKET TRACE CONTENT");
    read_records(&replay, words[optind + 1]);
    read_content(&replay, words[optind + 2]);
    struct slot *slots = make_slots(&replay, depth);
    connect_to(&replay, words[optind]);

    uint64_t began = now();
    run(&replay, slots, depth);
    uint64_t answered = now();
    if (nbd_can_flush(replay.nbd) > 0 && nbd_flush(replay.nbd, 0) < 0)
        fail("the flush failed", nbd_get_error());
    print(&replay, answered - began, now() - answered);
    nbd_shutdown(replay.nbd, 0);
    nbd_close(replay.nbd);
    return 0;
}
