/* Emulation against its definition, alone and with policies that select or rescore. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "tests/kvshard/policy_fixture.h"

enum { MAX_TOKENS = 300, STRIDE = MAX_TOKENS + 2, N_LAYERS = 6, N_HEADS = 4, N_KV_HEADS = 2, GROUP = 2 };

static const int32_t select_layer[] = {1};

static struct kv_policy_config config_of(const char *name, bool emulates, int32_t layer) {
    struct kv_policy_config config = policy_config(name, N_LAYERS, N_KV_HEADS, GROUP, MAX_TOKENS);
    config.budget = 40;
    config.recent_ratio = 0.25;
    config.n_sinks = 4;
    config.n_select_layers = 1;
    config.select_layers = select_layer;
    config.emulates = emulates;
    config.emulate_layer = layer;
    return config;
}

static struct kv_policy *new_policy(const char *name, bool emulates, int32_t layer) {
    const struct kv_policy_config config = config_of(name, emulates, layer);
    return policy_create(&config);
}

/* Scores of all heads for the entries of a list, [N_HEADS, STRIDE]. */
static void draw_scores(uint64_t seed, double span, float *scores) {
    for (uint64_t i = 0; i < N_HEADS * STRIDE; i++)
        scores[i] = (float)((rng_uniform(seed, 1, i) - 0.5) * span);
}

/* M of one head by its definition: softmax, over the largest of what may be boosted; 0 where nothing was
 * read. */
static void attended_before(struct kv_set set, const float *scores, int64_t n_cached, double *m) {
    double sum = 0, most = 0;
    memset(m, 0, MAX_TOKENS * sizeof *m);
    for (int64_t i = 0; i < set.n_tokens; i++)
        sum += exp(scores[i]);
    for (int64_t i = 0; i < set.n_tokens; i++) {
        const int64_t token = kv_set_token(set, i);
        if (token > 0 && token < n_cached - 1) m[token] = exp(scores[i]) / sum;
        most = fmax(most, m[token]);
    }
    for (int64_t token = 0; token < n_cached && most > 0; token++)
        m[token] /= most;
}

/* normalise(A + A (1 - l / L) M) over the list. */
static void boosted_weights(struct kv_set set, const float *scores, const double *m, int32_t layer,
                            double *weights) {
    double sum = 0;
    for (int64_t i = 0; i < set.n_tokens; i++)
        sum += weights[i] = exp(scores[i]) * (1 + (1 - (double)layer / N_LAYERS) * m[kv_set_token(set, i)]);
    for (int64_t i = 0; i < set.n_tokens; i++)
        weights[i] /= sum;
}

static void assert_softmax_is(const float *scores, int64_t n, const double *weights) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(scores[i]);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs(exp(scores[i]) / sum - weights[i]) < 1e-6 * fmax(weights[i], 1e-3));
}

/* The emulated layer, then a later one, for all heads of a slot. */
static void check_layers(struct kv_policy *policy, int32_t slot, int32_t early, int32_t late,
                         int64_t n_cached) {
    static float before[N_HEADS * STRIDE], after[N_HEADS * STRIDE], original[N_HEADS * STRIDE];
    double m[MAX_TOKENS], weights[MAX_TOKENS];
    int32_t entries[MAX_TOKENS];
    draw_scores((uint64_t)n_cached, 12, before);
    draw_scores((uint64_t)n_cached + 1000, 8, original);
    memcpy(after, original, sizeof after);
    for (int32_t head = N_HEADS - 1; head >= 0; head--)
        kv_policy_rank(policy, 0, slot, early, n_cached, head, before + head * STRIDE);
    for (int32_t kv_head = 0; kv_head < N_KV_HEADS; kv_head++) {
        const struct kv_set set = kv_policy_set(policy, slot, late, n_cached, kv_head * GROUP);
        assert_int_equal(kv_policy_rescore(policy, 0, slot, late, n_cached, kv_head,
                                           after + kv_head * GROUP * STRIDE, STRIDE, entries),
                         set.n_tokens);
        for (int32_t i = 0; i < set.n_tokens; i++)
            assert_int_equal(entries[i], i);
    }
    for (int32_t head = 0; head < N_HEADS; head++) {
        const struct kv_set set = kv_policy_set(policy, slot, late, n_cached, head);
        attended_before(kv_policy_set(policy, slot, early, n_cached, head), before + head * STRIDE, n_cached,
                        m);
        boosted_weights(set, original + head * STRIDE, m, late, weights);
        assert_softmax_is(after + head * STRIDE, set.n_tokens, weights);
        const struct kv_set attended = kv_policy_attended(policy, slot, late, n_cached, head);
        assert_ptr_equal(attended.tokens, set.tokens);
        assert_int_equal(attended.n_tokens, set.n_tokens);
    }
}

static void full_is_boosted_as_defined(void **state) {
    (void)state;
    struct kv_policy *policy = new_policy("full", true, 1);
    for (int64_t n_cached = 1; n_cached <= MAX_TOKENS; n_cached += n_cached < 5 ? 1 : 37)
        for (int32_t late = 2; late < N_LAYERS; late++)
            check_layers(policy, (int32_t)(n_cached % 2), 1, late, n_cached);
    kv_policy_destroy(policy);
}

static void a_shorter_sequence_forgets_the_longer(void **state) {
    (void)state;
    struct kv_policy *policy = new_policy("full", true, 0);
    check_layers(policy, 0, 0, 3, MAX_TOKENS);
    kv_policy_rewind(policy, 0, 0);
    check_layers(policy, 0, 0, 3, 20);
    check_layers(policy, 0, 0, 3, 21);
    kv_policy_destroy(policy);
}

static void select(struct kv_policy *policy, int64_t n_cached) {
    static float scores[N_HEADS * STRIDE];
    static uint32_t message[MAX_TOKENS];
    draw_scores(77, 4, scores);
    for (int32_t head = 0; head < N_HEADS; head++)
        kv_policy_rank(policy, 0, 0, 1, n_cached, head, scores + head * STRIDE);
    kv_policy_propose(policy, 0, 1, n_cached, message);
    kv_policy_take(policy, 0, 1, n_cached, message);
}

/* Whether the emulated layer selects (1), or reads the set itself (3). */
static void sets_are_boosted_and_the_same_as_without(void **state) {
    (void)state;
    struct kv_policy *plain = new_policy("lessismore", false, 0);
    select(plain, 200);
    for (int32_t early = 1; early <= 3; early += 2) {
        struct kv_policy *policy = new_policy("lessismore", true, early);
        assert_int_equal(kv_policy_layer(policy, 0, 1, 200), KV_ATTEND_ALL_AND_SELECT); /* ranks anyway */
        assert_int_equal(kv_policy_layer(policy, 0, 3, 200),
                         KV_ATTEND_SET | (early == 3 ? KV_RANK : KV_RESCORE));
        select(policy, 200);
        const struct kv_set set = kv_policy_set(policy, 0, 4, 200, 0),
                            expected = kv_policy_set(plain, 0, 4, 200, 0);
        assert_int_equal(set.n_tokens, expected.n_tokens);
        assert_memory_equal(set.tokens, expected.tokens, (size_t)set.n_tokens * sizeof *set.tokens);
        if (early == 3) check_layers(policy, 0, 3, 5, 200);
        kv_policy_destroy(policy);
    }
    kv_policy_destroy(plain);
}

/* Boosted first, then the policy's own rule. */
static void what_rescores_itself_sees_boosted_scores(void **state) {
    (void)state;
    static float early[N_HEADS * STRIDE], late[N_HEADS * STRIDE], boosted[N_HEADS * STRIDE];
    int32_t entries[MAX_TOKENS], expected_entries[MAX_TOKENS];
    struct kv_policy *both = new_policy("sparsemax", true, 1), *full = new_policy("full", true, 1),
                     *plain = new_policy("sparsemax", false, 0);
    draw_scores(1, 12, early);
    draw_scores(2, 3, late);
    memcpy(boosted, late, sizeof boosted);
    for (int32_t head = 0; head < N_HEADS; head++) {
        kv_policy_rank(both, 0, 0, 1, MAX_TOKENS, head, early + head * STRIDE);
        kv_policy_rank(full, 0, 0, 1, MAX_TOKENS, head, early + head * STRIDE);
    }
    (void)kv_policy_rescore(full, 0, 0, 3, MAX_TOKENS, 0, boosted, STRIDE, entries);
    const int64_t n = kv_policy_rescore(both, 0, 0, 3, MAX_TOKENS, 0, late, STRIDE, entries);
    assert_int_equal(kv_policy_rescore(plain, 0, 0, 3, MAX_TOKENS, 0, boosted, STRIDE, expected_entries), n);
    assert_memory_equal(entries, expected_entries, (size_t)n * sizeof *entries);
    for (int32_t head = 0; head < GROUP; head++)
        assert_memory_equal(late + head * STRIDE, boosted + head * STRIDE, (size_t)n * sizeof *late);
    assert_int_equal(kv_policy_attended(both, 0, 3, MAX_TOKENS, 1).n_tokens, n);
    kv_policy_destroy(both);
    kv_policy_destroy(full);
    kv_policy_destroy(plain);
}

static void broken_scores_boost_nothing_more_than_double(void **state) {
    (void)state;
    static const float specials[] = {NAN, INFINITY, -INFINITY, 3e38f};
    static float early[STRIDE], late[GROUP * STRIDE];
    int32_t entries[MAX_TOKENS];
    struct kv_policy *policy = new_policy("full", true, 1);
    for (int special = 0; special < 4; special++)
        for (int mixed = 0; mixed < 2; mixed++) {
            for (int64_t i = 0; i < 50; i++)
                early[i] = mixed && i % 3 ? (float)i : specials[special];
            memset(late, 0, sizeof late);
            for (int32_t head = 0; head < N_HEADS; head++)
                kv_policy_rank(policy, 0, 0, 1, 50, head, early);
            (void)kv_policy_rescore(policy, 0, 0, 2, 50, 0, late, STRIDE, entries);
            for (int64_t i = 0; i < 50; i++)
                assert_true(late[i] >= 0 && late[i] <= (float)log1p(1 - 2.0 / N_LAYERS));
            assert_true(late[0] == 0 && late[49] == 0);
        }
    kv_policy_destroy(policy);
}

static void layers_before_it_are_the_policy_s(void **state) {
    (void)state;
    struct kv_policy *policy = new_policy("emulate", false, 0); /* layer 1, its default */
    assert_int_equal(kv_policy_layer(policy, 0, 0, 9), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(policy, 0, 1, 9), KV_ATTEND_ALL | KV_RANK);
    for (int32_t layer = 2; layer < N_LAYERS; layer++)
        assert_int_equal(kv_policy_layer(policy, 0, layer, 9), KV_ATTEND_ALL | KV_RESCORE);
    kv_policy_destroy(policy);

    struct kv_policy_config config = config_of("emulate", true, 3);
    config.dense_below = 8;
    policy = policy_create(&config);
    assert_int_equal(kv_policy_layer(policy, 0, 3, 8), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(policy, 0, 1, 9), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(policy, 0, 3, 9), KV_RANK);
    kv_policy_destroy(policy);
}

static void layers_out_of_range_are_refused(void **state) {
    (void)state;
    static const int32_t layers[] = {-1, N_LAYERS - 1, N_LAYERS, INT32_MAX};
    for (int i = 0; i < 4; i++)
        assert_policy_refused(config_of("full", true, layers[i]), "no layer comes after it");
}

static void rescore_at_once(void *policy) {
    static float scores[N_HEADS * STRIDE];
    int32_t entries[MAX_TOKENS];
    (void)kv_policy_rescore(policy, 0, 0, 3, 20, 0, scores, STRIDE, entries);
}

static void an_emulated_layer_comes_first(void **state) {
    (void)state;
    static const float scores[STRIDE];
    struct kv_policy *policy = new_policy("full", true, 1);
    assert_true(check_fails(rescore_at_once, policy));
    for (int32_t head = 0; head < N_HEADS; head++)
        kv_policy_rank(policy, 0, 0, 1, 20, head, scores);
    assert_false(check_fails(rescore_at_once, policy));
    for (int32_t head = 0; head < N_HEADS; head++)
        kv_policy_rank(policy, 0, 0, 1, 21, head, scores);
    assert_true(check_fails(rescore_at_once, policy)); /* of another step */
    kv_policy_destroy(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_is_boosted_as_defined),
        cmocka_unit_test(a_shorter_sequence_forgets_the_longer),
        cmocka_unit_test(sets_are_boosted_and_the_same_as_without),
        cmocka_unit_test(what_rescores_itself_sees_boosted_scores),
        cmocka_unit_test(broken_scores_boost_nothing_more_than_double),
        cmocka_unit_test(layers_before_it_are_the_policy_s),
        cmocka_unit_test(layers_out_of_range_are_refused),
        cmocka_unit_test(an_emulated_layer_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
