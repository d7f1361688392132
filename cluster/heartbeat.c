#include "cluster/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>

enum { OPERATION_BITS = 8, LAYER_BITS = 16 };

_Static_assert((int)OPERATIONS <= 1 << OPERATION_BITS, "an operation fits its part of a place");

static const struct {
    const char *name;
    enum operation_kind kind;
} operations[OPERATIONS] = {
    [OPERATION_ASIDE] = {"the time between steps", KIND_ASIDE},
    /* Made up of collectives of MPI's own, which note nothing. */
    [OPERATION_SET_UP] = {"set-up", KIND_WAITS},
    [OPERATION_LOAD] = {"the load of the model", KIND_WORKS},
    [OPERATION_FILL] = {"the filling of the cache", KIND_WORKS},
    [OPERATION_MEASURE] = {"a measurement", KIND_WAITS},
    [OPERATION_STEP] = {"the start of the step", KIND_WORKS},
    [OPERATION_ATTENTION] = {"attention", KIND_WORKS},
    [OPERATION_SHARED_HEAD] = {"the exchange about a shared KV head", KIND_WAITS},
    [OPERATION_ATTENTION_SUM] = {"the all-reduce of attention", KIND_WAITS},
    [OPERATION_SELECTION] = {"the agreement on the selected set", KIND_WAITS},
    [OPERATION_MLP] = {"the MLP", KIND_WORKS},
    [OPERATION_MLP_SUM] = {"the all-reduce of the MLP", KIND_WAITS},
    [OPERATION_LOGITS] = {"the logits", KIND_WORKS},
    [OPERATION_PLAN] = {"the exchange of the next plan", KIND_WAITS},
    [OPERATION_BROADCAST] = {"a broadcast", KIND_WAITS},
    [OPERATION_GATHER] = {"a gather", KIND_WAITS},
    [OPERATION_AGREE] = {"the agreement on success", KIND_WAITS},
    [OPERATION_BARRIER] = {"a barrier", KIND_WAITS},
};

uint64_t place_pack(struct place place) {
    const uint64_t layer = (uint64_t)(place.layer + 1) & ((1u << LAYER_BITS) - 1);
    return place.step << (LAYER_BITS + OPERATION_BITS) | layer << OPERATION_BITS | (uint64_t)place.operation;
}

struct place place_unpack(uint64_t packed) {
    return (struct place){
        .step = packed >> (LAYER_BITS + OPERATION_BITS),
        .layer = (int32_t)(packed >> OPERATION_BITS & ((1u << LAYER_BITS) - 1)) - 1,
        .operation = (enum operation)(packed & ((1u << OPERATION_BITS) - 1)),
    };
}

static uint64_t read_place(const struct heartbeat *heartbeat) {
    return atomic_load_explicit(&heartbeat->place, memory_order_relaxed);
}

static void write_place(struct heartbeat *heartbeat, struct place place) {
    atomic_store_explicit(&heartbeat->place, place_pack(place), memory_order_relaxed);
    heartbeat_count(heartbeat);
}

void heartbeat_count(struct heartbeat *heartbeat) {
    atomic_fetch_add_explicit(&heartbeat->progress, 1, memory_order_relaxed);
}

void heartbeat_step(struct heartbeat *heartbeat, uint64_t number) {
    const struct place before = place_unpack(read_place(heartbeat));
    write_place(heartbeat, (struct place){number + 1, PLACE_NO_LAYER, before.operation});
}

void heartbeat_layer(struct heartbeat *heartbeat, int32_t layer) {
    struct place place = place_unpack(read_place(heartbeat));
    place.layer = layer;
    write_place(heartbeat, place);
}

enum operation heartbeat_enter(struct heartbeat *heartbeat, enum operation operation) {
    struct place place = place_unpack(read_place(heartbeat));
    const enum operation before = place.operation;
    place.operation = operation;
    write_place(heartbeat, place);
    return before;
}

void heartbeat_leave(struct heartbeat *heartbeat, enum operation before) {
    (void)heartbeat_enter(heartbeat, before);
}

enum operation_kind place_kind(uint64_t packed) {
    return operations[place_unpack(packed).operation].kind;
}

void place_text(uint64_t packed, char text_out[PLACE_TEXT_MAX]) {
    const struct place place = place_unpack(packed);
    const char *name = operations[place.operation].name;
    char step[32] = "", layer[32] = "";
    if (place.step > 0) snprintf(step, sizeof step, "step %" PRIu64 ", ", place.step - 1);
    if (place.layer != PLACE_NO_LAYER) snprintf(layer, sizeof layer, "layer %d, ", place.layer);
    snprintf(text_out, PLACE_TEXT_MAX, "%s%s%s", step, layer, name);
}
