/* Cost: at the emulated layer one exponential per token and head, behind it one addition. */
#include "kvshard/emulate_impl.h"

#include <math.h>

#include "base/check.h"
#include "kvshard/kv_policy_impl.h"

struct emulate {
    const struct kernels *kernels;
    int32_t layer, n_layers, n_heads, group;
    int64_t context_length;
    float *attended;   /* M, [n_slots, n_heads, context_length] */
    int64_t *n_cached; /* [n_slots, n_heads] when it was made */
};

int32_t emulate_default_layer(int32_t n_layers) {
    return n_layers > 2 ? 1 : 0;
}

enum status emulate_create(const struct kv_policy_config *config, int32_t layer, struct arena *memory,
                           struct emulate **emulate_out) {
    struct emulate *emulate;
    if (layer < 0 || layer >= config->n_layers - 1)
        return FAIL(STATUS_BAD_INPUT,
                    "emulate layer %d: no layer comes after it, as the model's layers are 0 to %d", layer,
                    config->n_layers - 1);
    TRY(ARENA_TAKE(memory, 1, &emulate));
    *emulate = (struct emulate){.kernels = config->kernels,
                                .layer = layer,
                                .n_layers = config->n_layers,
                                .n_heads = config->n_heads_local,
                                .group = config->n_heads_local / config->n_kv_heads_local,
                                .context_length = config->context_length};
    const size_t n_rows = (size_t)config->n_slots * (size_t)config->n_heads_local;
    void *attended;
    TRY(arena_take(memory, n_rows, (size_t)config->context_length * sizeof(float), &attended));
    TRY(ARENA_TAKE(memory, n_rows, &emulate->n_cached));
    emulate->attended = attended;
    *emulate_out = emulate;
    return STATUS_OK;
}

enum kv_attention emulate_bits(const struct emulate *emulate, int32_t layer) {
    if (layer < emulate->layer) return 0;
    return layer == emulate->layer ? KV_RANK : KV_RESCORE;
}

static int64_t row_of(const struct emulate *emulate, int32_t slot, int32_t head) {
    return (int64_t)slot * emulate->n_heads + head;
}

static int64_t token_at(struct kv_set set, int64_t i) {
    return set.tokens ? set.tokens[i] : i;
}

/* Never the first token, which gathers what attention has to spare, nor the current one. */
static bool may_boost(int64_t token, int64_t n_cached) {
    return token > 0 && token < n_cached - 1;
}

static float largest(struct kv_set set, const float *scores, int64_t n_cached) {
    float max = -INFINITY;
    for (int64_t i = 0; i < set.n_tokens; i++)
        if (scores[i] > max && may_boost(token_at(set, i), n_cached)) max = scores[i];
    return max;
}

/* exp(score - max), without the softmax's sum, which the division by the largest would take out again. */
void emulate_rank(struct emulate *emulate, int32_t slot, int64_t n_cached, int32_t head, struct kv_set set,
                  const float *scores) {
    const int64_t row = row_of(emulate, slot, head);
    const float max = largest(set, scores, n_cached);
    float *attended = emulate->attended + row * emulate->context_length;
    for (int64_t token = 0; token < n_cached; token++)
        attended[token] = -INFINITY;
    for (int64_t i = 0; i < set.n_tokens; i++) {
        const int64_t token = token_at(set, i);
        if (may_boost(token, n_cached) && scores[i] <= max) /* no NaN */
            attended[token] = scores[i] == max ? 0 : scores[i] - max;
    }
    emulate->kernels->exp(attended, n_cached, attended);
    emulate->n_cached[row] = n_cached;
}

/* log(1 + x) to a float's precision, x from 0 to 1; most are tiny. */
static float log_of_one_more(float x) {
    return x < 0x1p-12f ? x - x * x / 2 : (float)log1p(x);
}

void emulate_rescore(const struct emulate *emulate, int32_t slot, int32_t layer, int64_t n_cached,
                     int32_t kv_head, struct kv_set set, float *scores, int64_t stride) {
    const float share = 1 - (float)layer / (float)emulate->n_layers;
    for (int32_t i = 0; i < emulate->group; i++, scores += stride) {
        const int64_t row = row_of(emulate, slot, kv_head * emulate->group + i);
        const float *attended = emulate->attended + row * emulate->context_length;
        CHECK(emulate->n_cached[row] == n_cached);
        for (int64_t j = 0; j < set.n_tokens; j++)
            scores[j] += log_of_one_more(share * attended[token_at(set, j)]);
    }
}

const struct kv_policy_vtable kv_policy_emulate = {
    .name = "emulate",
    .summary = "full, with later layers boosted where an early one attended; --emulate does it to any policy",
};
