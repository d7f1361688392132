/* tidal against its definition: each query head's K - 1 best tokens and the current one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "tests/kvshard/policy_fixture.h"

enum { MAX_TOKENS = 1500, MAX_HEADS = 9, LAYER = 1, LAYERS = 4 };

static struct kv_policy *new_policy(int32_t budget, int32_t n_heads) {
    static const int32_t select_layer[] = {LAYER};
    struct kv_policy_config config = policy_config("tidal", LAYERS, 1, n_heads, MAX_TOKENS);
    config.budget = budget;
    config.n_select_layers = 1;
    config.select_layers = select_layer;
    return policy_create(&config);
}

/* Continuous; ties; special values. */
static void draw_scores(uint64_t seed, uint64_t head, float *scores) {
    for (uint64_t token = 0; token < MAX_TOKENS; token++) {
        const double u = rng_uniform(seed, head, token);
        scores[token] = (float)(seed % 3 == 1 ? floor(u * 5) - 2 : (u - 0.5) * 8);
        if (seed % 3 == 2 && u < 0.1) scores[token] = u < 0.05 ? NAN : -INFINITY;
    }
}

static bool is_better(float a, float b) {
    return isnan(b) ? !isnan(a) : a > b;
}

static void check_set(struct kv_set set, const float *scores, int64_t n_tokens, int32_t budget) {
    int64_t n = 0;
    for (int64_t token = 0; token < n_tokens; token++) {
        int64_t n_before = 0;
        for (int64_t other = 0; other < n_tokens - 1; other++)
            n_before += is_better(scores[other], scores[token]) ||
                        (other < token && !is_better(scores[token], scores[other]));
        if (token < n_tokens - 1 && n_before >= budget - 1) continue;
        assert_true(n < set.n_tokens);
        assert_int_equal(set.tokens[n++], token);
    }
    assert_int_equal(n, budget);
    assert_int_equal(set.n_tokens, budget);
    assert_null(set.rows);
}

static void check_problem(uint64_t seed, int32_t n_heads, int64_t n_tokens, int32_t budget) {
    static float scores[MAX_HEADS][MAX_TOKENS];
    struct kv_policy *policy = new_policy(budget, n_heads);
    for (int32_t head = n_heads - 1; head >= 0; head--) {
        draw_scores(seed, (uint64_t)head, scores[head]);
        kv_policy_rank(policy, 1, 1, LAYER, n_tokens, head, scores[head]);
    }
    for (int32_t layer = LAYER + 1; layer < LAYERS; layer++)
        for (int32_t head = 0; head < n_heads; head++)
            check_set(kv_policy_set(policy, 1, layer, n_tokens, head), scores[head], n_tokens, budget);
    kv_policy_destroy(policy);
}

static void agrees_with_the_definition(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        const int32_t n_heads = 1 + (int32_t)(rng_uniform(seed, 90, 0) * MAX_HEADS);
        const int64_t n_tokens = 3 + (int64_t)(rng_uniform(seed, 90, 1) * 150);
        const int32_t budget = 2 + (int32_t)(rng_uniform(seed, 90, 2) * (double)(n_tokens - 2));
        check_problem(seed, n_heads, n_tokens, budget);
    }
    for (uint64_t seed = 0; seed < 3; seed++) /* long enough for sampled limits */
        check_problem(seed, 2, MAX_TOKENS, 100);
}

static void the_current_token_is_in_even_where_it_is_the_worst(void **state) {
    (void)state;
    static const int32_t expected[] = {0, 1, 2, 99};
    float scores[100] = {0};
    scores[99] = -5;
    struct kv_policy *policy = new_policy(4, 1);
    kv_policy_rank(policy, 0, 0, LAYER, 100, 0, scores);
    assert_memory_equal(kv_policy_set(policy, 0, LAYER + 1, 100, 0).tokens, expected, sizeof expected);
    kv_policy_destroy(policy);
}

static void layers_rank_read_or_are_dense(void **state) {
    (void)state;
    struct kv_policy *policy = new_policy(64, 2);
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        assert_int_equal(kv_policy_layer(policy, 0, layer, 64), KV_ATTEND_ALL); /* K >= N */
        assert_int_equal(kv_policy_layer(policy, 0, layer, 65), layer < LAYER    ? KV_ATTEND_ALL
                                                                : layer == LAYER ? KV_RANK
                                                                                 : KV_ATTEND_SET);
    }
    kv_policy_destroy(policy);
}

struct run {
    struct kv_policy *policy;
    int32_t slot;
    float scores[4][MAX_TOKENS];
};

static void *rank_often(void *argument) {
    const struct run *run = argument;
    for (int i = 0; i < 100; i++)
        for (int32_t head = 0; head < 4; head++)
            kv_policy_rank(run->policy, run->slot, run->slot, LAYER, MAX_TOKENS - run->slot, head,
                           run->scores[head]);
    return NULL;
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    static struct run runs[2];
    struct kv_policy *policy = new_policy(50, 4);
    for (int32_t slot = 0; slot < 2; slot++) {
        runs[slot].policy = policy;
        runs[slot].slot = slot;
        for (uint64_t head = 0; head < 4; head++)
            draw_scores((uint64_t)slot * 3, head, runs[slot].scores[head]);
    }
    call_at_once(rank_often, 2, runs, sizeof *runs);
    for (int32_t slot = 0; slot < 2; slot++)
        for (int32_t head = 0; head < 4; head++)
            check_set(kv_policy_set(policy, slot, LAYER + 1, MAX_TOKENS - slot, head),
                      runs[slot].scores[head], MAX_TOKENS - slot, 50);
    kv_policy_destroy(policy);
}

static void a_small_budget_is_refused(void **state) {
    (void)state;
    struct kv_policy_config config = policy_config("tidal", LAYERS, 1, 1, MAX_TOKENS);
    config.budget = 1;
    assert_policy_refused(config, "budget 1");
}

static void read_set(void *policy) {
    (void)kv_policy_set(policy, 0, LAYER + 1, 100, 1);
}

static void misuse_is_caught(void **state) {
    (void)state;
    static const float scores[100];
    struct kv_policy *policy = new_policy(10, 2);
    kv_policy_rank(policy, 0, 0, LAYER, 100, 0, scores);
    assert_true(check_fails(read_set, policy)); /* of a head that did not rank */
    kv_policy_destroy(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(the_current_token_is_in_even_where_it_is_the_worst),
        cmocka_unit_test(layers_rank_read_or_are_dense),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(a_small_budget_is_refused),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
