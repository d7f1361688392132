#include "tests/coordinator/sampler_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

void sort_candidates(struct candidate *tokens, int32_t n) {
    qsort(tokens, (size_t)n, sizeof *tokens, compare);
}

void row_summarise(struct row *row, double inverse_temperature) {
    for (int32_t i = 0; i < row->vocab_size; i++)
        row->sorted[i] = (struct candidate){i, row->logits[i]};
    sort_candidates(row->sorted, row->vocab_size);
    row->sum_exp = row->sum_exp_scaled = 0;
    for (int32_t i = row->vocab_size; i-- > 0;) {
        const double below = (double)row->logits[i] - row->sorted[0].logit;
        row->sum_exp += exp(below);
        row->sum_exp_scaled += exp(below * inverse_temperature);
    }
    row->n_fetches = 0;
}

enum status row_fetch(void *self, float *logits) {
    struct row *row = self;
    memcpy(logits, row->logits, (size_t)row->vocab_size * sizeof *logits);
    row->n_fetches++;
    return STATUS_OK;
}

struct logits_row row_candidates(const struct row *row, int32_t n) {
    return (struct logits_row){.n_candidates = n < row->vocab_size ? n : row->vocab_size,
                               .candidates = row->sorted,
                               .max_logit = row->sorted[0].logit,
                               .sum_exp = row->sum_exp,
                               .sum_exp_scaled = row->sum_exp_scaled,
                               .finite = true};
}

struct sampled_token row_draw(struct sampler *sampler, struct row *row, int32_t n_candidates,
                              uint64_t index) {
    const struct logits_row summary = row_candidates(row, n_candidates);
    struct sampled_token token;
    assert_int_equal(sampler_draw(sampler, &summary, index, (struct logits_source){row, row_fetch}, &token),
                     STATUS_OK);
    return token;
}

struct sampler *new_sampler(const struct sampler_config *config, int32_t vocab_size) {
    struct sampler *sampler;
    assert_int_equal(sampler_create(config, vocab_size, &sampler), STATUS_OK);
    return sampler;
}

void row_descend(struct row *row, int32_t vocab_size, float step) {
    row->vocab_size = vocab_size;
    for (int32_t i = 0; i < vocab_size; i++)
        row->logits[i] = 10 - step * (float)i;
}

int64_t count_fetches(struct sampler_config config, struct row *row, int32_t n_candidates, int32_t n_seen) {
    struct sampler *sampler = new_sampler(&config, row->vocab_size);
    for (int32_t i = 0; i < n_seen; i++)
        sampler_accept(sampler, i);
    row_summarise(row, sampler_inverse_temperature(&config));
    for (uint64_t index = 0; index < 100; index++)
        row_draw(sampler, row, n_candidates, index);
    const int64_t fetches = sampler_fetches(sampler);
    sampler_destroy(sampler);
    return fetches;
}
