/* Sequences that were noted span by span are made again the same, whatever plans they came in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/history.h"

enum { SLOTS = 3, MAX_TOKENS = 8, EVENTS_MAX = 4096, STEPS = 400, CONTEXT = 1000 };

static const struct step_limits limits = {
    .max_slots = SLOTS, .max_tokens = MAX_TOKENS, .vocab_size = 100, .context_length = CONTEXT};

/* What a slot was given since it was freed. */
struct slot {
    struct {
        int64_t position;
        int32_t token;
        enum span_phase phase;
    } events[EVENTS_MAX];
    int n;
    int64_t n_tokens;
};

static void give(struct slot *slots, const struct step_plan *plan) {
    for (int32_t i = 0; i < plan->n_freed_slots; i++)
        slots[plan->freed_slots[i]].n = 0;
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        struct slot *slot = &slots[span->slot];
        for (int32_t t = 0; t < span->n_tokens; t++) {
            assert_true(slot->n < EVENTS_MAX);
            slot->events[slot->n].position = span->first_position + t;
            slot->events[slot->n].token = span->tokens[t];
            slot->events[slot->n++].phase = span->phase;
        }
        slot->n_tokens = span->first_position + span->n_tokens;
    }
}

/* A plan of a few slots: prompts, decoded tokens, now and then some tokens back (a correction) or another
 * sequence. */
struct drawn {
    struct step_plan plan;
    struct step_span spans[SLOTS];
    int32_t tokens[MAX_TOKENS], targets[MAX_TOKENS], freed[SLOTS];
};

static void draw_span(struct drawn *drawn, struct slot *slots, int32_t slot, int32_t *n_tokens) {
    struct step_plan *plan = &drawn->plan;
    if (rand() % 20 == 0 || slots[slot].n_tokens + MAX_TOKENS > CONTEXT) {
        drawn->freed[plan->n_freed_slots++] = slot;
        slots[slot].n_tokens = 0;
    }
    const bool decodes = slots[slot].n_tokens > 0 && rand() % 3 > 0;
    const int32_t n = decodes ? 1 : 1 + rand() % 2;
    int64_t first = slots[slot].n_tokens;
    if (!decodes && first > 4 && rand() % 4 == 0) first -= rand() % 4;
    struct step_span *span = &drawn->spans[plan->n_spans++];
    *span = (struct step_span){.slot = slot,
                               .first_position = first,
                               .phase = decodes ? SPAN_DECODE : SPAN_PREFILL,
                               .n_tokens = n,
                               .tokens = drawn->tokens + *n_tokens,
                               .n_logits_rows = 1,
                               .targets = rand() % 2 ? drawn->targets + *n_tokens : NULL,
                               .inverse_temperature = 1.5};
    *n_tokens += n;
}

static void draw(struct drawn *drawn, struct slot *slots) {
    int32_t n_tokens = 0;
    drawn->plan = (struct step_plan){
        .kind = STEP_COMPUTE, .n_candidates = 4, .spans = drawn->spans, .freed_slots = drawn->freed};
    for (int32_t i = 0; i < MAX_TOKENS; i++) {
        drawn->tokens[i] = rand() % limits.vocab_size;
        drawn->targets[i] = rand() % limits.vocab_size;
    }
    for (int32_t slot = 0; slot < SLOTS; slot++)
        if (rand() % 2) draw_span(drawn, slots, slot, &n_tokens);
    if (drawn->plan.n_spans == 0) draw_span(drawn, slots, 0, &n_tokens);
}

static void same_events(const struct slot *expected, const struct slot *slot, bool reads_all) {
    assert_int_equal(slot->n, expected->n);
    for (int i = 0; i < slot->n; i++) {
        assert_int_equal(slot->events[i].position, expected->events[i].position);
        assert_int_equal(slot->events[i].token, expected->events[i].token);
        if (!reads_all) assert_int_equal(slot->events[i].phase, expected->events[i].phase);
    }
}

static void same_plan(const struct step_plan *expected, const struct step_plan *plan) {
    assert_int_equal(plan->n_candidates, expected->n_candidates);
    assert_int_equal(plan->n_spans, expected->n_spans);
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *one = &expected->spans[i], *other = &plan->spans[i];
        assert_int_equal(other->n_logits_rows, one->n_logits_rows);
        assert_int_equal(other->targets != NULL, one->targets != NULL);
        if (one->targets) assert_int_equal(other->targets[0], one->targets[0]);
        assert_true(other->inverse_temperature == one->inverse_temperature);
    }
}

/* All of `expected`; the last plan, where it was done, comes as it was. */
static void makes_again(struct history *history, const struct slot *expected, const struct step_plan *last,
                        bool reads_all) {
    struct slot *slots = calloc(SLOTS, sizeof *slots);
    const int64_t n_tokens = history_rewind(history);
    int64_t n_came = 0;
    struct step_plan plan = {0};
    for (uint64_t number = 0; history_next(history, &plan); number++) {
        plan.number = number;
        assert_int_equal(step_plan_check(&plan, &limits, number), STATUS_OK);
        for (int32_t i = 0; i < plan.n_spans; i++)
            n_came += plan.spans[i].n_tokens;
        give(slots, &plan);
    }
    assert_int_equal(n_came, n_tokens);
    for (int32_t slot = 0; slot < SLOTS; slot++)
        same_events(&expected[slot], &slots[slot], reads_all);
    if (last) same_plan(last, &plan);
    free(slots);
}

/* The copy stays what it was when the worker's memory is gone. */
static void result_is_kept(struct history *history, int step) {
    struct candidate candidates[] = {{step, 1}, {step + 1, 0.5f}, {step + 2, 2}};
    struct logits_row rows[] = {{.position = step, .n_candidates = 2, .candidates = candidates},
                                {.position = step + 1, .n_candidates = 1, .candidates = candidates + 2}};
    const struct step_result result = {.n_rows = step % 3, .rows = rows, .attended_tokens = step};
    const struct step_result *copy;
    assert_int_equal(history_done(history, &result, &copy), STATUS_OK);
    memset(candidates, 0, sizeof candidates);
    memset(rows, 0, sizeof rows);
    assert_int_equal(copy->n_rows, step % 3);
    assert_int_equal(copy->attended_tokens, step);
    if (copy->n_rows > 0) assert_int_equal(copy->rows[0].candidates[1].token, step + 1);
    if (copy->n_rows > 1) assert_int_equal(copy->rows[1].candidates[0].token, step + 2);
    if (copy->n_rows > 1) assert_int_equal(copy->rows[1].position, step + 1);
}

static void run(bool reads_all) {
    struct history *history;
    struct slot *slots = calloc(SLOTS, sizeof *slots);
    assert_int_equal(history_create(&limits, reads_all, &history), STATUS_OK);
    makes_again(history, slots, NULL, reads_all);
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        struct drawn drawn;
        draw(&drawn, slots);
        assert_int_equal(history_begin(history, &drawn.plan), STATUS_OK);
        /* A step that was begun and not done is the caller's. */
        makes_again(history, slots, NULL, reads_all);
        give(slots, &drawn.plan);
        const struct drawn kept = drawn;
        memset(drawn.tokens, 0, sizeof drawn.tokens); /* the history has its own */
        result_is_kept(history, step);
        makes_again(history, slots, &kept.plan, reads_all);
    }
    history_forget(history);
    assert_int_equal(history_rewind(history), 0);
    history_destroy(history);
    free(slots);
}

static void test_as_it_was(void **state) {
    (void)state;
    run(false);
}

static void test_read_where_that_is_the_same(void **state) {
    (void)state;
    run(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_it_was),
        cmocka_unit_test(test_read_where_that_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
