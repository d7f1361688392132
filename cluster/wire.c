#include "cluster/wire_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/step_plan.pb-c.h"

_Static_assert((int)STEP_COMPUTE == WIRE__KIND__KIND_COMPUTE && (int)STEP_LOGITS == WIRE__KIND__KIND_LOGITS &&
                   (int)STEP_STOP == WIRE__KIND__KIND_STOP && (int)STEP_FILL == WIRE__KIND__KIND_FILL &&
                   (int)STEP_READ == WIRE__KIND__KIND_READ && (int)STEP_REPORT == WIRE__KIND__KIND_REPORT &&
                   (int)STEP_SLOTS == WIRE__KIND__KIND_SLOTS && (int)STEP_PROBE == WIRE__KIND__KIND_PROBE &&
                   (int)STEP_TRACE == WIRE__KIND__KIND_TRACE,
               "kinds are numbered alike");
_Static_assert((int)SPAN_PREFILL == WIRE__PHASE__PHASE_PREFILL &&
                   (int)SPAN_DECODE == WIRE__PHASE__PHASE_DECODE,
               "phases are numbered alike");

/* Upper bounds of what protobuf needs: 5 bytes for a number below 2^31, 10 for one below 2^63. */
enum {
    NUMBER_BYTES = 5,
    PLAN_BYTES = 96, /* all but the lists */
    SPAN_BYTES = 72, /* likewise */
    ALIGNMENT = 16,
    /* protobuf-c notes every member of a message in slabs, each twice as large as the one before. */
    SCAN_MEMBER_BYTES = 64,
    SCAN_FIRST_SLAB = 32,
};

static size_t aligned(size_t size) {
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t wire_message_bytes(const struct step_limits *limits) {
    const size_t n_tokens = (size_t)limits->max_tokens, n_slots = (size_t)limits->max_slots;
    return PLAN_BYTES + n_slots * (SPAN_BYTES + NUMBER_BYTES) + 2 * n_tokens * NUMBER_BYTES;
}

size_t wire_decode_bytes(const struct step_limits *limits) {
    const size_t n_tokens = (size_t)limits->max_tokens, n_slots = (size_t)limits->max_slots;
    const size_t span = aligned(sizeof(Wire__Span)) + aligned(sizeof(struct step_span)) +
                        sizeof(Wire__Span *) + sizeof(int32_t) + 2 * ALIGNMENT;
    const size_t plan = aligned(sizeof(Wire__StepPlan)) + aligned(sizeof(Wire__Fill)) +
                        aligned(sizeof(struct step_plan)) + 3 * ALIGNMENT;
    const size_t scan = (2 * n_slots + SCAN_FIRST_SLAB) * SCAN_MEMBER_BYTES;
    return plan + n_slots * span + 2 * n_tokens * sizeof(int32_t) + scan;
}

size_t wire_encode_bytes(int32_t n_spans) {
    return (size_t)n_spans * (sizeof(Wire__Span) + sizeof(Wire__Span *)) + 2 * ALIGNMENT;
}

enum status wire_memory_create(size_t capacity, struct wire_memory *memory_out) {
    unsigned char *data = malloc(capacity);
    if (!data) return FAIL(STATUS_NO_MEMORY, "out of memory: step plans need %zu bytes", capacity);
    *memory_out = (struct wire_memory){data, capacity, 0};
    return STATUS_OK;
}

void wire_memory_free(struct wire_memory *memory) {
    free(memory->data);
    *memory = (struct wire_memory){0};
}

/* NULL where the capacity is spent. Also protobuf-c's allocator, whose pieces are given back all at once. */
static void *take(void *wire_memory, size_t size) {
    struct wire_memory *memory = wire_memory;
    const size_t left = memory->capacity - memory->used;
    if (size > left || aligned(size) > left) return NULL;
    void *piece = memory->data + memory->used;
    memory->used += aligned(size);
    return piece;
}

static void leave(void *wire_memory, void *piece) {
    (void)wire_memory;
    (void)piece;
}

/* protobuf-c's structs serve both directions, hence are not const; packing only reads. */
static int32_t *borrow(const int32_t *values) {
    const union {
        const int32_t *read;
        int32_t *write;
    } pointer = {.read = values};
    return pointer.write;
}

static void span_to_wire(const struct step_span *span, Wire__Span *wire_out) {
    CHECK(span->n_tokens >= 0 && (!span->targets || span->n_logits_rows >= 0));
    wire__span__init(wire_out);
    wire_out->slot = span->slot;
    wire_out->first_position = span->first_position;
    wire_out->phase = (Wire__Phase)span->phase;
    wire_out->n_tokens = (size_t)span->n_tokens;
    wire_out->tokens = borrow(span->tokens);
    wire_out->n_logits_rows = span->n_logits_rows;
    wire_out->n_targets = span->targets ? (size_t)span->n_logits_rows : 0;
    wire_out->targets = borrow(span->targets);
    wire_out->inverse_temperature = span->inverse_temperature;
}

static void fill_to_wire(const struct step_fill *fill, Wire__Fill *wire_out) {
    wire__fill__init(wire_out);
    wire_out->slot = fill->slot;
    wire_out->n_tokens = fill->n_tokens;
    wire_out->seed = fill->seed;
}

enum status wire_encode(struct wire_memory *memory, const struct step_plan *plan, struct bytes *message_out) {
    CHECK(memory->capacity >= wire_encode_bytes(plan->n_spans));
    memory->used = 0;
    const size_t n_spans = (size_t)plan->n_spans;
    Wire__Span **pointers = take(memory, n_spans * sizeof(Wire__Span *));
    Wire__Span *spans = take(memory, n_spans * sizeof(Wire__Span));
    for (size_t i = 0; i < n_spans; i++) {
        span_to_wire(&plan->spans[i], &spans[i]);
        pointers[i] = &spans[i];
    }

    Wire__StepPlan wire = WIRE__STEP_PLAN__INIT;
    wire.version = STEP_PLAN_VERSION;
    wire.number = plan->number;
    wire.kind = (Wire__Kind)plan->kind;
    wire.n_candidates = plan->n_candidates;
    wire.logits_row = plan->logits_row;
    wire.n_spans = n_spans;
    wire.spans = pointers;
    wire.n_freed_slots = (size_t)plan->n_freed_slots;
    wire.freed_slots = borrow(plan->freed_slots);
    Wire__Fill fill;
    fill_to_wire(&plan->fill, &fill);
    if (plan->kind == STEP_FILL) wire.fill = &fill;
    wire.probe_slot = plan->probe_slot;

    const size_t size = wire__step_plan__get_packed_size(&wire);
    bytes_clear(message_out);
    TRY(bytes_reserve(message_out, size));
    message_out->size = wire__step_plan__pack(&wire, (uint8_t *)message_out->data);
    message_out->data[message_out->size] = '\0';
    return STATUS_OK;
}

static enum status span_from_wire(const Wire__Span *wire, uint64_t number, struct step_span *span_out) {
    if (wire->base.n_unknown_fields)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 ": a span has a field of unknown number %u", number,
                    wire->base.unknown_fields[0].tag);
    if (wire->n_targets && (int64_t)wire->n_targets != wire->n_logits_rows)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 ": a span has %zu targets for %d rows of logits",
                    number, wire->n_targets, wire->n_logits_rows);
    *span_out = (struct step_span){
        .slot = wire->slot,
        .first_position = wire->first_position,
        .phase = (enum span_phase)wire->phase,
        .n_tokens = (int32_t)wire->n_tokens,
        .tokens = wire->tokens,
        .n_logits_rows = wire->n_logits_rows,
        .targets = wire->n_targets ? wire->targets : NULL,
        .inverse_temperature = wire->inverse_temperature,
    };
    return STATUS_OK;
}

static enum status fill_from_wire(const Wire__StepPlan *wire, struct step_fill *fill_out) {
    *fill_out = (struct step_fill){0};
    if ((wire->fill != NULL) != (wire->kind == WIRE__KIND__KIND_FILL))
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 " of kind %d %s a slot to fill", wire->number,
                    (int)wire->kind, wire->fill ? "names" : "lacks");
    if (!wire->fill) return STATUS_OK;
    if (wire->fill->base.n_unknown_fields)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 ": what to fill has a field of unknown number %u",
                    wire->number, wire->fill->base.unknown_fields[0].tag);
    *fill_out = (struct step_fill){wire->fill->slot, wire->fill->n_tokens, wire->fill->seed};
    return STATUS_OK;
}

/* A message says one thing in one way: what protobuf would also read, such as a field given twice, a number
 * in more bytes than it needs or bytes after the end, is refused. */
static enum status check_form(const Wire__StepPlan *wire, size_t size) {
    if (wire->version != STEP_PLAN_VERSION)
        return FAIL(STATUS_INTERNAL,
                    "a step plan has version %u where %d is spoken: all ranks must run the same program",
                    wire->version, STEP_PLAN_VERSION);
    if (wire->base.n_unknown_fields)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 " has a field of unknown number %u", wire->number,
                    wire->base.unknown_fields[0].tag);
    const size_t expected = wire__step_plan__get_packed_size(wire);
    if (expected != size)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 " takes %zu bytes but came in %zu", wire->number,
                    expected, size);
    return STATUS_OK;
}

static enum status unpack(struct wire_memory *memory, const void *message, size_t size,
                          const struct step_limits *limits, Wire__StepPlan **wire_out) {
    if (size > wire_message_bytes(limits))
        return FAIL(STATUS_INTERNAL, "a step plan of %zu bytes is larger than the limits allow", size);
    ProtobufCAllocator allocator = {take, leave, memory};
    Wire__StepPlan *wire = wire__step_plan__unpack(&allocator, size, message);
    if (!wire) return FAIL(STATUS_INTERNAL, "a step plan of %zu bytes is malformed or too complex", size);
    TRY(check_form(wire, size));
    *wire_out = wire;
    return STATUS_OK;
}

enum status wire_decode(struct wire_memory *memory, const void *message, size_t size,
                        const struct step_limits *limits, struct step_plan **plan_out) {
    CHECK(memory->capacity >= wire_decode_bytes(limits));
    memory->used = 0;
    struct step_plan *plan = take(memory, sizeof *plan);
    Wire__StepPlan *wire = NULL;
    TRY(unpack(memory, message, size, limits, &wire));
    struct step_span *spans = take(memory, wire->n_spans * sizeof *spans);
    if (!spans)
        return FAIL(STATUS_INTERNAL, "step plan %" PRIu64 " has too many spans, %zu", wire->number,
                    wire->n_spans);
    for (size_t i = 0; i < wire->n_spans; i++)
        TRY(span_from_wire(wire->spans[i], wire->number, &spans[i]));
    struct step_fill fill;
    TRY(fill_from_wire(wire, &fill));
    *plan = (struct step_plan){
        .number = wire->number,
        .kind = (enum step_kind)wire->kind,
        .n_candidates = wire->n_candidates,
        .logits_row = wire->logits_row,
        .n_spans = (int32_t)wire->n_spans,
        .spans = spans,
        .n_freed_slots = (int32_t)wire->n_freed_slots,
        .freed_slots = wire->freed_slots,
        .fill = fill,
        .probe_slot = wire->probe_slot,
    };
    *plan_out = plan;
    return STATUS_OK;
}
