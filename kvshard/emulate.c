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

/* Entries [begin, end) of a list: all but the first token, which gathers what attention has to spare, and the
 * current one. Lists ascend. */
struct boosted {
    int64_t begin, end;
};

static struct boosted boosted_of(struct kv_set set, int64_t n_cached) {
    return (struct boosted){token_at(set, 0) == 0,
                            set.n_tokens - (token_at(set, set.n_tokens - 1) == n_cached - 1)};
}

static float largest(const float *scores, struct boosted range) {
    float max = -INFINITY;
    for (int64_t i = range.begin; i < range.end; i++)
        max = scores[i] > max ? scores[i] : max;
    return max;
}

/* exp(score - max), without the softmax's sum, which the division by the largest would take out again. */
void emulate_rank(struct emulate *emulate, int32_t slot, int64_t n_cached, int32_t head, struct kv_set set,
                  const float *scores) {
    const int64_t row = row_of(emulate, slot, head);
    const struct boosted range = boosted_of(set, n_cached);
    const float max = largest(scores, range);
    float *attended = emulate->attended + row * emulate->context_length;
    for (int64_t token = 0; token < n_cached; token++)
        attended[token] = -INFINITY;
    for (int64_t i = range.begin; i < range.end; i++)
        if (scores[i] <= max) /* no NaN */
            attended[token_at(set, i)] = scores[i] == max ? 0 : scores[i] - max;
    emulate->kernels->exp(attended, n_cached, attended);
    emulate->n_cached[row] = n_cached;
}

/* log(1 + x) for x from 0 to 1, by the series of 2 atanh(x / (2 + x)), whose rest is below 2^-29. */
static float log_of_one_more(float x) {
    const float s = x / (2 + x), z = s * s;
    float sum = 1.0f / 15;
    for (int odd = 13; odd > 0; odd -= 2)
        sum = sum * z + 1.0f / (float)odd;
    return 2 * s * sum;
}

void emulate_rescore(const struct emulate *emulate, int32_t slot, int32_t layer, int64_t n_cached,
                     int32_t kv_head, struct kv_set set, float *scores, int64_t stride) {
    const float share = 1 - (float)layer / (float)emulate->n_layers;
    for (int32_t i = 0; i < emulate->group; i++, scores += stride) {
        const int64_t row = row_of(emulate, slot, kv_head * emulate->group + i);
        const float *attended = emulate->attended + row * emulate->context_length;
        CHECK(emulate->n_cached[row] == n_cached);
        if (set.tokens)
            for (int64_t j = 0; j < set.n_tokens; j++)
                scores[j] += log_of_one_more(share * attended[set.tokens[j]]);
        else
            for (int64_t j = 0; j < set.n_tokens; j++)
                scores[j] += log_of_one_more(share * attended[j]);
    }
}

const struct kv_policy_vtable kv_policy_emulate = {
    .name = "emulate",
    .summary = "full, with later layers boosted where an early one attended; --emulate does it to any policy",
};
