#include "random_plan.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/rng.h"

struct dice {
    uint64_t index;
    uint64_t n_thrown;
};

/* [0, n) */
static int64_t throw_dice(struct dice *dice, int64_t n) {
    return (int64_t)(rng_uniform(4, dice->index, dice->n_thrown++) * (double)n);
}

static int32_t *fill(struct dice *dice, int32_t *tokens, int32_t n_tokens, int32_t vocab_size) {
    for (int32_t i = 0; i < n_tokens; i++)
        tokens[i] = (int32_t)throw_dice(dice, vocab_size);
    return tokens + n_tokens;
}

static int32_t *make_span(struct dice *dice, const struct step_limits *limits, int32_t max_tokens,
                          struct step_span *span, int32_t *tokens) {
    const bool decode = throw_dice(dice, 2) == 0;
    span->phase = decode ? SPAN_DECODE : SPAN_PREFILL;
    span->n_tokens = decode ? 1 : 1 + (int32_t)throw_dice(dice, max_tokens);
    span->first_position = throw_dice(dice, limits->context_length - span->n_tokens + 1);
    span->n_logits_rows = (int32_t)throw_dice(dice, span->n_tokens + 1);
    span->inverse_temperature = 1.0 / (double)(1 + throw_dice(dice, 4));
    span->tokens = tokens;
    tokens = fill(dice, tokens, span->n_tokens, limits->vocab_size);
    span->targets = span->n_logits_rows && throw_dice(dice, 2) ? tokens : NULL;
    return span->targets ? fill(dice, tokens, span->n_logits_rows, limits->vocab_size) : tokens;
}

/* The lower half of the slots may compute, the upper half may be freed. */
void random_plan_make(struct random_plan *random, const struct step_limits *limits, uint64_t index) {
    struct dice dice = {index, 0};
    const int32_t half = limits->max_slots / 2;
    random->spans = calloc((size_t)half + 1, sizeof *random->spans);
    random->tokens = calloc(2 * (size_t)limits->max_tokens + 1, sizeof *random->tokens);
    random->freed_slots = calloc((size_t)half + 1, sizeof *random->freed_slots);
    random->plan = (struct step_plan){
        .number = index,
        .kind = STEP_COMPUTE,
        .n_candidates = 1 + (int32_t)throw_dice(&dice, STEP_MAX_CANDIDATES),
        .n_spans = (int32_t)throw_dice(&dice, half + 1),
        .spans = random->spans,
        .freed_slots = random->freed_slots,
    };
    int32_t *tokens = random->tokens;
    for (int32_t i = 0; i < random->plan.n_spans; i++) {
        random->spans[i].slot = half - 1 - i;
        tokens = make_span(&dice, limits, limits->max_tokens / half, &random->spans[i], tokens);
    }
    for (int32_t slot = half; slot < limits->max_slots; slot++)
        if (throw_dice(&dice, 4) == 0 && random->plan.n_freed_slots < half)
            random->freed_slots[random->plan.n_freed_slots++] = slot;
}

void random_plan_free(struct random_plan *random) {
    free(random->freed_slots);
    free(random->tokens);
    free(random->spans);
}

static void expect_equal_numbers(const int32_t *actual, const int32_t *expected, int32_t n) {
    if (n) assert_memory_equal(actual, expected, (size_t)n * sizeof *actual);
}

static void expect_equal_spans(const struct step_span *actual, const struct step_span *expected) {
    assert_int_equal(actual->slot, expected->slot);
    assert_int_equal(actual->first_position, expected->first_position);
    assert_int_equal(actual->phase, expected->phase);
    assert_int_equal(actual->n_tokens, expected->n_tokens);
    expect_equal_numbers(actual->tokens, expected->tokens, expected->n_tokens);
    assert_int_equal(actual->n_logits_rows, expected->n_logits_rows);
    assert_int_equal(actual->targets != NULL, expected->targets != NULL);
    if (expected->targets) expect_equal_numbers(actual->targets, expected->targets, expected->n_logits_rows);
    assert_memory_equal(&actual->inverse_temperature, &expected->inverse_temperature, sizeof(double));
}

void random_plan_expect_equal(const struct step_plan *actual, const struct step_plan *expected) {
    assert_int_equal(actual->number, expected->number);
    assert_int_equal(actual->kind, expected->kind);
    assert_int_equal(actual->n_candidates, expected->n_candidates);
    assert_int_equal(actual->logits_row, expected->logits_row);
    assert_int_equal(actual->n_spans, expected->n_spans);
    for (int32_t i = 0; i < expected->n_spans; i++)
        expect_equal_spans(&actual->spans[i], &expected->spans[i]);
    assert_int_equal(actual->n_freed_slots, expected->n_freed_slots);
    expect_equal_numbers(actual->freed_slots, expected->freed_slots, expected->n_freed_slots);
    assert_int_equal(actual->fill.slot, expected->fill.slot);
    assert_int_equal(actual->fill.n_tokens, expected->fill.n_tokens);
    assert_int_equal(actual->fill.seed, expected->fill.seed);
    assert_int_equal(actual->probe_slot, expected->probe_slot);
}
