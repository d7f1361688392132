/* cluster/heartbeat.h - what a rank is doing right now: noted by its main thread, read by watchdogs
 * (cluster/watchdog.h) of this rank and of others.
 *
 * A note is a store and an atomic add, to memory that no other rank writes. A place is step, layer and
 * operation in one word, so that a reader never sees the layer of one moment with the operation of another.
 *
 * Memory:  plain data; that of a comm (comm_heartbeat) lives as long as the comm.
 * Threads: notes are the main thread's, but for heartbeat_count; reading is anybody's.
 * Ranks:   local. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum operation {
    OPERATION_ASIDE, /* rank 0 between steps: sampling, output, a person's turn */
    OPERATION_SET_UP,
    OPERATION_LOAD,
    OPERATION_FILL,
    OPERATION_MEASURE,
    OPERATION_STEP, /* what of a step has no name of its own */
    OPERATION_ATTENTION,
    OPERATION_SHARED_HEAD,
    OPERATION_ATTENTION_SUM,
    OPERATION_SELECTION,
    OPERATION_MLP,
    OPERATION_MLP_SUM,
    OPERATION_LOGITS,
    OPERATION_PLAN,
    OPERATION_BROADCAST,
    OPERATION_GATHER,
    OPERATION_AGREE,
    OPERATION_BARRIER,
    OPERATIONS
};

/* Why a rank may stay where it is. */
enum operation_kind {
    KIND_ASIDE, /* as long as it likes */
    KIND_WORKS, /* only while it counts progress */
    KIND_WAITS, /* as long as another rank makes progress */
};

enum { PLACE_NO_LAYER = -1, PLACE_TEXT_MAX = 128, HEARTBEAT_BYTES = 128 };

struct heartbeat {
    _Atomic uint64_t place;
    _Atomic uint64_t progress; /* changes with every note */
    _Atomic uint64_t beats;    /* counted by the rank's watchdog: the process runs */
    _Atomic uint64_t ending;   /* the process ends on purpose, and whoever should know why has been told */
    unsigned char padding[HEARTBEAT_BYTES - 4 * sizeof(uint64_t)]; /* no two share a cache line */
};

struct place {
    uint64_t step; /* 1 more than the number of the last plan; 0: none has come */
    int32_t layer; /* PLACE_NO_LAYER: in none */
    enum operation operation;
};

void heartbeat_step(struct heartbeat *heartbeat, uint64_t number); /* in no layer */
void heartbeat_layer(struct heartbeat *heartbeat, int32_t layer);  /* or PLACE_NO_LAYER */

/* From here on the rank does this. Returns what it did before, for heartbeat_leave. */
enum operation heartbeat_enter(struct heartbeat *heartbeat, enum operation operation);
void heartbeat_leave(struct heartbeat *heartbeat, enum operation before);

/* Progress within an operation. Any thread. */
void heartbeat_count(struct heartbeat *heartbeat);

/* A place as it is stored, and back. */
uint64_t place_pack(struct place place);
struct place place_unpack(uint64_t packed);

enum operation_kind place_kind(uint64_t packed);

/* "step 12, layer 5, the all-reduce of attention" */
void place_text(uint64_t packed, char text_out[PLACE_TEXT_MAX]);
