/* tests/kvshard/policy_world.h - a policy with a cache, driven as the worker drives it: keys, queries and
 * scores are numbers drawn for (layer, head, token), so that whoever has the same heads sees the same. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kvshard/kv_policy.h"

enum { WORLD_CONTEXT = 640, WORLD_HEAD_DIM = 32, WORLD_SLOTS = 2 };

struct policy_world {
    struct kv_policy_config config;
    struct kv_cache *cache;
    struct kv_policy *policy;
    int64_t n_tokens[WORLD_SLOTS];
    uint64_t seed;
    bool ties; /* scores and keys are few different ones */
};

struct world_shape {
    const char *policy, *options;
    int32_t budget, n_layers, first_kv_head, n_kv_heads, group;
};

static inline struct kv_policy_config world_config(struct world_shape shape) {
    return (struct kv_policy_config){.name = shape.policy,
                                     .options = shape.options,
                                     .budget = shape.budget,
                                     .n_slots = WORLD_SLOTS,
                                     .n_layers = shape.n_layers,
                                     .n_heads_global = 16 * shape.group,
                                     .n_heads_local = shape.n_kv_heads * shape.group,
                                     .first_head = shape.first_kv_head * shape.group,
                                     .n_kv_heads_local = shape.n_kv_heads,
                                     .head_dim = WORLD_HEAD_DIM,
                                     .context_length = WORLD_CONTEXT,
                                     .n_threads = 4,
                                     .kernels = kernels_at_level(kernels_best_level())};
}

static inline struct policy_world world_create(struct world_shape shape, uint64_t seed, bool ties) {
    struct policy_world world = {.config = world_config(shape), .seed = seed, .ties = ties};
    const struct kv_shape cache = {.n_slots = WORLD_SLOTS,
                                   .n_layers = shape.n_layers,
                                   .n_kv_heads_local = shape.n_kv_heads,
                                   .head_dim = WORLD_HEAD_DIM,
                                   .context_length = WORLD_CONTEXT,
                                   .dtype = DTYPE_F32};
    assert_int_equal(kv_cache_create(&cache, world.config.kernels, &world.cache), STATUS_OK);
    world.config.cache = world.cache;
    assert_int_equal(kv_policy_create(&world.config, &world.policy), STATUS_OK);
    return world;
}

static inline void world_destroy(struct policy_world *world) {
    kv_policy_destroy(world->policy);
    kv_cache_destroy(world->cache);
}

static inline void world_refuses(struct world_shape shape, const char *word) {
    const struct kv_policy_config config = world_config(shape);
    struct kv_policy *policy;
    assert_int_equal(kv_policy_create(&config, &policy), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), word));
}

static inline int32_t world_group(const struct policy_world *world) {
    return world->config.n_heads_local / world->config.n_kv_heads_local;
}

static inline int32_t world_kv_head(const struct policy_world *world, int32_t kv_head) {
    return world->config.first_head / world_group(world) + kv_head;
}

/* [-1, 1), of a kind, layer, global head, and two numbers. */
static inline double world_draw(const struct policy_world *world, uint64_t kind, int32_t layer, int32_t head,
                                int64_t a, int64_t b) {
    const uint64_t stream = (kind * 64 + (uint64_t)layer) * 64 + (uint64_t)head;
    return 2 * rng_uniform(world->seed, stream, (uint64_t)a * 100000 + (uint64_t)b) - 1;
}

/* Of a step's query head for a token. */
static inline float world_score(const struct policy_world *world, int32_t layer, int32_t head,
                                int64_t n_cached, int64_t token) {
    const double u = world_draw(world, 1, layer, world->config.first_head + head, n_cached, token);
    return world->ties ? (float)floor(2 * u) : (float)(4 * u);
}

/* Some tokens' keys are nearly those of the token 5 before, or with ties exactly. */
static inline void world_key(const struct policy_world *world, int32_t layer, int32_t kv_head, int64_t token,
                             float key[WORLD_HEAD_DIM]) {
    const int32_t head = world_kv_head(world, kv_head);
    const bool repeats = world_draw(world, 2, layer, head, token, 0) > 0.4;
    for (int d = 0; d < WORLD_HEAD_DIM; d++) {
        const double own = world_draw(world, 3, layer, head, token, d);
        const double old = world_draw(world, 3, layer, head, token % 5, d);
        key[d] = (float)(repeats ? old + (world->ties ? 0 : 0.2) * own : own);
    }
}

static inline void world_append(struct policy_world *world, int32_t slot, int64_t first, int64_t n) {
    float key[WORLD_HEAD_DIM];
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            for (int64_t token = first; token < first + n; token++) {
                world_key(world, layer, kv_head, token, key);
                kv_cache_append(world->cache, slot, layer, kv_head,
                                kv_policy_row(world->policy, slot, layer, kv_head, token), key, key);
            }
}

static inline void world_prefill(struct policy_world *world, int32_t slot, int64_t n) {
    assert_int_equal(kv_policy_admit(world->policy, slot, world->n_tokens[slot], n, false), STATUS_OK);
    world_append(world, slot, world->n_tokens[slot], n);
    world->n_tokens[slot] += n;
}

static inline void world_rewind(struct policy_world *world, int32_t slot, int64_t n) {
    if (n == 0) kv_cache_free_slot(world->cache, slot);
    kv_policy_rewind(world->policy, slot, n);
    world->n_tokens[slot] = n;
}

/* One head looks at the scores of its list. */
static inline void world_rank(struct policy_world *world, int32_t slot, int32_t layer, int32_t head) {
    static _Thread_local float scores[WORLD_CONTEXT];
    const int64_t n = world->n_tokens[slot];
    const struct kv_set set = kv_policy_set(world->policy, slot, layer, n, head);
    for (int64_t i = 0; i < set.n_tokens; i++)
        scores[i] = world_score(world, layer, head, n, set.tokens ? set.tokens[i] : i);
    kv_policy_rank(world->policy, head % 4, slot, layer, n, head, scores);
}

static inline void world_query(const struct policy_world *world, int32_t layer, int32_t head,
                               int64_t n_cached, float q[WORLD_HEAD_DIM]) {
    /* Drifts slowly, and jumps now and then. */
    const int32_t global = world->config.first_head + head;
    const double drift = (double)(n_cached % 64) / 40;
    for (int d = 0; d < WORLD_HEAD_DIM; d++)
        q[d] = (float)(world_draw(world, 4, layer, global, n_cached / 64, d) +
                       drift * world_draw(world, 5, layer, global, n_cached / 64, d));
}

static inline void world_choose(struct policy_world *world, int32_t slot, int32_t layer, int32_t kv_head) {
    float q[16 * WORLD_HEAD_DIM];
    for (int32_t i = 0; i < world_group(world); i++)
        world_query(world, layer, kv_head * world_group(world) + i, world->n_tokens[slot],
                    q + i * WORLD_HEAD_DIM);
    kv_policy_choose(world->policy, kv_head % 4, slot, layer, world->n_tokens[slot], kv_head, q);
}

/* A decode step before its layers. */
static inline void world_admit(struct policy_world *world, int32_t slot) {
    assert_int_equal(kv_policy_admit(world->policy, slot, world->n_tokens[slot], 1, true), STATUS_OK);
    world_append(world, slot, world->n_tokens[slot]++, 1);
}

static inline void world_layer(struct policy_world *world, int32_t slot, int32_t layer) {
    const enum kv_attention action = kv_policy_layer(world->policy, slot, layer, world->n_tokens[slot]);
    if (action & KV_CHOOSE)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            world_choose(world, slot, layer, kv_head);
    if (action & KV_RANK)
        for (int32_t head = world->config.n_heads_local - 1; head >= 0; head--) /* in any order */
            world_rank(world, slot, layer, head);
}

static inline void world_decode(struct policy_world *world, int32_t slot) {
    world_admit(world, slot);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        world_layer(world, slot, layer);
}

/* Pages in use are those that the lists of both slots need. */
static inline void assert_pages_returned(const struct policy_world *world) {
    const size_t page_bytes = 2 * KV_PAGE_TOKENS * WORLD_HEAD_DIM * sizeof(float);
    int64_t n_pages = 0;
    for (int32_t slot = 0; slot < WORLD_SLOTS; slot++)
        for (int32_t layer = 0; layer < world->config.n_layers && world->n_tokens[slot] > 0; layer++)
            for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
                n_pages += kv_pages_of(
                    kv_policy_resident(world->policy, slot, layer, kv_head, world->n_tokens[slot]).n_tokens);
    assert_int_equal(kv_cache_bytes_in_use(world->cache), (size_t)n_pages * page_bytes);
}

/* Each resident token's row holds its key. */
static inline void assert_rows_hold_keys(const struct policy_world *world, int32_t slot, int32_t layer,
                                         int32_t kv_head) {
    const struct kv_set set = kv_policy_resident(world->policy, slot, layer, kv_head, world->n_tokens[slot]);
    for (int64_t i = 0; i < set.n_tokens; i++) {
        const int32_t row = set.rows ? set.rows[i] : set.tokens ? set.tokens[i] : (int32_t)i;
        float expected[WORLD_HEAD_DIM];
        const void *key, *value;
        kv_cache_rows(world->cache, slot, layer, kv_head, &row, 0, 1, &key, &value);
        world_key(world, layer, kv_head, set.tokens ? set.tokens[i] : i, expected);
        assert_memory_equal(key, expected, sizeof expected);
    }
}
