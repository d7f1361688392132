/* tests/kvshard/kv_world.h - a cache with drawn keys and the policy that reads it, as a worker without a
 * model would drive them. Keys and queries are multiples of 1/8 from -1 to 1, so that every sum over a few
 * hundred channels is exact in f32, whatever its order, and ties abound. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "kvshard/kv_policy.h"
#include "tests/kvshard/policy_fixture.h"

enum { WORLD_MAX_DIM = 128 };

struct kv_world {
    struct kv_policy_config config; /* the cache is filled in */
    int32_t group;
    uint64_t seed;
    struct kv_cache *cache;
    struct kv_policy *policy;
};

/* `config` says everything but the cache, which stores f16. */
static inline struct kv_world kv_world_create(struct kv_policy_config config, uint64_t seed) {
    struct kv_world world = {
        .config = config, .group = config.n_heads_local / config.n_kv_heads_local, .seed = seed};
    const struct kv_shape shape = {.n_slots = config.n_slots,
                                   .n_layers = config.n_layers,
                                   .n_kv_heads_local = config.n_kv_heads_local,
                                   .head_dim = config.head_dim,
                                   .context_length = config.context_length,
                                   .dtype = DTYPE_F16};
    assert_int_equal(kv_cache_create(&shape, world.config.kernels, &world.cache), STATUS_OK);
    world.config.cache = world.cache;
    assert_int_equal(kv_policy_create(&world.config, &world.policy), STATUS_OK);
    return world;
}

static inline void kv_world_destroy(struct kv_world *world) {
    kv_policy_destroy(world->policy);
    kv_cache_destroy(world->cache);
}

static inline void kv_world_draw(uint64_t seed, uint64_t stream, uint64_t first, int32_t n, float *row) {
    for (int32_t d = 0; d < n; d++)
        row[d] = (float)floor(rng_uniform(seed, stream, first + (uint64_t)d) * 17) / 8 - 1;
}

static inline uint64_t kv_world_stream(const struct kv_world *world, int32_t slot, int32_t layer,
                                       int32_t kv_head) {
    return (uint64_t)((slot * world->config.n_layers + layer) * world->config.n_kv_heads_local + kv_head);
}

/* [head_dim] of a token: another one for another seed. */
static inline void kv_world_key(const struct kv_world *world, int32_t slot, int32_t layer, int32_t kv_head,
                                int64_t token, float *key) {
    kv_world_draw(world->seed, kv_world_stream(world, slot, layer, kv_head),
                  (uint64_t)(token * world->config.head_dim), world->config.head_dim, key);
}

/* [g, head_dim] of the KV head's queries in the step of n_cached tokens. */
static inline void kv_world_queries(const struct kv_world *world, int32_t slot, int32_t layer,
                                    int32_t kv_head, int64_t n_cached, float *q) {
    const int32_t n = world->group * world->config.head_dim;
    kv_world_draw(world->seed + 1, kv_world_stream(world, slot, layer, kv_head), (uint64_t)(n_cached * n), n,
                  q);
}

/* Admits tokens first … first + n - 1 and stores their keys. */
static inline void kv_world_admit(struct kv_world *world, int32_t slot, int64_t first, int64_t n,
                                  bool decode) {
    float key[WORLD_MAX_DIM];
    assert_int_equal(kv_policy_admit(world->policy, slot, first, n, decode), STATUS_OK);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            for (int64_t token = first; token < first + n; token++) {
                kv_world_key(world, slot, layer, kv_head, token, key);
                kv_cache_append(world->cache, slot, layer, kv_head,
                                kv_policy_row(world->policy, slot, layer, kv_head, token), key, key);
            }
}

/* One decode step: the token is admitted, and every layer and KV head chooses where the policy wants that. */
static inline void kv_world_decode(struct kv_world *world, int32_t slot, int64_t token) {
    float q[8 * WORLD_MAX_DIM];
    kv_world_admit(world, slot, token, 1, true);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++) {
            if (!(kv_policy_layer(world->policy, slot, layer, token + 1) & KV_CHOOSE)) continue;
            kv_world_queries(world, slot, layer, kv_head, token + 1, q);
            kv_policy_choose(world->policy, 0, slot, layer, token + 1, kv_head, q);
        }
}

static inline void kv_world_free(struct kv_world *world, int32_t slot) {
    kv_cache_free_slot(world->cache, slot);
    kv_policy_rewind(world->policy, slot, 0);
}

struct kv_world_run {
    struct kv_world *world;
    int32_t slot, layer, n_times;
    int64_t n_cached;
    bool anew;
};

static inline void *kv_world_choose_often(void *argument) {
    const struct kv_world_run *run = argument;
    float q[8 * WORLD_MAX_DIM];
    for (int32_t i = 0; i < run->n_times; i++)
        for (int32_t kv_head = 0; kv_head < run->world->config.n_kv_heads_local; kv_head++) {
            if (run->anew) kv_policy_rewind(run->world->policy, run->slot, 0);
            kv_world_queries(run->world, run->slot, run->layer, kv_head, run->n_cached, q);
            kv_policy_choose(run->world->policy, run->slot, run->slot, run->layer, run->n_cached, kv_head, q);
        }
    return NULL;
}

/* Both slots at the same time, each so often; anew: forgetting each time what was made of the keys. */
static inline void kv_world_choose_at_once(struct kv_world *world, int32_t layer, int64_t n_cached,
                                           int32_t n_times, bool anew) {
    struct kv_world_run runs[FIXTURE_SLOTS];
    for (int32_t slot = 0; slot < FIXTURE_SLOTS; slot++)
        runs[slot] = (struct kv_world_run){world, slot, layer, n_times, n_cached, anew};
    call_at_once(kv_world_choose_often, FIXTURE_SLOTS, runs, sizeof *runs);
}
