/* coordinator/sampler.h - from a row of logits to the next token. Only rank 0 samples.
 *
 * Order and meaning of the transforms as in transformers' generate(): repetition penalty, temperature,
 * top-k (ties with the k-th stay), top-p (the smallest set that reaches p), min-p; then one uniform number
 * of a counter-based generator walks the tokens, best first, smaller ids first among equals.
 * The candidates that the ranks returned suffice almost always. Where they do not (the nucleus or a
 * penalised ranking reaches below them), the whole row is fetched: the token is the same either way, and
 * the same for any number of candidates.
 *
 * Memory:  create allocates for one vocabulary row; the rest nothing.
 * Threads: one at a time per sampler.
 * Ranks:   local arithmetic on rank 0; fetching a row is the caller's collective. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "cluster/step_plan.h"

struct sampler;

struct sampler_config {
    double temperature;        /* 0: greedy */
    int32_t top_k;             /* 0: off */
    double top_p;              /* 1: off */
    double min_p;              /* 0: off */
    double repetition_penalty; /* 1: off */
    uint64_t seed;
    uint64_t stream; /* distinguishes sequences under one seed */
};

struct sampled_token {
    int32_t token;
    float logprob; /* natural log of its probability before any transform */
};

/* Fetches the whole logits row [vocab_size] that `row` is the summary of. */
struct logits_source {
    void *self;
    enum status (*fetch)(void *self, float *logits);
};

/* Values out of range: STATUS_BAD_INPUT naming the option. */
NODISCARD enum status sampler_create(const struct sampler_config *config, int32_t vocab_size,
                                     struct sampler **sampler_out);
void sampler_destroy(struct sampler *sampler); /* NULL is allowed */

/* What a step must ask for so that the sampler seldom fetches a row: step_plan.n_candidates (at least 1, at
 * most STEP_MAX_CANDIDATES; more never hurt) and step_span.inverse_temperature (which draws depend on). */
int32_t sampler_candidates_wanted(const struct sampler_config *config);
double sampler_inverse_temperature(const struct sampler_config *config);

/* Marks a token as seen, for the repetition penalty (prompt tokens too, as transformers does). */
void sampler_accept(struct sampler *sampler, int32_t token);

/* The `index`-th token of the sequence. A row with finite == false: STATUS_BAD_INPUT, as the
 * weights must be damaged. */
NODISCARD enum status sampler_draw(struct sampler *sampler, const struct logits_row *row, uint64_t index,
                                   struct logits_source source, struct sampled_token *token_out);

/* How many rows had to be fetched whole so far. */
int64_t sampler_fetches(const struct sampler *sampler);

/* The most probable tokens before any transform, best first: the first `n` candidates of the row, or all
 * where it has fewer. Returns how many; `top_out` is [n]. */
int32_t logits_row_top(const struct logits_row *row, int32_t n, struct sampled_token *top_out);
