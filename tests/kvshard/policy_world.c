#include "tests/kvshard/policy_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/rng.h"

static struct kv_policy_config world_config(struct world_shape shape) {
    struct kv_policy_config config =
        policy_config(shape.policy, shape.n_layers, shape.n_kv_heads, shape.group, WORLD_CONTEXT);
    config.options = shape.options;
    config.budget = shape.budget;
    config.n_heads_global = 16 * shape.group;
    config.first_head = shape.first_kv_head * shape.group;
    config.n_threads = 4;
    return config;
}

struct policy_world world_create(struct world_shape shape, uint64_t seed, bool ties) {
    struct policy_world world = {.config = world_config(shape), .seed = seed, .ties = ties};
    const struct kv_shape cache = {.n_slots = FIXTURE_SLOTS,
                                   .n_layers = shape.n_layers,
                                   .n_kv_heads_local = shape.n_kv_heads,
                                   .head_dim = FIXTURE_HEAD_DIM,
                                   .context_length = WORLD_CONTEXT,
                                   .dtype = DTYPE_F32};
    assert_int_equal(kv_cache_create(&cache, world.config.kernels, &world.cache), STATUS_OK);
    world.config.cache = world.cache;
    assert_int_equal(kv_policy_create(&world.config, &world.policy), STATUS_OK);
    return world;
}

void world_destroy(struct policy_world *world) {
    kv_policy_destroy(world->policy);
    kv_cache_destroy(world->cache);
}

void world_refuses(struct world_shape shape, const char *words) {
    assert_policy_refused(world_config(shape), words);
}

int32_t world_group(const struct policy_world *world) {
    return world->config.n_heads_local / world->config.n_kv_heads_local;
}

static int32_t world_kv_head(const struct policy_world *world, int32_t kv_head) {
    return world->config.first_head / world_group(world) + kv_head;
}

/* [-1, 1), of a kind, layer, global head, and two numbers. */
static double world_draw(const struct policy_world *world, uint64_t kind, int32_t layer, int32_t head,
                         int64_t a, int64_t b) {
    const uint64_t stream = (kind * 64 + (uint64_t)layer) * 64 + (uint64_t)head;
    return 2 * rng_uniform(world->seed, stream, (uint64_t)a * 100000 + (uint64_t)b) - 1;
}

float world_score(const struct policy_world *world, int32_t layer, int32_t head, int64_t n_cached,
                  int64_t token) {
    const double u = world_draw(world, 1, layer, world->config.first_head + head, n_cached, token);
    return world->ties ? (float)floor(2 * u) : (float)(4 * u);
}

void world_key(const struct policy_world *world, int32_t layer, int32_t kv_head, int64_t token,
               float key[FIXTURE_HEAD_DIM]) {
    const int32_t head = world_kv_head(world, kv_head);
    const bool repeats = world_draw(world, 2, layer, head, token, 0) > 0.4;
    for (int d = 0; d < FIXTURE_HEAD_DIM; d++) {
        const double own = world_draw(world, 3, layer, head, token, d);
        const double old = world_draw(world, 3, layer, head, token % 5, d);
        key[d] = (float)(repeats ? old + (world->ties ? 0 : 0.2) * own : own);
    }
}

static void world_append(struct policy_world *world, int32_t slot, int64_t first, int64_t n) {
    float key[FIXTURE_HEAD_DIM];
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            for (int64_t token = first; token < first + n; token++) {
                world_key(world, layer, kv_head, token, key);
                kv_cache_append(world->cache, slot, layer, kv_head,
                                kv_policy_row(world->policy, slot, layer, kv_head, token), key, key);
            }
}

void world_prefill(struct policy_world *world, int32_t slot, int64_t n) {
    assert_int_equal(kv_policy_admit(world->policy, slot, world->n_tokens[slot], n, false), STATUS_OK);
    world_append(world, slot, world->n_tokens[slot], n);
    world->n_tokens[slot] += n;
}

void world_rewind(struct policy_world *world, int32_t slot, int64_t n) {
    if (n == 0) kv_cache_free_slot(world->cache, slot);
    kv_policy_rewind(world->policy, slot, n);
    world->n_tokens[slot] = n;
}

/* One head looks at the scores of its list. */
static void world_rank(struct policy_world *world, int32_t slot, int32_t layer, int32_t head) {
    static _Thread_local float scores[WORLD_CONTEXT];
    const int64_t n = world->n_tokens[slot];
    const struct kv_set set = kv_policy_set(world->policy, slot, layer, n, head);
    for (int64_t i = 0; i < set.n_tokens; i++)
        scores[i] = world_score(world, layer, head, n, set.tokens ? set.tokens[i] : i);
    kv_policy_rank(world->policy, head % 4, slot, layer, n, head, scores);
}

void world_query(const struct policy_world *world, int32_t layer, int32_t head, int64_t n_cached,
                 float q[FIXTURE_HEAD_DIM]) {
    const int32_t global = world->config.first_head + head;
    const double drift = (double)(n_cached % 64) / 40;
    for (int d = 0; d < FIXTURE_HEAD_DIM; d++)
        q[d] = (float)(world_draw(world, 4, layer, global, n_cached / 64, d) +
                       drift * world_draw(world, 5, layer, global, n_cached / 64, d));
}

static void world_choose(struct policy_world *world, int32_t slot, int32_t layer, int32_t kv_head) {
    float q[16 * FIXTURE_HEAD_DIM];
    for (int32_t i = 0; i < world_group(world); i++)
        world_query(world, layer, kv_head * world_group(world) + i, world->n_tokens[slot],
                    q + i * FIXTURE_HEAD_DIM);
    kv_policy_choose(world->policy, kv_head % 4, slot, layer, world->n_tokens[slot], kv_head, q);
}

void world_admit(struct policy_world *world, int32_t slot) {
    assert_int_equal(kv_policy_admit(world->policy, slot, world->n_tokens[slot], 1, true), STATUS_OK);
    world_append(world, slot, world->n_tokens[slot]++, 1);
}

static void world_layer(struct policy_world *world, int32_t slot, int32_t layer) {
    const enum kv_attention action = kv_policy_layer(world->policy, slot, layer, world->n_tokens[slot]);
    if (action & KV_CHOOSE)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            world_choose(world, slot, layer, kv_head);
    if (action & KV_RANK)
        for (int32_t head = world->config.n_heads_local - 1; head >= 0; head--) /* in any order */
            world_rank(world, slot, layer, head);
}

void world_decode(struct policy_world *world, int32_t slot) {
    world_admit(world, slot);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++)
        world_layer(world, slot, layer);
}

void assert_pages_returned(const struct policy_world *world) {
    const size_t page_bytes = 2 * KV_PAGE_TOKENS * FIXTURE_HEAD_DIM * sizeof(float);
    int64_t n_pages = 0;
    for (int32_t slot = 0; slot < FIXTURE_SLOTS; slot++)
        for (int32_t layer = 0; layer < world->config.n_layers && world->n_tokens[slot] > 0; layer++)
            for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
                n_pages += kv_pages_of(
                    kv_policy_resident(world->policy, slot, layer, kv_head, world->n_tokens[slot]).n_tokens);
    assert_int_equal(kv_cache_bytes_in_use(world->cache), (size_t)n_pages * page_bytes);
}

void assert_rows_hold_keys(const struct policy_world *world, int32_t slot, int32_t layer, int32_t kv_head) {
    const struct kv_set set = kv_policy_resident(world->policy, slot, layer, kv_head, world->n_tokens[slot]);
    for (int64_t i = 0; i < set.n_tokens; i++) {
        const int32_t row = set.rows ? set.rows[i] : set.tokens ? set.tokens[i] : (int32_t)i;
        float expected[FIXTURE_HEAD_DIM];
        const void *key, *value;
        kv_cache_rows(world->cache, slot, layer, kv_head, &row, 0, 1, &key, &value);
        world_key(world, layer, kv_head, set.tokens ? set.tokens[i] : i, expected);
        assert_memory_equal(key, expected, sizeof expected);
    }
}

double world_cosine(const float *a, const float *b) {
    double dot = 0, aa = 0, bb = 0;
    for (int d = 0; d < FIXTURE_HEAD_DIM; d++) {
        dot += (double)a[d] * b[d];
        aa += (double)a[d] * a[d];
        bb += (double)b[d] * b[d];
    }
    return dot / sqrt(aa * bb);
}

struct part {
    struct policy_world *world;
    int32_t layer, number;
};

static void *choose_one(void *argument) {
    const struct part *part = argument;
    world_choose(part->world, 0, part->layer, part->number);
    return NULL;
}

static void *rank_one(void *argument) {
    const struct part *part = argument;
    world_rank(part->world, 0, part->layer, part->number);
    return NULL;
}

static void run_parts(struct policy_world *world, int32_t layer, int32_t n, void *(*call)(void *)) {
    struct part parts[8];
    for (int32_t i = 0; i < n; i++)
        parts[i] = (struct part){world, layer, i};
    call_at_once(call, n, parts, sizeof *parts);
}

static void decode_on_threads(struct policy_world *world) {
    world_admit(world, 0);
    for (int32_t layer = 0; layer < world->config.n_layers; layer++) {
        const enum kv_attention action = kv_policy_layer(world->policy, 0, layer, world->n_tokens[0]);
        if (action & KV_CHOOSE) run_parts(world, layer, world->config.n_kv_heads_local, choose_one);
        if (action & KV_RANK) run_parts(world, layer, world->config.n_heads_local, rank_one);
    }
}

void check_threads_do_not_show(struct world_shape shape, int n_steps) {
    struct policy_world alone = world_create(shape, 3, false), parallel = world_create(shape, 3, false);
    const int32_t last = shape.n_layers - 1;
    world_prefill(&alone, 0, 100);
    world_prefill(&parallel, 0, 100);
    for (int i = 0; i < n_steps; i++) {
        world_decode(&alone, 0);
        decode_on_threads(&parallel);
        for (int32_t head = 0; head < alone.config.n_heads_local; head++)
            assert_sets_equal(kv_policy_set(alone.policy, 0, last, alone.n_tokens[0], head),
                              kv_policy_set(parallel.policy, 0, last, alone.n_tokens[0], head));
    }
    world_destroy(&alone);
    world_destroy(&parallel);
}

void check_ranks_do_not_show(struct world_shape shape, int n_steps) {
    struct policy_world one = world_create(shape, 7, false), two[2];
    const int32_t last = shape.n_layers - 1;
    shape.n_kv_heads /= 2;
    const int32_t n_heads = shape.n_kv_heads * shape.group;
    world_prefill(&one, 1, 90);
    for (int32_t rank = 0; rank < 2; rank++, shape.first_kv_head += shape.n_kv_heads) {
        two[rank] = world_create(shape, 7, false);
        world_prefill(&two[rank], 1, 90);
    }
    for (int i = 0; i < n_steps; i++) {
        world_decode(&one, 1);
        world_decode(&two[0], 1);
        world_decode(&two[1], 1);
        for (int32_t head = 0; head < 2 * n_heads; head++)
            assert_sets_equal(
                kv_policy_set(one.policy, 1, last, one.n_tokens[1], head),
                kv_policy_set(two[head / n_heads].policy, 1, last, one.n_tokens[1], head % n_heads));
    }
    world_destroy(&one);
    world_destroy(&two[0]);
    world_destroy(&two[1]);
}
