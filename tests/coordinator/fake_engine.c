#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/coordinator/fake_engine.h"

static uint64_t hash(const int32_t *tokens, int32_t n) { /* FNV-1a */
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (int32_t i = 0; i < n; i++)
        value = (value ^ (uint64_t)tokens[i]) * UINT64_C(0x100000001b3);
    return value;
}

void fake_engine_logits(const struct fake_engine *fake, const int32_t *tokens, int32_t n, float *logits) {
    const uint64_t seed = hash(tokens, n);
    for (int32_t token = 0; token < FAKE_VOCAB; token++)
        logits[token] = fake->spread * (float)rng_uniform(seed, 0, (uint64_t)token);
    const int32_t scripted = n - fake->script_from;
    if (scripted >= 0 && scripted < fake->n_script) logits[fake->script[scripted]] += 50;
}

static int compare(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static void fill_row(struct fake_engine *fake, int32_t row, const struct step_span *span, int32_t n_tokens,
                     int32_t n_candidates) {
    float *logits = fake->logits[row];
    struct candidate *candidates = fake->candidates[row];
    fake_engine_logits(fake, fake->tokens[span->slot], n_tokens, logits);
    for (int32_t token = 0; token < FAKE_VOCAB; token++)
        candidates[token] = (struct candidate){token, logits[token]};
    qsort(candidates, FAKE_VOCAB, sizeof *candidates, compare);
    double sum_exp = 0, sum_exp_scaled = 0;
    for (int32_t token = 0; token < FAKE_VOCAB; token++) {
        const double below = (double)logits[token] - (double)candidates[0].logit;
        sum_exp += exp(below);
        sum_exp_scaled += exp(below * span->inverse_temperature);
    }
    fake->rows[row] = (struct logits_row){
        .position = n_tokens - 1,
        .n_candidates = fake->all_candidates ? FAKE_VOCAB : n_candidates,
        .candidates = candidates,
        .max_logit = candidates[0].logit,
        .sum_exp = sum_exp,
        .sum_exp_scaled = sum_exp_scaled,
        .target_logit = NAN,
        .finite = true,
    };
}

static void run_span(struct fake_engine *fake, const struct step_span *span, int32_t n_candidates) {
    const int32_t first = (int32_t)span->first_position;
    assert_in_range(first, 0, fake->n_tokens[span->slot]);
    memcpy(fake->tokens[span->slot] + first, span->tokens, (size_t)span->n_tokens * sizeof *span->tokens);
    const int32_t n = fake->n_tokens[span->slot] = first + span->n_tokens;
    for (int32_t i = 0; i < span->n_logits_rows; i++)
        fill_row(fake, fake->result.n_rows++, span, n - span->n_logits_rows + i + 1, n_candidates);
    if (span->phase == SPAN_DECODE) fake->result.attended_tokens = n / 2;
    fake->n_decode_steps += span->phase == SPAN_DECODE;
}

static void remember(struct fake_engine *fake, const struct step_plan *plan) {
    assert_in_range(fake->n_plans, 0, FAKE_PLANS - 1);
    struct fake_plan *kept = &fake->plans[fake->n_plans++];
    kept->n_candidates = plan->n_candidates;
    kept->n_spans = plan->n_spans;
    kept->n_freed = plan->n_freed_slots;
    for (int32_t i = 0; i < plan->n_spans; i++) {
        kept->spans[i] = plan->spans[i];
        kept->spans[i].tokens = NULL;
    }
    for (int32_t i = 0; i < plan->n_freed_slots; i++)
        kept->freed[i] = plan->freed_slots[i];
}

static enum status step(void *self, const struct step_plan *plan, const struct step_result **result_out) {
    struct fake_engine *fake = self;
    if (fake->fail_next) {
        fake->fail_next = false;
        return FAIL(STATUS_INTERNAL, "the plan was not sent");
    }
    struct step_plan numbered = *plan;
    numbered.number = fake->number++;
    if (step_plan_check(&numbered, &fake->engine.limits, numbered.number) != STATUS_OK)
        fail_msg("%s", status_message());
    assert_int_equal(plan->kind, STEP_COMPUTE);
    remember(fake, plan);
    for (int32_t i = 0; i < plan->n_freed_slots; i++)
        fake->n_tokens[plan->freed_slots[i]] = 0;
    fake->result = (struct step_result){.rows = fake->rows, .times = {.compute = 1, .sync = 2, .select = 4}};
    for (int32_t i = 0; i < plan->n_spans; i++)
        run_span(fake, &plan->spans[i], plan->n_candidates);
    *result_out = &fake->result;
    return STATUS_OK;
}

static enum status fetch_logits(void *self, int32_t row, float *logits) {
    struct fake_engine *fake = self;
    assert_in_range(row, 0, fake->result.n_rows - 1);
    memcpy(logits, fake->logits[row], sizeof fake->logits[row]);
    fake->number++;
    return STATUS_OK;
}

/* The filled tokens are of no consequence: whatever stood in the slot counts as read. */
static enum status fill_kv(void *self, struct step_fill fill) {
    struct fake_engine *fake = self;
    assert_in_range(fill.slot, 0, FAKE_SLOTS - 1);
    assert_in_range(fill.n_tokens, 1, fake->engine.limits.context_length);
    assert_in_range(fake->n_fills, 0, FAKE_FILLS - 1);
    fake->fills[fake->n_fills++] = fill;
    fake->n_tokens[fill.slot] = (int32_t)fill.n_tokens;
    fake->number++;
    return STATUS_OK;
}

static enum status read_memory(void *self, double *bytes_per_second_out) {
    struct fake_engine *fake = self;
    *bytes_per_second_out = 10 * ++fake->n_memory_reads;
    fake->number++;
    return STATUS_OK;
}

static enum status report(void *self, const struct rank_report **reports_out) {
    struct fake_engine *fake = self;
    const int64_t weights_read = 7 * fake->n_decode_steps, kv_read = 3 * fake->n_decode_steps;
    fake->reports[0] = (struct rank_report){1000, 600, 100, weights_read, kv_read};
    fake->reports[1] = (struct rank_report){900, 400, 50, weights_read, kv_read};
    fake->n_decode_steps = 0;
    fake->n_reports++;
    fake->number++;
    *reports_out = fake->reports;
    return STATUS_OK;
}

/* 10 bytes for each token in the slot; 2 read for each of them. */
static enum status report_slots(void *self, const struct slot_report **reports_out) {
    struct fake_engine *fake = self;
    for (int32_t slot = 0; slot < FAKE_SLOTS; slot++)
        fake->slot_reports[slot] = (struct slot_report){.kv_bytes = 10 * fake->n_tokens[slot],
                                                        .attended_tokens = 2 * fake->n_tokens[slot]};
    fake->number++;
    *reports_out = fake->slot_reports;
    return STATUS_OK;
}

struct fake_engine *fake_engine_create(void) {
    struct fake_engine *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    fake->spread = 8;
    fake->engine = (struct engine){.self = fake,
                                   .limits = {.max_slots = FAKE_SLOTS,
                                              .max_tokens = FAKE_TOKENS,
                                              .vocab_size = FAKE_VOCAB,
                                              .context_length = FAKE_CONTEXT},
                                   .step = step,
                                   .fetch_logits = fetch_logits,
                                   .fill_kv = fill_kv,
                                   .read_memory = read_memory,
                                   .report = report,
                                   .report_slots = report_slots,
                                   .n_ranks = 2,
                                   .n_threads = 1,
                                   .kernels_name = "fake"};
    return fake;
}

void fake_engine_destroy(struct fake_engine *fake) {
    free(fake);
}
