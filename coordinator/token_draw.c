#include "coordinator/token_draw_impl.h"

#include <math.h>

enum { KEEP_ALL = INT32_MAX };

bool token_draw_is_greedy(const struct sampler_config *config) {
    return config->temperature == 0;
}

bool token_draw_needs_total(const struct sampler_config *config) {
    return !token_draw_is_greedy(config) && config->top_k == 0 && (config->top_p < 1 || config->min_p == 0);
}

static double weight(const struct token_draw *draw, float logit) {
    return exp(((double)logit - (double)draw->best_logit) * draw->inverse_temperature);
}

static double kept_weight(struct token_draw *draw, int32_t kept) {
    double sum = 0;
    struct candidate token;
    for (int32_t i = 0; i < kept && token_ranking_at(&draw->ranking, i, &token) == PLACE_KNOWN; i++)
        sum += weight(draw, token.logit);
    return sum;
}

/* The largest logit that the `i`-th best token can have; -INFINITY beyond the last. */
static float most_at(struct token_draw *draw, int32_t i, enum place *place_out) {
    struct candidate token;
    *place_out = token_ranking_at(&draw->ranking, i, &token);
    return *place_out == PLACE_KNOWN ? token.logit : draw->ranking.unlisted_max;
}

/* The three cuts set *kept, how many of the best tokens stay; false where the listed tokens cannot tell. */
static bool cut_top_k(struct token_draw *draw, int32_t *kept) {
    float kth_logit = INFINITY;
    for (int32_t i = 0;; i++) {
        enum place place;
        const float logit = most_at(draw, i, &place);
        if (place == PLACE_NONE || (i >= draw->config->top_k && logit < kth_logit)) {
            *kept = i;
            return true;
        }
        if (place == PLACE_UNKNOWN) return false;
        if (i < draw->config->top_k) kth_logit = logit;
    }
}

static bool cut_top_p(struct token_draw *draw, int32_t *kept) {
    const double total = *kept == KEEP_ALL ? draw->total : kept_weight(draw, *kept);
    const double wanted = draw->config->top_p * total;
    double sum = 0;
    int32_t i = 0;
    do {
        struct candidate token;
        const enum place place = token_ranking_at(&draw->ranking, i, &token);
        if (place == PLACE_UNKNOWN) return false;
        if (place == PLACE_NONE) break;
        sum += weight(draw, token.logit);
        i++;
    } while (i < *kept && sum < wanted);
    *kept = i;
    return true;
}

static bool cut_min_p(struct token_draw *draw, int32_t *kept) {
    int32_t i = 0;
    for (; i < *kept; i++) {
        enum place place;
        if (weight(draw, most_at(draw, i, &place)) < draw->config->min_p) break;
        if (place == PLACE_UNKNOWN) return false;
    }
    *kept = i;
    return true;
}

/* Walks the kept tokens, best first, to where the uniform number points. Without a cut the walk may end
 * among the listed tokens, however much weight lies below them. */
static bool walk(struct token_draw *draw, int32_t kept, double uniform, int32_t *token_out) {
    const double target = uniform * (kept == KEEP_ALL ? draw->total : kept_weight(draw, kept));
    double sum = 0;
    struct candidate token = {0};
    for (int32_t i = 0; i < kept; i++) {
        const enum place place = token_ranking_at(&draw->ranking, i, &token);
        if (place == PLACE_UNKNOWN) return false;
        if (place == PLACE_NONE) break; /* rounding: the last one it is */
        sum += weight(draw, token.logit);
        if (sum > target) break;
    }
    *token_out = token.token;
    return true;
}

bool token_draw_try(struct token_draw *draw, double uniform, int32_t *token_out) {
    struct candidate best;
    if (token_ranking_at(&draw->ranking, 0, &best) != PLACE_KNOWN) return false;
    *token_out = best.token;
    if (token_draw_is_greedy(draw->config)) return true;
    draw->best_logit = best.logit;
    int32_t kept = KEEP_ALL;
    if (draw->config->top_k > 0 && !cut_top_k(draw, &kept)) return false;
    if (draw->config->top_p < 1 && !cut_top_p(draw, &kept)) return false;
    if (draw->config->min_p > 0 && !cut_min_p(draw, &kept)) return false;
    return walk(draw, kept, uniform, token_out);
}
