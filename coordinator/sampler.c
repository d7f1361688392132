#include "coordinator/sampler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/rng.h"
#include "coordinator/token_draw_impl.h"

struct sampler {
    struct arena *arena;
    struct sampler_config config;
    int32_t vocab_size;
    bool *seen;               /* [vocab_size] */
    float *logits;            /* [vocab_size] a fetched row */
    struct candidate *ranked; /* [vocab_size] the tokens of one draw, after the penalty */
    int64_t fetches;
};

static bool is_penalised(const struct sampler_config *config) {
    return config->repetition_penalty != 1;
}

/* The bounds keep every weight finite: no inverse overflows, and no penalty is 0 or infinite as a float. */
static enum status check_config(const struct sampler_config *config) {
    if (config->temperature != 0 && !(config->temperature >= 1e-6 && config->temperature <= 1e6))
        return FAIL(STATUS_BAD_INPUT, "temperature is %g; it must be 0 (greedy) or between 1e-06 and 1e+06",
                    config->temperature);
    if (config->top_k < 0)
        return FAIL(STATUS_BAD_INPUT, "top-k is %d; it must be 0 (off) or more", (int)config->top_k);
    if (!(config->top_p >= 0 && config->top_p <= 1))
        return FAIL(STATUS_BAD_INPUT, "top-p is %g; it must be between 0 and 1 (off)", config->top_p);
    if (!(config->min_p >= 0 && config->min_p <= 1))
        return FAIL(STATUS_BAD_INPUT, "min-p is %g; it must be between 0 (off) and 1", config->min_p);
    if (!(config->repetition_penalty >= 0.01 && config->repetition_penalty <= 100))
        return FAIL(STATUS_BAD_INPUT, "repetition-penalty is %g; it must be between 0.01 and 100, 1 for off",
                    config->repetition_penalty);
    return STATUS_OK;
}

enum status sampler_create(const struct sampler_config *config, int32_t vocab_size,
                           struct sampler **sampler_out) {
    CHECK(vocab_size > 0);
    TRY(check_config(config));
    struct arena *arena;
    TRY(arena_create("sampler", &arena));
    enum status status;
    struct sampler *sampler;
    TRY_GOTO(ARENA_TAKE(arena, 1, &sampler), destroy_arena);
    *sampler = (struct sampler){.arena = arena, .config = *config, .vocab_size = vocab_size};
    TRY_GOTO(ARENA_TAKE(arena, (size_t)vocab_size, &sampler->seen), destroy_arena);
    TRY_GOTO(ARENA_TAKE(arena, (size_t)vocab_size, &sampler->logits), destroy_arena);
    TRY_GOTO(ARENA_TAKE(arena, (size_t)vocab_size, &sampler->ranked), destroy_arena);
    arena_seal(arena);
    *sampler_out = sampler;
    return STATUS_OK;

destroy_arena:
    arena_destroy(arena);
    return status;
}

void sampler_destroy(struct sampler *sampler) {
    if (sampler) arena_destroy(sampler->arena);
}

int32_t sampler_candidates_wanted(const struct sampler_config *config) {
    if (token_draw_is_greedy(config)) return is_penalised(config) ? STEP_MAX_CANDIDATES : 1;
    if (token_draw_needs_total(config))
        return is_penalised(config) ? 1 /* always fetched */ : STEP_MAX_CANDIDATES;
    if (config->top_k == 0 || is_penalised(config)) return STEP_MAX_CANDIDATES;
    /* One more than top-k shows that no further token ties with the k-th. */
    return config->top_k < STEP_MAX_CANDIDATES ? config->top_k + 1 : 1;
}

double sampler_inverse_temperature(const struct sampler_config *config) {
    return token_draw_is_greedy(config) ? 1 : 1 / config->temperature;
}

void sampler_accept(struct sampler *sampler, int32_t token) {
    CHECK(token >= 0 && token < sampler->vocab_size);
    sampler->seen[token] = true;
}

int64_t sampler_fetches(const struct sampler *sampler) {
    return sampler->fetches;
}

/* In float, as transformers computes it: which tokens tie after the penalty depends on it. */
static float penalise(const struct sampler *sampler, float logit) {
    const float penalty = (float)sampler->config.repetition_penalty;
    const float penalised = logit < 0 ? logit * penalty : logit / penalty;
    return fmaxf(-FLT_MAX, fminf(FLT_MAX, penalised));
}

static struct candidate after_penalty(const struct sampler *sampler, int32_t token, float logit) {
    CHECK(token >= 0 && token < sampler->vocab_size);
    const bool applies = is_penalised(&sampler->config) && sampler->seen[token];
    return (struct candidate){token, applies ? penalise(sampler, logit) : logit};
}

static struct token_draw begin_draw(const struct sampler *sampler, const struct logits_row *row) {
    return (struct token_draw){.config = &sampler->config,
                               .inverse_temperature = sampler_inverse_temperature(&sampler->config),
                               .total = row->sum_exp_scaled};
}

static bool draw_from_candidates(struct sampler *sampler, const struct logits_row *row, double uniform,
                                 int32_t *token_out) {
    const bool penalised = is_penalised(&sampler->config);
    if (penalised && token_draw_needs_total(&sampler->config)) return false;
    for (int32_t i = 0; i < row->n_candidates; i++)
        sampler->ranked[i] = after_penalty(sampler, row->candidates[i].token, row->candidates[i].logit);
    /* The penalty is monotone: no unlisted token, seen or not, comes out above what it makes of the last
     * candidate. Only without it are ties with the last candidate known to have larger ids. */
    const float last = row->candidates[row->n_candidates - 1].logit;
    const float unlisted_max = penalised ? fmaxf(last, penalise(sampler, last)) : last;
    struct token_draw draw = begin_draw(sampler, row);
    draw.ranking = token_ranking_begin(sampler->ranked, row->n_candidates, unlisted_max, !penalised);
    return token_draw_try(&draw, uniform, token_out);
}

/* The weight of the penalised row; that of a row as it came the ranks have summed already. */
static double total_weight(const struct candidate *tokens, int32_t n, double inverse_temperature) {
    float best = tokens[0].logit;
    for (int32_t i = 1; i < n; i++)
        best = fmaxf(best, tokens[i].logit);
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp(((double)tokens[i].logit - (double)best) * inverse_temperature);
    return sum;
}

static int32_t draw_from_row(struct sampler *sampler, const struct logits_row *row, double uniform) {
    const int32_t n = sampler->vocab_size;
    for (int32_t token = 0; token < n; token++)
        sampler->ranked[token] = after_penalty(sampler, token, sampler->logits[token]);
    struct token_draw draw = begin_draw(sampler, row);
    if (is_penalised(&sampler->config) && token_draw_needs_total(&sampler->config))
        draw.total = total_weight(sampler->ranked, n, draw.inverse_temperature);
    draw.ranking = token_ranking_begin(sampler->ranked, n, -INFINITY, true);
    int32_t token = -1;
    CHECK(token_draw_try(&draw, uniform, &token));
    return token;
}

/* Brings the whole row to sampler->logits, without asking for it where the candidates are all there is. */
static enum status complete_row(struct sampler *sampler, const struct logits_row *row,
                                struct logits_source source) {
    if (row->n_candidates < sampler->vocab_size) {
        CHECK(source.fetch);
        TRY(source.fetch(source.self, sampler->logits));
        sampler->fetches++;
        return STATUS_OK;
    }
    for (int32_t i = 0; i < row->n_candidates; i++) {
        const struct candidate candidate = row->candidates[i];
        CHECK(candidate.token >= 0 && candidate.token < sampler->vocab_size);
        sampler->logits[candidate.token] = candidate.logit;
    }
    return STATUS_OK;
}

static float logprob(const struct logits_row *row, float logit) {
    return (float)((double)logit - (double)row->max_logit - log(row->sum_exp));
}

static float candidate_logit(const struct logits_row *row, int32_t token) {
    int32_t i = 0;
    while (row->candidates[i].token != token)
        i++;
    return row->candidates[i].logit;
}

enum status sampler_draw(struct sampler *sampler, const struct logits_row *row, uint64_t index,
                         struct logits_source source, struct sampled_token *token_out) {
    if (!row->finite)
        return FAIL(STATUS_BAD_INPUT,
                    "the logits at position %lld hold NaN or infinity; the weights may be damaged, or try "
                    "--numerics fast",
                    (long long)row->position);
    CHECK(row->n_candidates >= 1 && row->n_candidates <= sampler->vocab_size);
    const double uniform = rng_uniform(sampler->config.seed, sampler->config.stream, index);
    int32_t token;
    float logit;
    if (row->n_candidates < sampler->vocab_size && draw_from_candidates(sampler, row, uniform, &token)) {
        logit = candidate_logit(row, token);
    } else {
        TRY(complete_row(sampler, row, source));
        token = draw_from_row(sampler, row, uniform);
        logit = sampler->logits[token];
    }
    *token_out = (struct sampled_token){token, logprob(row, logit)};
    return STATUS_OK;
}

int32_t logits_row_top(const struct logits_row *row, int32_t n, struct sampled_token *top_out) {
    if (n > row->n_candidates) n = row->n_candidates;
    for (int32_t i = 0; i < n; i++)
        top_out[i] = (struct sampled_token){row->candidates[i].token, logprob(row, row->candidates[i].logit)};
    return n;
}
