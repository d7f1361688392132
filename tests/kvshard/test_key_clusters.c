/* Clusters of keys against plain k-means, segment by segment, however they came about. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "kvshard/key_clusters_impl.h"
#include "tests/kvshard/kv_world.h"

enum { CONTEXT = 2600, DIM = FIXTURE_HEAD_DIM, FIRST = 5, STEP = 128, LAYER = 1 };

struct fixture {
    struct kv_world world;
    struct arena *memory;
    struct key_clusters clusters;
};

static struct fixture create(int64_t n) {
    struct fixture fixture = {.world = kv_world_create(policy_config("full", 2, 2, 1, CONTEXT), 1)};
    assert_int_equal(arena_create("test", &fixture.memory), STATUS_OK);
    assert_int_equal(key_clusters_create(&fixture.world.config, LAYER, FIRST, STEP, true, fixture.memory,
                                         &fixture.clusters),
                     STATUS_OK);
    kv_world_admit(&fixture.world, 0, 0, n, false);
    return fixture;
}

static void destroy(struct fixture *fixture) {
    arena_destroy(fixture->memory);
    kv_world_destroy(&fixture->world);
}

/* Values unlike the keys, which are all that kv_world draws. */
static void value_of(int64_t token, float *value) {
    kv_world_draw(77, 3, (uint64_t)(token * DIM), DIM, value);
}

static void store_values(struct fixture *fixture, int64_t n) {
    float key[DIM], value[DIM];
    for (int64_t token = 0; token < n; token++)
        for (int32_t kv_head = 0; kv_head < 2; kv_head++) {
            kv_world_key(&fixture->world, 0, LAYER, kv_head, token, key);
            value_of(token, value);
            kv_cache_append(fixture->world.cache, 0, LAYER, kv_head, token, key, value);
        }
}

/* ---- plain k-means ---- */

enum { MOST = CLUSTER_SEGMENT / CLUSTER_TOKENS };

struct groups {
    int n;
    int number[CLUSTER_SEGMENT]; /* of each token */
    float centroids[MOST][DIM];
};

static double distance(const float *a, const float *b) {
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += ((double)a[d] - (double)b[d]) * ((double)a[d] - (double)b[d]);
    return sum;
}

static void mean_of(const struct groups *groups, int group, int64_t n, float (*rows)[DIM], float *mean) {
    int count = 0;
    double sum[DIM] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (groups->number[i] != group) continue;
        count++;
        for (int d = 0; d < DIM; d++)
            sum[d] += (double)rows[i][d];
    }
    for (int d = 0; d < DIM && count > 0; d++)
        mean[d] = (float)sum[d] / (float)count; /* the sum is exact */
}

static void plain_k_means(float (*keys)[DIM], int64_t n, struct groups *groups) {
    groups->n = (int)(n / CLUSTER_TOKENS);
    for (int j = 0; j < groups->n; j++)
        memcpy(groups->centroids[j], keys[j * CLUSTER_TOKENS + CLUSTER_TOKENS / 2], sizeof *keys);
    for (int iteration = 0; iteration < 10; iteration++) {
        for (int64_t i = 0; i < n; i++) {
            groups->number[i] = 0;
            for (int j = 1; j < groups->n; j++)
                if (distance(keys[i], groups->centroids[j]) <
                    distance(keys[i], groups->centroids[groups->number[i]]))
                    groups->number[i] = j;
        }
        for (int j = 0; j < groups->n; j++)
            mean_of(groups, j, n, keys, groups->centroids[j]);
    }
}

/* The table's clusters from *cluster on are the segment's groups, but for empty ones. */
static void assert_groups(const struct fixture *fixture, int32_t kv_head, int64_t begin, int64_t n,
                          const struct cluster_table *table, int64_t *cluster) {
    static float keys[CLUSTER_SEGMENT][DIM], values[CLUSTER_SEGMENT][DIM];
    static struct groups groups;
    float mean[DIM];
    for (int64_t i = 0; i < n; i++) {
        kv_world_key(&fixture->world, 0, LAYER, kv_head, FIRST + begin + i, keys[i]);
        value_of(FIRST + begin + i, values[i]);
    }
    plain_k_means(keys, n, &groups);
    int32_t place = (int32_t)begin;
    for (int j = 0; j < groups.n; j++) {
        const int32_t first = place;
        for (int64_t i = 0; i < n; i++)
            if (groups.number[i] == j) assert_int_equal(table->tokens[place++], FIRST + begin + i);
        if (place == first) continue;
        assert_int_equal(table->begins[*cluster], first);
        assert_int_equal(cluster_size(table, *cluster), place - first);
        assert_memory_equal(table->centroids + *cluster * DIM, groups.centroids[j], sizeof mean);
        mean_of(&groups, j, n, values, mean);
        assert_memory_equal(table->values + *cluster * DIM, mean, sizeof mean);
        ++*cluster;
    }
    assert_int_equal(place, begin + n);
}

static void check_update(const struct fixture *fixture, int32_t kv_head, int64_t end) {
    const struct cluster_table *table = key_clusters_update(&fixture->clusters, 0, 0, LAYER, kv_head, end);
    int64_t cluster = 0;
    assert_int_equal(table->n_tokens, end < FIRST ? 0 : (end - FIRST) / STEP * STEP);
    for (int64_t begin = 0; begin < table->n_tokens; begin += CLUSTER_SEGMENT) {
        const int64_t left = table->n_tokens - begin;
        assert_groups(fixture, kv_head, begin, left < CLUSTER_SEGMENT ? left : CLUSTER_SEGMENT, table,
                      &cluster);
    }
    assert_int_equal(table->n_clusters, cluster);
}

static void segments_are_clustered_as_defined(void **state) {
    (void)state;
    static const int64_t ends[] = {0, 3, FIRST, 132, 133, 260, 700, 1028, 1029, 1157, 2052, 2053, CONTEXT};
    struct fixture fixture = create(CONTEXT);
    store_values(&fixture, CONTEXT);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        check_update(&fixture, 0, ends[i]);
    check_update(&fixture, 1, CONTEXT); /* at once */
    destroy(&fixture);
}

static void what_was_cut_off_is_clustered_anew(void **state) {
    (void)state;
    static const int64_t cuts[] = {2500, 2181, 2180, 2053, 2052, 1500, 1029, 1028, 500, FIRST, 2, 0};
    struct fixture fixture = create(CONTEXT);
    store_values(&fixture, CONTEXT);
    (void)key_clusters_update(&fixture.clusters, 0, 0, LAYER, 0, CONTEXT);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        key_clusters_rewind(&fixture.clusters, 0, cuts[i]);
        check_update(&fixture, 0, cuts[i] + 300 < CONTEXT ? cuts[i] + 300 : CONTEXT);
    }
    destroy(&fixture);
}

/* The keys behind the cut change: no whole segment that reaches over it may stay. */
static void other_keys_make_other_clusters(void **state) {
    (void)state;
    static const int64_t cuts[] = {1029 + 200, 1029, 1028, 40, 0};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct fixture fixture = create(1500), fresh = create(1500);
        float key[DIM], value[DIM];
        (void)key_clusters_update(&fixture.clusters, 0, 0, LAYER, 0, 1500);
        key_clusters_rewind(&fixture.clusters, 0, cuts[i]);
        for (int64_t token = cuts[i]; token < 1500; token++) {
            kv_world_draw(555, 5, (uint64_t)(token * DIM), DIM, key);
            value_of(token, value);
            kv_cache_append(fixture.world.cache, 0, LAYER, 0, token, key, value);
            kv_cache_append(fresh.world.cache, 0, LAYER, 0, token, key, value);
        }
        const struct cluster_table *table = key_clusters_update(&fixture.clusters, 0, 0, LAYER, 0, 1500),
                                   *expected = key_clusters_update(&fresh.clusters, 0, 0, LAYER, 0, 1500);
        const size_t n = (size_t)expected->n_clusters;
        assert_int_equal(table->n_clusters, n);
        assert_memory_equal(table->centroids, expected->centroids, n * DIM * sizeof(float));
        assert_memory_equal(table->values, expected->values, n * DIM * sizeof(float));
        assert_memory_equal(table->begins, expected->begins, (n + 1) * sizeof(int32_t));
        assert_memory_equal(table->tokens, expected->tokens, (size_t)table->n_tokens * sizeof(int32_t));
        destroy(&fixture);
        destroy(&fresh);
    }
}

static void every_token_has_a_cluster_even_if_broken(void **state) {
    (void)state;
    struct fixture fixture = create(600);
    float key[DIM];
    for (int64_t token = 0; token < 600; token++) {
        kv_world_key(&fixture.world, 0, LAYER, 0, token, key);
        for (int d = 0; d < DIM; d++)
            if ((token + d) % 97 == 0) key[d] = token % 2 ? NAN : INFINITY;
        kv_cache_append(fixture.world.cache, 0, LAYER, 0, token, key, key);
    }
    const struct cluster_table *table = key_clusters_update(&fixture.clusters, 0, 0, LAYER, 0, 600);
    bool seen[600] = {false};
    assert_int_equal(table->begins[table->n_clusters], table->n_tokens);
    for (int64_t i = 0; i < table->n_tokens; i++) {
        assert_in_range(table->tokens[i], FIRST, 599);
        assert_false(seen[table->tokens[i]]);
        seen[table->tokens[i]] = true;
    }
    destroy(&fixture);
}

static void scores_are_products_with_centroids(void **state) {
    (void)state;
    struct fixture fixture = create(CONTEXT);
    static float scores[2 * CONTEXT];
    float q[2 * DIM];
    const struct cluster_table *table = key_clusters_update(&fixture.clusters, 0, 0, LAYER, 1, CONTEXT);
    kv_world_draw(9, 9, 0, 2 * DIM, q);
    assert_true(table->n_clusters > ATTEND_CHUNK);
    key_clusters_score(&fixture.clusters, table, q, 2, scores, CONTEXT);
    for (int head = 0; head < 2; head++)
        for (int64_t c = 0; c < table->n_clusters; c++) {
            double product = 0;
            for (int d = 0; d < DIM; d++)
                product += (double)q[head * DIM + d] * (double)table->centroids[c * DIM + d];
            assert_true(fabs((double)scores[head * CONTEXT + c] - product / sqrt(DIM)) < 1e-6);
        }
    destroy(&fixture);
}

/* A window may reach back further than what was cut off: fewer tokens are clustered than before, all of which
 * are still there. */
static void fewer_tokens_are_clustered_as_if_there_had_been_no_more(void **state) {
    (void)state;
    static const int64_t ends[] = {CONTEXT, 2500, 2400, 2054, 2053, 1300, 1029, 1028, 133, 132, 0};
    struct fixture fixture = create(CONTEXT);
    store_values(&fixture, CONTEXT);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        check_update(&fixture, 0, ends[i]);
    destroy(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_clustered_as_defined),
        cmocka_unit_test(what_was_cut_off_is_clustered_anew),
        cmocka_unit_test(other_keys_make_other_clusters),
        cmocka_unit_test(every_token_has_a_cluster_even_if_broken),
        cmocka_unit_test(scores_are_products_with_centroids),
        cmocka_unit_test(fewer_tokens_are_clustered_as_if_there_had_been_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
