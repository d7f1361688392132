/* coordinator/token_draw_impl.h - temperature, top-k, top-p, min-p and the draw over ranked tokens.
 *
 * The weight of a token is its probability relative to the best token's: exp of the difference of their
 * logits over the temperature.
 *
 * Memory:  none.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include "coordinator/sampler.h"
#include "coordinator/token_ranking_impl.h"

struct token_draw {
    const struct sampler_config *config;
    struct token_ranking ranking; /* after the repetition penalty */
    double inverse_temperature;
    double total;     /* weight of the whole vocabulary; read only where token_draw_needs_total */
    float best_logit; /* set by token_draw_try */
};

bool token_draw_is_greedy(const struct sampler_config *config);
/* Does a draw need the weight of the whole vocabulary? */
bool token_draw_needs_total(const struct sampler_config *config);

/* Draws with a number in [0, 1). False where the answer depends on tokens that are not listed; never so
 * where all are. */
bool token_draw_try(struct token_draw *draw, double uniform, int32_t *token_out);
