// The format of a state file (state=): what one server leaves for the next one, whatever has ended it.
//
//     header | a record for each image | a word for each frame | undo slots | the frames, 4096 bytes each
//
// All that dirty data needs lies before the frames. Its meaning never changes within a version, so that any release
// that knows the version can bring the data of another to the images. Numbers have the byte order of the machine: the
// file lies in memory, and does not outlive it. Each part begins with a base page.
//
// A server may be killed between any two instructions, and every store before that stays. So each change is made by one
// store of one aligned word, after whatever it stands for.
#ifndef FLEXPAGE_CSTATEFORMAT_H
#define FLEXPAGE_CSTATEFORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define FLEXPAGE_STATE_MAGIC 0x3145474150584c46ull  // "FLXPAGE1"
#define FLEXPAGE_STATE_VERSION 1

// The word of a frame. 0 if the frame holds nothing that is worth keeping.
// - live: The frame holds the bytes of the base page that the other bits name.
// - owed: They are newer than what is known to be durable on the image.
// - promoted: The page was used again. It is a hint, which may be missing or wrong.
// Bits 48 to 57 are the number of the image's record, and the lower ones that of the base page.
#define FLEXPAGE_STATE_LIVE (1ull << 63)
#define FLEXPAGE_STATE_OWED (1ull << 62)
#define FLEXPAGE_STATE_PROMOTED (1ull << 61)
#define FLEXPAGE_STATE_MAX_IMAGES 1024

struct flexpage_state_header {
    // What never changes while the file is in use.
    uint64_t magic;
    uint32_t version;
    uint32_t header_bytes;
    uint64_t file_bytes;
    uint64_t frames;
    uint64_t images_offset;
    uint64_t words_offset;
    uint64_t slots_offset;
    uint64_t memory_offset;
    uint32_t images;
    uint32_t image_bytes;
    uint32_t slots;
    uint32_t slot_bytes;

    // The number of the server that has, or had, the file. The byte range of its locks on images follows from it.
    uint64_t server;
    // When it was last alive, and since when it has served: nanoseconds of CLOCK_REALTIME; 0 if it has not served, and
    // all ones once it has ended in good order.
    uint64_t alive;
    uint64_t serving_since;
    // How many servers in a row have died within a minute of service.
    uint32_t short_lives;
    // 0 until all of the above is there.
    uint32_t is_ready;
};

struct flexpage_state_image {
    // 0 if the record is free, and nothing else in it means anything.
    uint32_t in_use;
    uint32_t is_block_device;
    int64_t size;
    // What a failed sync would lose: how often something of that kind has happened, and how often it had when the last
    // good sync began; zeroes and trims under way. (SyncRisk.Record has these five fields and the next one.)
    uint64_t at_risk;
    uint64_t at_risk_when_synced;
    int64_t changes;
    // The number of failed syncs in the low 56 bits, the errno of the last one in the others.
    uint64_t sync_failures;
    // The errno of a sync that has lost data, or 0.
    uint8_t loss;
    // 1 while a sync is under way. A server that dies meanwhile leaves it so: nobody knows whether that sync failed.
    uint8_t is_syncing;
    // 0.
    uint16_t reserved;
    // 1 if `stamp` says something.
    uint32_t is_stamped;
    // The file: device, inode and time of birth in nanoseconds; of a block device its number, 0, and the number that
    // the kernel gave to this attachment of it.
    uint64_t device;
    uint64_t inode;
    uint64_t birth;
    uint64_t disk_sequence;
    // Its size and times, in nanoseconds, when the server last looked. No write of the server was under way then.
    uint64_t stamp_size;
    int64_t stamp_modified;
    int64_t stamp_changed;
    // Calls that have changed the file: begun, ended, and begun when the stamp was taken.
    uint64_t writes_begun;
    uint64_t writes_ended;
    uint64_t writes_when_stamped;
    // The absolute path of the file, without a final NUL.
    uint32_t path_bytes;
    char path[884];
};

// A sector of a base page that was owed before is being overwritten. Its bytes from before go back to it if the server
// dies meanwhile.
struct flexpage_state_slot {
    // 0 if no server uses the slot; FLEXPAGE_STATE_SLOT_IDLE; or the number of the sector, counted from the first
    // frame's first one, plus FLEXPAGE_STATE_SLOT_ACTIVE.
    uint64_t word;
    uint64_t reserved[7];
    uint8_t bytes[512];
};
#define FLEXPAGE_STATE_SLOT_IDLE 1ull
#define FLEXPAGE_STATE_SLOT_ACTIVE (1ull << 63)

static_assert(sizeof(struct flexpage_state_header) == 112, "the format never changes");
static_assert(sizeof(struct flexpage_state_image) == 1024, "the format never changes");
static_assert(sizeof(struct flexpage_state_slot) == 576, "the format never changes");
static_assert(offsetof(struct flexpage_state_image, at_risk) == 16, "the format never changes");
static_assert(offsetof(struct flexpage_state_image, device) == 56, "the format never changes");
static_assert(offsetof(struct flexpage_state_image, path) == 140, "the format never changes");

// Where a process says when it was last alive.
static inline uint64_t *flexpage_state_alive(struct flexpage_state_header *header) { return &header->alive; }

// Keeps the compiler from moving a store over this point. What a process stores in the order of its program stays in
// that order when it is killed.
static inline void flexpage_keep_order(void) { __asm__ volatile("" ::: "memory"); }

#endif
