/* tests/coordinator/sampler_fixture.h - whole rows of logits, of which a sampler sees the best candidates. */
#pragma once

#include <stdint.h>

#include "coordinator/sampler.h"

enum { MAX_VOCAB = 2000 };

struct row { /* a whole row, its summary, and a count of the times somebody asked for the whole */
    int32_t vocab_size;
    float logits[MAX_VOCAB];
    struct candidate sorted[MAX_VOCAB];
    double sum_exp, sum_exp_scaled;
    int n_fetches;
};

/* Best first, of equals the lower token. */
void sort_candidates(struct candidate *tokens, int32_t n);

/* 10 and down from there. */
void row_descend(struct row *row, int32_t vocab_size, float step);

/* Everything else of the row from its logits. */
void row_summarise(struct row *row, double inverse_temperature);

/* What a step returns of the row where n candidates are asked for, and what returns the whole of it. */
struct logits_row row_candidates(const struct row *row, int32_t n);
enum status row_fetch(void *row, float *logits);

struct sampled_token row_draw(struct sampler *sampler, struct row *row, int32_t n_candidates, uint64_t index);

/* Never NULL. */
struct sampler *new_sampler(const struct sampler_config *config, int32_t vocab_size);

/* Of 100 draws with so many candidates, where tokens 0 … n_seen - 1 were accepted before. */
int64_t count_fetches(struct sampler_config config, struct row *row, int32_t n_candidates, int32_t n_seen);
