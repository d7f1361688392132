/* Sparsemax (Martins & Astudillo, arXiv 1602.02068) in the place of softmax, as GiantRabbit (arXiv
 * 2411.09111) has it: most weights are exactly 0, and how many are not is up to the scores.
 *
 *   z[i]      = score[i] / temperature
 *   weight[i] = max(z[i] - tau, 0), and tau makes the weights sum to 1
 *
 * `sparsemax` weighs values so; `sparsemax-select` takes the tokens that have weight under any query head of
 * the KV head, and weighs these by softmax of their scores. There is no budget.
 *
 * tau is at least max z - 1, or the largest alone would have more than 1: so only what is within 1 of the
 * largest can have weight, mostly a few. Of these, tau is found without sorting (Michelot 1986): were all of
 * them in the support, tau would be (sum z - 1) / n; whoever is not above it has no weight; again with those
 * that are left, until all are. The sums run over tokens in ascending order, in double.
 *
 * The worker knows softmax only. The weights sum to 1, so the softmax of their logarithms is what they are.
 *
 * Cost: per layer and token O(N) scores, 3 passes over them a head, and O(support) values. */
#include <math.h>
#include <string.h>

#include "kvshard/head_lists_impl.h"
#include "kvshard/kv_policy_impl.h"
#include "kvshard/token_marks_impl.h"

enum { TEMPERATURE, FIRST_LAYER };

static const struct kv_policy_option options[] = {
    [TEMPERATURE] = {"temperature", 1, 0.001, 1000, false,
                     "scores are divided by it; the smaller, the fewer tokens"},
    [FIRST_LAYER] = {"first-layer", 2, 0, 65535, true, "layers before it are dense"},
    {0},
};

/* Of one query head. */
struct threshold {
    double max; /* the largest score */
    double tau; /* in units of z - max z */
};

struct scratch {
    uint32_t *words; /* [context_length] scores, smaller is better */
    int32_t *near;   /* [context_length] tokens that may have weight */
    double *z;       /* [context_length] of these */
    struct token_marks in_support;
    struct threshold *thresholds; /* [g] */
};

struct sparsemax {
    const struct kernels *kernels;
    double temperature;
    int32_t group; /* g */
    struct head_lists supports;
    struct scratch *scratch; /* [n_threads] */
};

static enum status create_scratch(const struct kv_policy_config *config, struct arena *memory, int32_t group,
                                  struct scratch *scratch) {
    const size_t n = (size_t)config->context_length;
    TRY(ARENA_TAKE(memory, n, &scratch->words));
    TRY(ARENA_TAKE(memory, n, &scratch->near));
    TRY(ARENA_TAKE(memory, n, &scratch->z));
    TRY(token_marks_create(memory, config->context_length, &scratch->in_support));
    return ARENA_TAKE(memory, (size_t)group, &scratch->thresholds);
}

static enum status sparsemax_create(const struct kv_policy_config *config, const double *values,
                                    struct arena *memory, void **state_out) {
    struct sparsemax *policy;
    TRY(ARENA_TAKE(memory, 1, &policy));
    policy->kernels = config->kernels;
    policy->temperature = values[TEMPERATURE];
    policy->group = config->n_heads_local / config->n_kv_heads_local;
    TRY(head_lists_create(config, values[FIRST_LAYER], memory, &policy->supports));
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &policy->scratch));
    for (int32_t i = 0; i < config->n_threads; i++)
        TRY(create_scratch(config, memory, policy->group, &policy->scratch[i]));
    *state_out = policy;
    return STATUS_OK;
}

static enum kv_attention sparsemax_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    const struct sparsemax *policy = state;
    (void)slot;
    (void)n_cached;
    return layer < policy->supports.first_layer ? KV_ATTEND_ALL : KV_RESCORE;
}

static void sparsemax_rewind(void *state, int32_t slot, int64_t n) {
    const struct sparsemax *policy = state;
    (void)n;
    head_lists_clear(&policy->supports, slot);
}

/* z - max z, at most 0. Infinities tie. */
static double below_max(const struct sparsemax *policy, float score, double max) {
    return score == max ? 0 : (score - max) / policy->temperature;
}

/* The score that has the smallest word. All NaN: NaN. */
static float largest(const struct sparsemax *policy, const float *scores, int64_t n,
                     const struct scratch *scratch) {
    uint32_t least = UINT32_MAX;
    for (int64_t i = 0; i < n; i++)
        least = scratch->words[i] < least ? scratch->words[i] : least;
    policy->kernels->words_at_most(scratch->words, n, least, scratch->near);
    return scores[scratch->near[0]];
}

/* The tokens whose z is within 1 of the largest are in scratch->near; returns how many. */
static int64_t find_near(const struct sparsemax *policy, int64_t n, float max,
                         const struct scratch *scratch) {
    const float limit = nextafterf((float)(max - policy->temperature), -INFINITY);
    uint32_t word;
    policy->kernels->words_of_scores(&limit, 1, &word);
    return policy->kernels->words_at_most(scratch->words, n, word, scratch->near);
}

/* z [n] is overwritten. The largest is 0 and above (sum - 1) / n <= -1 / n, so it is never left out. */
static double solve_tau(double *z, int64_t n) {
    for (;;) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += z[i];
        const double tau = (sum - 1) / (double)n;
        int64_t n_above = 0;
        for (int64_t i = 0; i < n; i++)
            if (z[i] > tau) z[n_above++] = z[i];
        if (n_above == n) return tau;
        n = n_above;
    }
}

/* NaN without any score that is a number, and for NaN. */
static double weight_of(const struct sparsemax *policy, float score, const struct threshold *threshold) {
    return below_max(policy, score, threshold->max) - threshold->tau;
}

/* One query head's threshold; what has weight is marked. */
static void find_support(const struct sparsemax *policy, const float *scores, int64_t n,
                         const struct scratch *scratch, struct threshold *threshold) {
    policy->kernels->words_of_scores(scores, n, scratch->words);
    const float max = largest(policy, scores, n, scratch);
    *threshold = (struct threshold){max, NAN};
    if (isnan(max)) return;
    const int64_t n_near = find_near(policy, n, max, scratch);
    for (int64_t i = 0; i < n_near; i++)
        scratch->z[i] = below_max(policy, scores[scratch->near[i]], max);
    threshold->tau = solve_tau(scratch->z, n_near);
    for (int64_t i = 0; i < n_near; i++)
        if (weight_of(policy, scores[scratch->near[i]], threshold) > 0)
            mark_token(&scratch->in_support, scratch->near[i]);
}

/* Finds the union of the supports of the KV head's query heads: entries_out, and what `attended` tells. It is
 * the current token where no head has any number among its scores. */
static int64_t find_union(const struct sparsemax *policy, const struct scratch *scratch, int64_t n_cached,
                          const float *scores, int64_t stride, struct head_list *list, int32_t *entries_out) {
    for (int32_t head = 0; head < policy->group; head++)
        find_support(policy, scores + head * stride, n_cached, scratch, &scratch->thresholds[head]);
    list->n = take_marked(&scratch->in_support, n_cached, entries_out);
    if (list->n == 0) entries_out[list->n++] = (int32_t)n_cached - 1;
    memcpy(list->tokens, entries_out, (size_t)list->n * sizeof *entries_out);
    return list->n;
}

static int64_t sparsemax_rescore(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                                 int32_t kv_head, float *scores, int64_t stride, int32_t *entries_out) {
    const struct sparsemax *policy = state;
    const struct scratch *scratch = &policy->scratch[thread];
    const int64_t n = find_union(policy, scratch, n_cached, scores, stride,
                                 head_list_of(&policy->supports, slot, layer, kv_head), entries_out);
    for (int32_t head = 0; head < policy->group; head++)
        for (int64_t i = 0; i < n; i++) {
            const double weight =
                weight_of(policy, scores[head * stride + entries_out[i]], &scratch->thresholds[head]);
            scores[head * stride + i] = weight > 0 ? (float)log(weight) : KV_SCORE_NONE;
        }
    return n;
}

static int64_t select_rescore(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                              int32_t kv_head, float *scores, int64_t stride, int32_t *entries_out) {
    const struct sparsemax *policy = state;
    const int64_t n = find_union(policy, &policy->scratch[thread], n_cached, scores, stride,
                                 head_list_of(&policy->supports, slot, layer, kv_head), entries_out);
    for (int32_t head = 0; head < policy->group; head++)
        for (int64_t i = 0; i < n; i++) {
            const float score = scores[head * stride + entries_out[i]];
            scores[head * stride + i] = isnan(score) ? KV_SCORE_NONE : score;
        }
    return n;
}

static struct kv_set sparsemax_attended(const void *state, int32_t slot, int32_t layer, int32_t head) {
    const struct sparsemax *policy = state;
    return head_list_set(head_list_of(&policy->supports, slot, layer, head / policy->group));
}

const struct kv_policy_vtable kv_policy_sparsemax = {
    .name = "sparsemax",
    .summary = "weights of sparsemax, most of which are 0; no budget",
    .options = options,
    .create = sparsemax_create,
    .rewind = sparsemax_rewind,
    .layer = sparsemax_layer,
    .rescore = sparsemax_rescore,
    .attended = sparsemax_attended,
};

const struct kv_policy_vtable kv_policy_sparsemax_select = {
    .name = "sparsemax-select",
    .summary = "softmax over the tokens that have weight under sparsemax; no budget",
    .options = options,
    .create = sparsemax_create,
    .rewind = sparsemax_rewind,
    .layer = sparsemax_layer,
    .rescore = select_rescore,
    .attended = sparsemax_attended,
};
