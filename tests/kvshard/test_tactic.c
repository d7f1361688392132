/* Tactic against its definition, and what its estimate is worth. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "check_fails.h"
#include "kvshard/key_clusters_impl.h"
#include "tests/kvshard/kv_world.h"

enum { CONTEXT = 2400, LAYERS = 3, LAYER = 2, DIM = FIXTURE_HEAD_DIM, MAX_GROUP = 4, STEP = 128 };

static struct kv_policy_config config_of(int32_t n_kv_heads, int32_t group, const char *options) {
    struct kv_policy_config config = policy_config("tactic", LAYERS, n_kv_heads, group, CONTEXT);
    config.budget = 1; /* there is none */
    config.options = options;
    return config;
}

/* ---- the definition, in double; clusters as in test_key_clusters.c ---- */

struct definition {
    struct arena *memory;
    struct key_clusters clusters;
    int64_t window;
    double p;
};

static struct definition define(const struct kv_world *world, int64_t window, double p) {
    struct definition definition = {.window = window, .p = p};
    assert_int_equal(arena_create("test", &definition.memory), STATUS_OK);
    assert_int_equal(
        key_clusters_create(&world->config, LAYER, 0, STEP, false, definition.memory, &definition.clusters),
        STATUS_OK);
    return definition;
}

static double mass_of(const float *q, const float *key) {
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)q[d] * (double)key[d];
    return exp(sum / sqrt(DIM));
}

static double mass_of_token(const struct kv_world *world, int32_t slot, int32_t kv_head, const float *q,
                            int64_t token) {
    float key[DIM] = {0};
    kv_world_key(world, slot, LAYER, kv_head, token, key);
    return mass_of(q, key);
}

/* Older tokens in the order in which one query head takes them, and where each one's cluster ends. */
struct ordered {
    int64_t n;
    int32_t tokens[CONTEXT];
    int64_t begin[CONTEXT], end[CONTEXT]; /* places of the token's cluster */
};

static void put_in_order(const struct cluster_table *table, const float *q, struct ordered *ordered) {
    static double scores[CONTEXT];
    for (int64_t c = 0; c < table->n_clusters; c++)
        scores[c] = mass_of(q, table->centroids + c * DIM);
    ordered->n = 0;
    for (int64_t i = 0; i < table->n_clusters; i++) {
        int64_t best = 0;
        for (int64_t c = 1; c < table->n_clusters; c++)
            if (scores[c] > scores[best]) best = c;
        scores[best] = -1;
        const int64_t begin = ordered->n, end = begin + cluster_size(table, best);
        for (int32_t j = table->begins[best]; j < table->begins[best + 1]; j++, ordered->n++) {
            ordered->tokens[ordered->n] = table->tokens[j];
            ordered->begin[ordered->n] = begin;
            ordered->end[ordered->n] = end;
        }
    }
}

struct point {
    double x, y;
};

/* 32 tokens, in whole clusters, from the first cluster at or behind a share of the way. */
static struct point sample(const struct ordered *ordered, const double *masses, int64_t place) {
    int64_t first = 0, end;
    while (first < ordered->n && ordered->begin[first] < place)
        first++;
    for (end = first; end < ordered->n && end - first < 32;)
        end = ordered->end[end];
    double sum = 0;
    for (int64_t i = first; i < end; i++)
        sum += masses[i];
    return (struct point){(double)first + (double)(end - first + 1) / 2,
                          end > first ? sum / (double)(end - first) : 0};
}

/* The estimate of every ordered token's mass. */
static void estimate(const struct ordered *ordered, double *masses) {
    const int64_t n = ordered->n, n_head = n / 50 > 64 ? n / 50 : 64;
    const struct point near = sample(ordered, masses, n / 10), far = sample(ordered, masses, n * 6 / 10);
    double a = 0, b = near.y;
    if (far.x > near.x) {
        a = (near.y - far.y) / (1 / near.x - 1 / far.x);
        b = near.y - a / near.x;
    }
    for (int64_t i = 0; i < n; i++)
        if (ordered->begin[i] >= n_head)
            masses[i] = fmax(a / ((double)(ordered->begin[i] + ordered->end[i] + 1) / 2) + b, 0);
}

/* Adds one query head's tokens to the set. */
static void choose_for(const struct kv_world *world, const struct definition *definition,
                       const struct cluster_table *table, int32_t slot, int32_t kv_head, const float *q,
                       int64_t n_cached, bool *in_set) {
    static struct ordered ordered;
    static double masses[CONTEXT];
    double held = 0, total = 0;
    put_in_order(table, q, &ordered);
    for (int64_t i = 0; i < ordered.n; i++)
        masses[i] = mass_of_token(world, slot, kv_head, q, ordered.tokens[i]);
    estimate(&ordered, masses);
    for (int64_t token = table->n_tokens; token < n_cached; token++) {
        held += mass_of_token(world, slot, kv_head, q, token);
        in_set[token] = true;
    }
    for (int64_t i = 0; i < ordered.n; i++)
        total += masses[i];
    total += held;
    for (int64_t i = 0; i < ordered.n && (definition->p == 1 || held < definition->p * total);)
        for (const int64_t end = ordered.end[i]; i < end; i++) {
            in_set[ordered.tokens[i]] = true;
            held += masses[i];
        }
}

static void check_step(const struct kv_world *world, const struct definition *definition, int32_t slot,
                       int64_t n_cached) {
    float q[MAX_GROUP * DIM];
    for (int32_t kv_head = 0; kv_head < world->config.n_kv_heads_local; kv_head++) {
        bool in_set[CONTEXT] = {false};
        kv_world_queries(world, slot, LAYER, kv_head, n_cached, q);
        assert_int_equal(kv_policy_layer(world->policy, slot, LAYER, n_cached), KV_ATTEND_SET | KV_CHOOSE);
        kv_policy_choose(world->policy, 1, slot, LAYER, n_cached, kv_head, q);
        key_clusters_rewind(&definition->clusters, slot, 0);
        const struct cluster_table *table = key_clusters_update(&definition->clusters, 0, slot, LAYER,
                                                                kv_head, n_cached - definition->window);
        for (int32_t head = 0; head < world->group; head++)
            choose_for(world, definition, table, slot, kv_head, q + head * DIM, n_cached, in_set);
        for (int32_t head = 0; head < world->group; head++) {
            const struct kv_set set =
                kv_policy_set(world->policy, slot, LAYER, n_cached, kv_head * world->group + head);
            assert_set_is(set, in_set, n_cached);
            assert_null(set.rows);
        }
    }
}

static void agrees_with_the_definition(void **state) {
    (void)state;
    static const struct {
        int32_t n_kv_heads, group;
        int64_t window;
        double p;
    } cases[] = {{1, 1, 1, 0.9}, {2, 2, 100, 0.5}, {1, 4, 300, 0.9}, {2, 1, 64, 0.97}, {1, 1, 500, 0.2}};
    static const int64_t ends[] = {700, 701, 828, 1300, 1556, CONTEXT};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char options[64];
        snprintf(options, sizeof options, "window=%d,p=%g", (int)cases[i].window, cases[i].p);
        struct kv_world world =
            kv_world_create(config_of(cases[i].n_kv_heads, cases[i].group, options), i * 10);
        struct definition definition = define(&world, cases[i].window, cases[i].p);
        for (int end = 0; end < 6; end++) {
            const int64_t first = end > 0 ? ends[end - 1] : 0;
            kv_world_admit(&world, 0, first, ends[end] - first, false);
            check_step(&world, &definition, 0, ends[end]);
        }
        arena_destroy(definition.memory);
        kv_world_destroy(&world);
    }
}

/* Queries 4 times as long, whose attention is far from flat; the share that the set really holds. */
static double share_held(const struct kv_world *world, int64_t n_cached, int64_t *n_out) {
    float q[DIM];
    double total = 0, held = 0;
    kv_world_queries(world, 0, LAYER, 0, n_cached, q);
    for (int d = 0; d < DIM; d++)
        q[d] *= 4;
    kv_policy_choose(world->policy, 0, 0, LAYER, n_cached, 0, q);
    const struct kv_set set = kv_policy_set(world->policy, 0, LAYER, n_cached, 0);
    for (int64_t token = 0, i = 0; token < n_cached; token++) {
        const double mass = mass_of_token(world, 0, 0, q, token);
        total += mass;
        if (i == set.n_tokens || set.tokens[i] != token) continue;
        held += mass;
        i++;
    }
    *n_out = set.n_tokens;
    return held / total;
}

static void sets_hold_about_what_was_asked_for(void **state) {
    (void)state;
    static const double shares[] = {0.5, 0.75, 0.9};
    double mean_tokens_before = 0;
    for (int i = 0; i < 3; i++) {
        char options[64];
        snprintf(options, sizeof options, "window=64,p=%g", shares[i]);
        struct kv_world world = kv_world_create(config_of(1, 1, options), 3);
        double mean = 0, mean_tokens = 0;
        kv_world_admit(&world, 0, 0, 2000, false);
        for (int64_t n = 2001; n <= 2100; n++) {
            int64_t n_tokens;
            kv_world_admit(&world, 0, n - 1, 1, true);
            mean += share_held(&world, n, &n_tokens) / 100;
            mean_tokens += (double)n_tokens / 100;
        }
        print_message("p %g: sets hold %.3f with %.0f of 2050 tokens\n", shares[i], mean, mean_tokens);
        assert_true(fabs(mean - shares[i]) < 0.1);
        assert_true(mean_tokens > mean_tokens_before && mean_tokens < 1900);
        mean_tokens_before = mean_tokens;
        kv_world_destroy(&world);
    }
}

static void the_ends_of_p(void **state) {
    (void)state;
    static const char *const options[] = {"window=50,p=0", "window=50,p=1"};
    for (int p = 0; p < 2; p++) {
        struct kv_world world = kv_world_create(config_of(1, 2, options[p]), 1);
        kv_world_admit(&world, 0, 0, 700, false);
        kv_world_decode(&world, 0, 700);
        const struct kv_set set = kv_policy_set(world.policy, 0, LAYER, 701, 0);
        const int64_t n = p == 0 ? 701 - 640 : 701; /* 651 older ones, of which 640 are clustered */
        assert_int_equal(set.n_tokens, n);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(set.tokens[i], 701 - n + i);
        kv_world_destroy(&world);
    }
}

static void a_window_is_dense(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(1, 1, NULL), 1);
    assert_int_equal(kv_policy_layer(world.policy, 0, LAYER, 2048 + STEP - 1), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(world.policy, 0, LAYER, 2048 + STEP), KV_ATTEND_SET | KV_CHOOSE);
    assert_int_equal(kv_policy_layer(world.policy, 0, LAYER - 1, 2048 + STEP), KV_ATTEND_ALL);
    kv_world_destroy(&world);
}

static void tokens_that_come_anew_are_seen(void **state) {
    (void)state;
    static const int64_t ends[] = {1400, 1025, 1024, 1000, 300, 1};
    static const int64_t shorter[] = {1499, 1480, 1410, 1150, 1087, 400};
    struct kv_world world = kv_world_create(config_of(1, 2, "window=64,p=0.7"), 1);
    struct definition definition = define(&world, 64, 0.7);
    kv_world_admit(&world, 0, 0, 1500, false);
    check_step(&world, &definition, 0, 1500);
    for (int i = 0; i < 6; i++) {
        kv_policy_rewind(world.policy, 0, ends[i]);
        kv_world_admit(&world, 0, ends[i], 1450 - ends[i], false);
        check_step(&world, &definition, 0, 1450);
    }
    for (int i = 0; i < 6; i++) { /* the window reaches back behind the cut */
        kv_policy_rewind(world.policy, 0, shorter[i]);
        kv_world_admit(&world, 0, shorter[i], 1, true);
        check_step(&world, &definition, 0, shorter[i] + 1);
    }
    kv_world_free(&world, 0);
    world.seed = 99; /* other keys */
    kv_world_admit(&world, 0, 0, 1450, false);
    check_step(&world, &definition, 0, 1450);
    arena_destroy(definition.memory);
    kv_world_destroy(&world);
}

/* Where masses are no numbers nothing can be left out. */
static void broken_numbers_give_all_tokens(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(1, 1, "window=64,p=0.7"), 1);
    float key[DIM], q[DIM];
    kv_world_admit(&world, 0, 0, 500, false);
    kv_world_queries(&world, 0, LAYER, 0, 500, q);
    kv_world_key(&world, 0, LAYER, 0, 499, key);
    key[5] = NAN;
    kv_cache_append(world.cache, 0, LAYER, 0, 499, key, key);
    kv_policy_choose(world.policy, 0, 0, LAYER, 500, 0, q);
    assert_int_equal(kv_policy_set(world.policy, 0, LAYER, 500, 0).n_tokens, 500);
    q[0] = INFINITY;
    kv_policy_choose(world.policy, 0, 0, LAYER, 500, 0, q);
    assert_int_equal(kv_policy_set(world.policy, 0, LAYER, 500, 0).n_tokens, 500);
    kv_world_destroy(&world);
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(2, 2, "window=64,p=0.7"), 1);
    struct definition definition = define(&world, 64, 0.7);
    for (int32_t slot = 0; slot < 2; slot++)
        kv_world_admit(&world, slot, 0, 700, false);
    kv_world_choose_at_once(&world, LAYER, 700, 50, true);
    for (int32_t slot = 0; slot < 2; slot++)
        check_step(&world, &definition, slot, 700);
    arena_destroy(definition.memory);
    kv_world_destroy(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    assert_policy_refused(config_of(1, 1, "p=1.01"), "tactic.p: '1.01'");
    assert_policy_refused(config_of(1, 1, "window=0"), "tactic.window: '0'");
    assert_policy_refused(config_of(1, 1, "first-layer=3"), "has 3 layers");
}

static void read_a_set_that_was_never_chosen(void *policy) {
    (void)kv_policy_set(policy, 0, LAYER, 300, 0);
}

static void misuse_is_caught(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(1, 1, "window=64"), 1);
    kv_world_admit(&world, 0, 0, 300, false);
    assert_true(check_fails(read_a_set_that_was_never_chosen, world.policy));
    kv_world_destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(sets_hold_about_what_was_asked_for),
        cmocka_unit_test(the_ends_of_p),
        cmocka_unit_test(a_window_is_dense),
        cmocka_unit_test(tokens_that_come_anew_are_seen),
        cmocka_unit_test(broken_numbers_give_all_tokens),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
