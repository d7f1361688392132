/* Multipole attention against its definition: which clusters are near, and what the others add. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "check_fails.h"
#include "kvshard/key_clusters_impl.h"
#include "tests/kvshard/kv_world.h"

enum { CONTEXT = 1300, LAYERS = 2, DIM = FIXTURE_HEAD_DIM, MAX_GROUP = 4 };

static struct kv_policy_config config_of(int32_t budget, int32_t n_kv_heads, int32_t group,
                                         const char *options) {
    struct kv_policy_config config = policy_config("multipole", LAYERS, n_kv_heads, group, CONTEXT);
    config.budget = budget;
    config.options = options;
    return config;
}

static void value_of(int32_t kv_head, int64_t token, float *value) {
    kv_world_draw(77, (uint64_t)kv_head, (uint64_t)(token * DIM), DIM, value);
}

/* kv_world stores keys as values; these are others. */
static void store_values(struct kv_world *world, int32_t slot, int64_t first, int64_t end) {
    float key[DIM], value[DIM];
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++)
            for (int64_t token = first; token < end; token++) {
                kv_world_key(world, slot, layer, kv_head, token, key);
                value_of(kv_head, token, value);
                kv_cache_append(world->cache, slot, layer, kv_head, token, key, value);
            }
}

static void fill(struct kv_world *world, int32_t slot, int64_t first, int64_t end) {
    kv_world_admit(world, slot, first, end - first, false);
    store_values(world, slot, first, end);
}

/* ---- the definition, in double; clusters as in test_key_clusters.c ---- */

struct definition {
    struct arena *memory;
    struct key_clusters clusters;
};

static struct definition define(const struct kv_world *world, int32_t n_sinks, int32_t step) {
    struct definition definition;
    assert_int_equal(arena_create("test", &definition.memory), STATUS_OK);
    assert_int_equal(
        key_clusters_create(&world->config, 0, n_sinks, step, true, definition.memory, &definition.clusters),
        STATUS_OK);
    return definition;
}

static double score_of(const float *q, const float *key) {
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)q[d] * (double)key[d];
    return sum / sqrt(DIM);
}

/* Its tokens' share of the estimated softmax, under the head that gives them most. */
static double share_of(const struct cluster_table *table, const float *q, int32_t group, int64_t cluster) {
    double most = 0;
    for (int32_t head = 0; head < group; head++) {
        double sum = 0;
        for (int64_t c = 0; c < table->n_clusters; c++)
            sum += cluster_size(table, c) * exp(score_of(q + head * DIM, table->centroids + c * DIM));
        most = fmax(most, exp(score_of(q + head * DIM, table->centroids + cluster * DIM)) / sum);
    }
    return most;
}

static void choose_near(const struct cluster_table *table, const float *q, int32_t group, int64_t room,
                        bool *is_near) {
    static double shares[CONTEXT];
    for (int64_t c = 0; c < table->n_clusters; c++) {
        is_near[c] = false;
        shares[c] = share_of(table, q, group, c);
    }
    for (int64_t i = 0; i < table->n_clusters; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < table->n_clusters; c++)
            if (shares[c] > shares[best]) best = c;
        shares[best] = -1;
        if (cluster_size(table, best) > room) continue;
        room -= cluster_size(table, best);
        is_near[best] = true;
    }
}

struct sums {
    double weight, values[DIM];
};

static void add(struct sums *sums, double weight, const float *value) {
    sums->weight += weight;
    for (int d = 0; d < DIM; d++)
        sums->values[d] += weight * (double)value[d];
}

/* exp of the list's scores, and the policy's partial. */
static struct sums policy_attention(const struct kv_world *world, int32_t slot, int32_t layer,
                                    int32_t kv_head, int32_t head, const float *q, int64_t n_cached) {
    const struct kv_set set =
        kv_policy_set(world->policy, slot, layer, n_cached, kv_head * world->group + head);
    const struct kv_partial partial = kv_policy_partial(world->policy, slot, layer, kv_head);
    struct sums sums = {0};
    float key[DIM], value[DIM];
    assert_true(set.n_tokens <= world->config.budget && !set.rows);
    for (int64_t i = 0; i < set.n_tokens; i++) {
        assert_true(i == 0 || set.tokens[i] > set.tokens[i - 1]);
        kv_world_key(world, slot, layer, kv_head, set.tokens[i], key);
        value_of(kv_head, set.tokens[i], value);
        add(&sums, exp(score_of(q + head * DIM, key)), value);
    }
    if (partial.sum[head] == 0) return sums;
    const double scale = exp((double)partial.max[head]);
    sums.weight += scale * (double)partial.sum[head];
    for (int d = 0; d < DIM; d++)
        sums.values[d] += scale * (double)partial.acc[head * DIM + d];
    return sums;
}

static struct sums defined_attention(const struct kv_world *world, const struct cluster_table *table,
                                     const bool *is_near, int32_t n_sinks, int32_t slot, int32_t layer,
                                     int32_t kv_head, const float *q, int64_t n_cached) {
    struct sums sums = {0};
    bool exact[CONTEXT];
    float key[DIM], value[DIM];
    for (int64_t token = 0; token < n_cached; token++)
        exact[token] = token < n_sinks || token >= n_sinks + table->n_tokens;
    for (int64_t c = 0; c < table->n_clusters; c++) {
        const int32_t size = cluster_size(table, c);
        for (int32_t i = 0; i < size && is_near[c]; i++)
            exact[table->tokens[table->begins[c] + i]] = true;
        if (!is_near[c])
            add(&sums, size * exp(score_of(q, table->centroids + c * DIM)), table->values + c * DIM);
    }
    for (int64_t token = 0; token < n_cached; token++) {
        if (!exact[token]) continue;
        kv_world_key(world, slot, layer, kv_head, token, key);
        value_of(kv_head, token, value);
        add(&sums, exp(score_of(q, key)), value);
    }
    return sums;
}

static void assert_same(struct sums a, struct sums b, double tolerance) {
    assert_true(fabs(a.weight / b.weight - 1) < tolerance);
    for (int d = 0; d < DIM; d++)
        assert_true(fabs(a.values[d] / a.weight - b.values[d] / b.weight) < tolerance);
}

static void check_step(const struct kv_world *world, const struct definition *definition, int32_t n_sinks,
                       int32_t slot, int64_t n_cached) {
    float q[MAX_GROUP * DIM];
    bool is_near[CONTEXT];
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++) {
            key_clusters_rewind(&definition->clusters, slot, 0);
            const struct cluster_table *table =
                key_clusters_update(&definition->clusters, 0, slot, layer, kv_head, n_cached - 1);
            kv_world_queries(world, slot, layer, kv_head, n_cached, q);
            kv_policy_choose(world->policy, 1, slot, layer, n_cached, kv_head, q);
            choose_near(table, q, world->group,
                        world->config.budget - n_sinks - (n_cached - n_sinks - table->n_tokens), is_near);
            for (int32_t head = 0; head < world->group; head++)
                assert_same(policy_attention(world, slot, layer, kv_head, head, q, n_cached),
                            defined_attention(world, table, is_near, n_sinks, slot, layer, kv_head,
                                              q + head * DIM, n_cached),
                            1e-5);
        }
}

static void agrees_with_the_definition(void **state) {
    (void)state;
    static const struct {
        int32_t budget, n_kv_heads, group, n_sinks, step;
        const char *options;
    } cases[] = {{27, 1, 1, 10, 16, NULL},
                 {64, 2, 2, 10, 32, NULL},
                 {130, 1, 4, 0, 64, "sinks=0"},
                 {300, 2, 1, 10, 128, NULL},
                 {300, 1, 2, 3, 16, "sinks=3,recluster=31"},
                 {256, 1, 3, 10, 128, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_world world = kv_world_create(
            config_of(cases[i].budget, cases[i].n_kv_heads, cases[i].group, cases[i].options), i * 10);
        struct definition definition = define(&world, cases[i].n_sinks, cases[i].step);
        fill(&world, 0, 0, cases[i].budget + 1);
        check_step(&world, &definition, cases[i].n_sinks, 0, cases[i].budget + 1);
        for (int64_t n = cases[i].budget + 2; n < cases[i].budget + 100; n += 33) {
            fill(&world, 0, n - 33 > cases[i].budget + 1 ? n - 33 : cases[i].budget + 1, n);
            check_step(&world, &definition, cases[i].n_sinks, 0, n);
        }
        fill(&world, 1, 0, CONTEXT);
        check_step(&world, &definition, cases[i].n_sinks, 1, CONTEXT);
        arena_destroy(definition.memory);
        kv_world_destroy(&world);
    }
}

/* Where each cluster is one key, its centre says all. */
static void equal_keys_lose_nothing(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(64, 1, 2, "sinks=0"), 5);
    float key[DIM], value[DIM], q[2 * DIM];
    const int64_t n = 1025;
    kv_world_admit(&world, 0, 0, n, false);
    for (int64_t token = 0; token < n; token++) {
        kv_world_key(&world, 0, 0, 0, token / CLUSTER_TOKENS, key);
        value_of(0, token, value);
        kv_cache_append(world.cache, 0, 0, 0, token, key, value);
    }
    kv_world_queries(&world, 0, 0, 0, n, q);
    kv_policy_choose(world.policy, 0, 0, 0, n, 0, q);
    for (int32_t head = 0; head < 2; head++) {
        const struct kv_set set = kv_policy_set(world.policy, 0, 0, n, head);
        const struct kv_partial partial = kv_policy_partial(world.policy, 0, 0, 0);
        struct sums dense = {0}, ours = {0};
        assert_int_equal(set.n_tokens, 49); /* three clusters and the current token: 64 would fit no fourth */
        for (int64_t token = 0, i = 0; token < n; token++) {
            kv_world_key(&world, 0, 0, 0, token / CLUSTER_TOKENS, key);
            value_of(0, token, value);
            const double weight = exp(score_of(q + head * DIM, key));
            add(&dense, weight, value);
            if (i == set.n_tokens || set.tokens[i] != token) continue;
            add(&ours, weight, value);
            i++;
        }
        const double scale = exp((double)partial.max[head]);
        ours.weight += scale * (double)partial.sum[head];
        for (int d = 0; d < DIM; d++)
            ours.values[d] += scale * (double)partial.acc[head * DIM + d];
        assert_same(ours, dense, 1e-5);
    }
    kv_world_destroy(&world);
}

static void a_large_budget_is_dense(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(CONTEXT, 2, 2, NULL), 1);
    for (int64_t n = 1; n <= CONTEXT; n++)
        assert_int_equal(kv_policy_layer(world.policy, 0, 1, n), KV_ATTEND_ALL);
    kv_world_destroy(&world);
}

static void tokens_that_come_anew_are_seen(void **state) {
    (void)state;
    static const int64_t ends[] = {1100, 1034, 1030, 500, 11, 1};
    struct kv_world world = kv_world_create(config_of(64, 1, 2, NULL), 1);
    struct definition definition = define(&world, 10, 32);
    fill(&world, 0, 0, 1200);
    check_step(&world, &definition, 10, 0, 1200);
    for (int i = 0; i < 6; i++) {
        kv_policy_rewind(world.policy, 0, ends[i]);
        fill(&world, 0, ends[i], 1150);
        check_step(&world, &definition, 10, 0, 1150);
    }
    for (int64_t n = 1150; n > 100; n -= 117) {
        kv_policy_rewind(world.policy, 0, n - 1);
        fill(&world, 0, n - 1, n);
        check_step(&world, &definition, 10, 0, n);
    }
    kv_world_free(&world, 0);
    world.seed = 99; /* other keys */
    fill(&world, 0, 0, 1150);
    check_step(&world, &definition, 10, 0, 1150);
    arena_destroy(definition.memory);
    kv_world_destroy(&world);
}

static void broken_numbers_still_give_a_list(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(64, 1, 2, NULL), 1);
    float key[DIM], q[2 * DIM];
    kv_world_admit(&world, 0, 0, 400, false);
    for (int64_t token = 0; token < 400; token++) {
        kv_world_key(&world, 0, 0, 0, token, key);
        if (token % 50 == 7) key[3] = NAN;
        kv_cache_append(world.cache, 0, 0, 0, token, key, key);
    }
    for (int broken = 0; broken < 2; broken++) {
        kv_world_queries(&world, 0, 0, 0, 400, q);
        for (int d = 0; d < 2 * DIM && broken; d++)
            q[d] = NAN;
        kv_policy_choose(world.policy, 0, 0, 0, 400, 0, q);
        const struct kv_set set = kv_policy_set(world.policy, 0, 0, 400, 0);
        assert_in_range(set.n_tokens, 11, 64);
        assert_int_equal(set.tokens[set.n_tokens - 1], 399);
        assert_int_equal(set.tokens[9], 9);
    }
    kv_world_destroy(&world);
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(100, 2, 2, NULL), 1);
    struct definition definition = define(&world, 10, 32);
    for (int32_t slot = 0; slot < 2; slot++)
        fill(&world, slot, 0, 700);
    kv_world_choose_at_once(&world, 1, 700, 50, true);
    for (int32_t slot = 0; slot < 2; slot++)
        check_step(&world, &definition, 10, slot, 700);
    arena_destroy(definition.memory);
    kv_world_destroy(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    assert_policy_refused(config_of(26, 1, 1, NULL), "at least 27");
    assert_policy_refused(config_of(64, 1, 1, "sinks=48"), "with 48 sinks it must be at least 65");
    assert_policy_refused(config_of(64, 1, 1, "recluster=8"), "recluster");
    assert_policy_refused(config_of(64, 1, 1, "first-layer=2"), "has 2 layers");
    struct kv_world world = kv_world_create(config_of(64, 1, 1, "first-layer=1"), 1);
    assert_int_equal(kv_policy_layer(world.policy, 0, 0, 65), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(world.policy, 0, 1, 65), KV_ATTEND_SET | KV_CHOOSE | KV_ADD_PARTIAL);
    kv_world_destroy(&world);
}

static void read_a_set_that_was_never_chosen(void *policy) {
    (void)kv_policy_set(policy, 0, 1, 100, 0);
}

static void misuse_is_caught(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(64, 1, 1, NULL), 1);
    fill(&world, 0, 0, 100);
    assert_true(check_fails(read_a_set_that_was_never_chosen, world.policy));
    kv_world_destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(equal_keys_lose_nothing),
        cmocka_unit_test(a_large_budget_is_dense),
        cmocka_unit_test(tokens_that_come_anew_are_seen),
        cmocka_unit_test(broken_numbers_still_give_a_list),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
