#include "cluster/step_plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/wire_impl.h"

/* One sentence that begins with the plan's number. */
#define REFUSE(plan, format, ...)                                                                            \
    FAIL(STATUS_INTERNAL, "step plan %" PRIu64 ": " format, (plan)->number, __VA_ARGS__)

struct slot_set {
    uint64_t words[STEP_MAX_SLOTS / 64];
};

static bool slot_is_in(const struct slot_set *set, int32_t slot) {
    return set->words[slot / 64] >> (slot % 64) & 1;
}

/* False if it was in already. */
static bool slot_add(struct slot_set *set, int32_t slot) {
    if (slot_is_in(set, slot)) return false;
    set->words[slot / 64] |= UINT64_C(1) << (slot % 64);
    return true;
}

static enum status check_tokens(const struct step_plan *plan, int32_t slot, const char *what,
                                const int32_t *tokens, int32_t n_tokens, int32_t vocab_size) {
    for (int32_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab_size)
            return REFUSE(plan, "slot %d has %s %d, outside the vocabulary of %d", slot, what, tokens[i],
                          vocab_size);
    return STATUS_OK;
}

static enum status check_slot(const struct step_plan *plan, const struct step_span *span,
                              const struct step_limits *limits, const struct slot_set *freed,
                              struct slot_set *used) {
    if (span->slot < 0 || span->slot >= limits->max_slots)
        return REFUSE(plan, "slot %d is not one of the %d slots", span->slot, limits->max_slots);
    if (!slot_add(used, span->slot)) return REFUSE(plan, "slot %d has two spans", span->slot);
    if (slot_is_in(freed, span->slot) && span->first_position != 0)
        return REFUSE(plan, "slot %d is freed but goes on at position %" PRId64, span->slot,
                      span->first_position);
    return STATUS_OK;
}

static enum status check_extent(const struct step_plan *plan, const struct step_span *span,
                                const struct step_limits *limits, int32_t n_tokens_left) {
    if (span->n_tokens < 1) return REFUSE(plan, "slot %d has a span without tokens", span->slot);
    if (span->n_tokens > n_tokens_left)
        return REFUSE(plan, "it has more tokens than the %d allowed", limits->max_tokens);
    switch (span->phase) {
    case SPAN_PREFILL:
        break;
    case SPAN_DECODE:
        if (span->n_tokens == 1) break;
        return REFUSE(plan, "slot %d decodes %d tokens at once", span->slot, span->n_tokens);
    default:
        return REFUSE(plan, "slot %d is in the unknown phase %d", span->slot, (int)span->phase);
    }
    if (span->first_position < 0 || span->first_position > limits->context_length - span->n_tokens)
        return REFUSE(plan, "slot %d: %d tokens from position %" PRId64 " exceed the context of %" PRId64,
                      span->slot, span->n_tokens, span->first_position, limits->context_length);
    return STATUS_OK;
}

static enum status check_span(const struct step_plan *plan, const struct step_span *span,
                              const struct step_limits *limits) {
    if (span->n_logits_rows < 0 || span->n_logits_rows > span->n_tokens)
        return REFUSE(plan, "slot %d wants %d rows of logits from %d tokens", span->slot, span->n_logits_rows,
                      span->n_tokens);
    if (!isfinite(span->inverse_temperature) || span->inverse_temperature <= 0)
        return REFUSE(plan, "slot %d has an inverse temperature of %g", span->slot,
                      span->inverse_temperature);
    TRY(check_tokens(plan, span->slot, "token", span->tokens, span->n_tokens, limits->vocab_size));
    if (!span->targets) return STATUS_OK;
    return check_tokens(plan, span->slot, "target", span->targets, span->n_logits_rows, limits->vocab_size);
}

static enum status check_spans(const struct step_plan *plan, const struct step_limits *limits,
                               const struct slot_set *freed) {
    struct slot_set used = {0};
    int32_t n_tokens_left = limits->max_tokens;
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        TRY(check_slot(plan, span, limits, freed, &used));
        TRY(check_extent(plan, span, limits, n_tokens_left));
        TRY(check_span(plan, span, limits));
        n_tokens_left -= span->n_tokens;
    }
    return STATUS_OK;
}

static enum status check_freed(const struct step_plan *plan, const struct step_limits *limits,
                               struct slot_set *freed) {
    for (int32_t i = 0; i < plan->n_freed_slots; i++) {
        const int32_t slot = plan->freed_slots[i];
        if (slot < 0 || slot >= limits->max_slots)
            return REFUSE(plan, "freed slot %d is not one of the %d slots", slot, limits->max_slots);
        if (!slot_add(freed, slot)) return REFUSE(plan, "slot %d is freed twice", slot);
    }
    return STATUS_OK;
}

static enum status check_compute(const struct step_plan *plan, const struct step_limits *limits) {
    if (plan->n_candidates < 1 || plan->n_candidates > STEP_MAX_CANDIDATES)
        return REFUSE(plan, "%d candidates are not between 1 and %d", plan->n_candidates,
                      STEP_MAX_CANDIDATES);
    struct slot_set freed = {0};
    TRY(check_freed(plan, limits, &freed));
    return check_spans(plan, limits, &freed);
}

static void check_limits(const struct step_limits *limits) {
    CHECK(limits->max_slots >= 1 && limits->max_slots <= STEP_MAX_SLOTS);
    CHECK(limits->max_tokens >= 1 && limits->max_tokens <= STEP_MAX_TOKENS);
    CHECK(limits->vocab_size >= 1 && limits->context_length >= 1);
}

static enum status check_fill(const struct step_plan *plan, const struct step_limits *limits) {
    const struct step_fill *fill = &plan->fill;
    if (fill->slot < 0 || fill->slot >= limits->max_slots)
        return REFUSE(plan, "slot %d to be filled is not one of the %d slots", fill->slot, limits->max_slots);
    if (fill->n_tokens < 1 || fill->n_tokens > limits->context_length)
        return REFUSE(plan, "slot %d cannot be filled with %" PRId64 " tokens in a context of %" PRId64,
                      fill->slot, fill->n_tokens, limits->context_length);
    return STATUS_OK;
}

static enum status check_probe(const struct step_plan *plan, const struct step_limits *limits) {
    if (plan->probe_slot >= -1 && plan->probe_slot < limits->max_slots) return STATUS_OK;
    return REFUSE(plan, "slot %d to be probed is not one of the %d slots", plan->probe_slot,
                  limits->max_slots);
}

static enum status check_logits(const struct step_plan *plan, const struct step_limits *limits) {
    if (plan->logits_row >= 0 && plan->logits_row < limits->max_tokens) return STATUS_OK;
    return REFUSE(plan, "no step has a row %d of logits", plan->logits_row);
}

enum status step_plan_check(const struct step_plan *plan, const struct step_limits *limits,
                            uint64_t expected_number) {
    check_limits(limits);
    if (plan->number != expected_number) return REFUSE(plan, "%" PRIu64 " was expected", expected_number);
    if (plan->n_spans < 0 || plan->n_freed_slots < 0)
        return REFUSE(plan, "it has %d spans and %d freed slots", plan->n_spans, plan->n_freed_slots);
    if (plan->kind == STEP_COMPUTE) return check_compute(plan, limits);
    if (plan->n_spans || plan->n_freed_slots)
        return REFUSE(plan, "it computes nothing, but has %d spans and %d freed slots", plan->n_spans,
                      plan->n_freed_slots);
    switch (plan->kind) {
    case STEP_COMPUTE:
    case STEP_STOP:
    case STEP_READ:
    case STEP_REPORT:
    case STEP_SLOTS:
    case STEP_TRACE:
        return STATUS_OK;
    case STEP_LOGITS:
        return check_logits(plan, limits);
    case STEP_FILL:
        return check_fill(plan, limits);
    case STEP_PROBE:
        return check_probe(plan, limits);
    }
    return REFUSE(plan, "it is of the unknown kind %d", (int)plan->kind);
}

int32_t step_plan_rows(const struct step_plan *plan) {
    int32_t n_rows = 0;
    for (int32_t i = 0; i < plan->n_spans; i++)
        n_rows += plan->spans[i].n_logits_rows;
    return n_rows;
}

enum status step_plan_encode(const struct step_plan *plan, struct bytes *wire_out) {
    CHECK(plan->n_spans >= 0 && plan->n_freed_slots >= 0);
    struct wire_memory memory;
    TRY(wire_memory_create(wire_encode_bytes(plan->n_spans), &memory));
    const enum status status = wire_encode(&memory, plan, wire_out);
    wire_memory_free(&memory);
    return status;
}

enum status step_plan_decode(const void *wire, size_t size, const struct step_limits *limits,
                             uint64_t expected_number, struct step_plan **plan_out) {
    check_limits(limits);
    struct wire_memory memory;
    TRY(wire_memory_create(wire_decode_bytes(limits), &memory));
    struct step_plan *plan;
    enum status status = wire_decode(&memory, wire, size, limits, &plan);
    if (status == STATUS_OK) status = step_plan_check(plan, limits, expected_number);
    if (status != STATUS_OK) {
        wire_memory_free(&memory);
        return status;
    }
    CHECK((unsigned char *)plan == memory.data); /* what step_plan_free frees */
    *plan_out = plan;
    return STATUS_OK;
}

void step_plan_free(struct step_plan *plan) {
    free(plan);
}
