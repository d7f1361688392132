/* The policy table, and what a configuration may say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "tests/kvshard/policy_fixture.h"

/* The last rank's of four. */
static struct kv_policy_config base_config(const char *name) {
    struct kv_policy_config config = policy_config(name, 36, 2, 4, 1000);
    config.budget = 64;
    config.recent_ratio = 0.25;
    config.n_sinks = 4;
    config.n_heads_global = 32;
    config.first_head = 24;
    return config;
}

static void names_and_summaries_end(void **state) {
    (void)state;
    int n = 0;
    for (; kv_policy_name(n); n++)
        assert_true(strlen(kv_policy_summary(n)) > 0);
    assert_true(n >= 2);
    assert_string_equal(kv_policy_name(0), "full");
    assert_null(kv_policy_summary(n));
    assert_null(kv_policy_name(-1));
}

static void unknown_names_are_answered_with_the_known(void **state) {
    (void)state;
    struct kv_policy_config config = base_config("lessmore");
    assert_policy_refused(config, "'lessmore'");
    assert_policy_refused(config, "full, lessismore");
}

static void full_is_dense_whatever_the_options(void **state) {
    (void)state;
    struct kv_policy_config config = base_config("full");
    config.budget = 0;
    config.recent_ratio = NAN;
    config.n_layers = 1;
    struct kv_policy *policy = policy_create(&config);
    assert_int_equal(kv_policy_layer(policy, 1, 0, 1), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(policy, 0, 0, 1000), KV_ATTEND_ALL);
    kv_policy_destroy(policy);
    kv_policy_destroy(NULL);
}

static void options_out_of_range_are_refused(void **state) {
    (void)state;
    struct kv_policy_config config = base_config("lessismore");
    config.budget = 5;
    assert_policy_refused(config, "budget 5");
    assert_policy_refused(config, "at least 6");
    config.n_sinks = INT32_MAX; /* + 2 must not overflow */
    assert_policy_refused(config, "at least 2147483649");
    config.n_sinks = -1;
    assert_policy_refused(config, "sinks");

    static const double ratios[] = {-0.01, 1.01, NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 5; i++) {
        config = base_config("lessismore");
        config.recent_ratio = ratios[i];
        assert_policy_refused(config, "recent-ratio");
    }

    config = base_config("lessismore"); /* 0.75 * 2^30 places of 32 heads */
    config.budget = 1 << 30;
    config.context_length = INT32_MAX;
    assert_policy_refused(config, "32 bits");
}

/* What is wrong whatever the model is said without one: nothing but these fields is given. */
static void what_needs_no_model_is_checked_without_one(void **state) {
    (void)state;
    static const struct {
        const char *name, *options, *word;
        int32_t budget;
        bool corrects;
    } cases[] = {
        {"lessmore", NULL, "'lessmore'", 64, false},
        {"quest", "window=64", "window", 64, false},
        {"tactic", "p=2", "tactic.p", 64, false},
        {"full", "quest.window=64", "window", 64, false},
        {"quest", NULL, "needs 2 of them", 16, false},
        {"raas", NULL, "needs 2 of them", 31, false},
        {"delta", NULL, "needs 1 of them", 15, false},
        {"lessismore", NULL, "at least 6", 5, false},
        {"streaming", NULL, "at least 6", 5, false},
        {"tidal", NULL, "needs 2 tokens", 1, false},
        {"h2o", NULL, "needs 2 tokens", 1, false},
        {"refresh", NULL, "needs a token", 0, false},
        {"rkv", NULL, "keeps the last", 8, false},
        {"multipole", NULL, "at least", 4, false},
        {"h2o", NULL, "evicts nothing, and h2o does", 64, true},
        {"raas", NULL, "evicts nothing, and raas does", 64, true},
        {"lessismore", NULL, NULL, 16, true},
        {"tactic", "window=64,quest.first-layer=1", NULL, 0, true},
        {"h2o", NULL, NULL, 64, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct kv_policy_config config = {.name = cases[i].name,
                                                .options = cases[i].options,
                                                .budget = cases[i].budget,
                                                .recent_ratio = 0.25,
                                                .n_sinks = 4,
                                                .corrects = cases[i].corrects};
        const char *word = cases[i].word;
        assert_int_equal(kv_policy_check(&config), word ? STATUS_BAD_INPUT : STATUS_OK);
        if (word && !strstr(status_message(), word)) fail_msg("%s", status_message());
        struct kv_policy_config whole = base_config(cases[i].name);
        whole.options = config.options;
        whole.budget = config.budget;
        whole.corrects = config.corrects;
        if (word) assert_policy_refused(whole, word);
    }
}

static void select_layers_are_checked(void **state) {
    (void)state;
    static const struct {
        int32_t layers[3], n;
        const char *word;
    } cases[] = {
        {{2, 36}, 2, "select layer 36"},
        {{-1}, 1, "select layer -1"},
        {{2, 2}, 2, "2 comes after 2"},
        {{2, 12, 3}, 3, "3 comes after 12"},
    };
    struct kv_policy_config config = base_config("lessismore");
    for (int i = 0; i < 4; i++) {
        config.select_layers = cases[i].layers;
        config.n_select_layers = cases[i].n;
        assert_policy_refused(config, cases[i].word);
    }
}

/* One letter per layer: d dense, S dense and selects, . reads the set. */
static void assert_plan(const struct kv_policy_config *config, int64_t n_cached, const char *plan) {
    static const char letters[] = {
        [KV_ATTEND_ALL] = 'd', [KV_ATTEND_ALL_AND_SELECT] = 'S', [KV_ATTEND_SET] = '.'};
    struct kv_policy *policy = policy_create(config);
    assert_int_equal(strlen(plan), config->n_layers);
    for (int32_t layer = 0; layer < config->n_layers; layer++)
        for (int32_t slot = 0; slot < config->n_slots; slot++)
            assert_int_equal(letters[kv_policy_layer(policy, slot, layer, n_cached)], plan[layer]);
    kv_policy_destroy(policy);
}

static void layers_select_read_or_are_dense(void **state) {
    (void)state;
    struct kv_policy_config config = base_config("lessismore");
    assert_plan(&config, 65, "ddS.........S.......................");
    assert_plan(&config, 1000, "ddS.........S.......................");
    assert_plan(&config, 64, "dddddddddddddddddddddddddddddddddddd"); /* K >= N */
    assert_plan(&config, 1, "dddddddddddddddddddddddddddddddddddd");

    const int32_t layers[] = {0, 3, 7};
    config.n_layers = 10;
    config.select_layers = layers;
    config.n_select_layers = 3;
    assert_plan(&config, 65, "S..S...S..");
    config.n_select_layers = 1;
    assert_plan(&config, 65, "S.........");
    config.n_layers = 8; /* nobody is behind the last */
    config.n_select_layers = 3;
    assert_plan(&config, 65, "S..S...d");

    config = base_config("lessismore");
    config.budget = 2000; /* more than the context */
    assert_plan(&config, 1000, "dddddddddddddddddddddddddddddddddddd");
}

static void default_layers_follow_the_depth(void **state) {
    (void)state;
    static const struct {
        int32_t n_layers;
        const char *plan;
    } cases[] = {
        {3, "ddd"},      {4, "ddS."},         {5, "ddS.."},         {7, "ddS...."},
        {8, "dddS...."}, {11, "ddS.S......"}, {12, "ddS.S......."},
    };
    struct kv_policy_config config = base_config("lessismore");
    for (int i = 0; i < 7; i++) {
        config.n_layers = cases[i].n_layers;
        assert_plan(&config, 65, cases[i].plan);
    }
    for (config.n_layers = 1; config.n_layers <= 2; config.n_layers++)
        assert_policy_refused(config, "--select-layers");
    const int32_t first[] = {0};
    config.n_layers = 2;
    config.select_layers = first;
    config.n_select_layers = 1;
    assert_plan(&config, 65, "S.");
}

/* Ranks without rows of such a head do not run its policy. */
static void who_needs_whole_heads_agrees_on_nothing(void **state) {
    int n_whole = 0;
    bool whole;
    (void)state;
    for (int i = 0; kv_policy_name(i); i++) {
        assert_int_equal(kv_policy_has_whole_heads(kv_policy_name(i), &whole), STATUS_OK);
        if (!whole) continue;
        n_whole++;
        const struct kv_policy_config config = base_config(kv_policy_name(i));
        struct kv_policy *policy = policy_create(&config);
        for (int32_t layer = 0; layer < config.n_layers; layer++)
            for (int64_t n = 1; n <= config.context_length; n += 37)
                assert_false(kv_policy_layer(policy, 0, layer, n) & KV_AGREE);
        kv_policy_destroy(policy);
    }
    assert_int_equal(n_whole, 4);
    assert_int_equal(kv_policy_has_whole_heads("lessmore", &whole), STATUS_BAD_INPUT);
}

enum { SELECTING = 2, N_CACHED = 700 };

/* What a policy made of a head's scores at its selecting layer. */
struct outcome {
    uint32_t message[N_CACHED];
    int32_t tokens[N_CACHED];
};

static struct outcome outcome_of(struct kv_policy *policy) {
    struct outcome outcome = {0};
    if (kv_policy_layer(policy, 0, SELECTING, N_CACHED) & KV_AGREE) {
        kv_policy_propose(policy, 0, SELECTING, N_CACHED, outcome.message);
        return outcome;
    }
    const struct kv_set set = kv_policy_set(policy, 0, SELECTING + 1, N_CACHED, 0);
    memcpy(outcome.tokens, set.tokens, (size_t)set.n_tokens * sizeof *set.tokens);
    return outcome;
}

/* The best of the range, and every seventh of the others. */
static struct kv_scored some_of(struct kv_policy *policy, const float *scores, struct kv_best best) {
    static int32_t indices[N_CACHED], tokens[N_CACHED];
    static float some[N_CACHED];
    int64_t n = 0, picked = 0;
    kv_policy_pick(policy, 0, scores + best.begin, best.end - best.begin, best.n, indices);
    for (int64_t token = best.begin; token < best.end; token++) {
        const bool is_best = picked < best.n && indices[picked] == token - best.begin;
        picked += is_best;
        if (!is_best && token % 7) continue;
        tokens[n] = (int32_t)token;
        some[n++] = scores[token];
    }
    return (struct kv_scored){tokens, some, n};
}

static void expect_same_outcome(const char *name, const float *scores) {
    static const int32_t layers[] = {SELECTING};
    struct kv_policy_config config = base_config(name);
    config.n_select_layers = 1;
    config.select_layers = layers;
    config.n_heads_local = config.n_kv_heads_local = 1;
    struct kv_policy *by_all = policy_create(&config), *by_best = policy_create(&config);
    const struct kv_best best = kv_policy_best(by_best, 0, SELECTING, N_CACHED);
    assert_true(best.n > 0 && best.n < config.budget && best.begin >= 0 && best.end < N_CACHED);
    kv_policy_rank(by_all, 0, 0, SELECTING, N_CACHED, 0, scores);
    kv_policy_rank_best(by_best, 0, 0, SELECTING, N_CACHED, 0, some_of(by_best, scores, best));
    const struct outcome a = outcome_of(by_all), b = outcome_of(by_best);
    assert_memory_equal(&a, &b, sizeof a);
    kv_policy_destroy(by_all);
    kv_policy_destroy(by_best);
}

static void the_best_scores_are_enough(void **state) {
    static float scores[N_CACHED];
    (void)state;
    for (int values = 3; values < 10000; values *= 4) { /* from ties everywhere to none */
        for (uint64_t i = 0; i < N_CACHED; i++)
            scores[i] = (float)floor(rng_uniform(5, 0, i) * values);
        scores[400] = NAN;
        scores[401] = -INFINITY;
        scores[402] = INFINITY;
        expect_same_outcome("lessismore", scores);
        expect_same_outcome("tidal", scores);
    }
}

/* Emulation and the other policies look at every score. */
static void some_need_all_scores(void **state) {
    (void)state;
    for (int i = 0; kv_policy_name(i); i++) {
        const char *name = kv_policy_name(i);
        struct kv_policy_config config = base_config(name);
        config.emulates = strcmp(name, "lessismore") == 0;
        if (strcmp(name, "tidal") == 0) continue;
        struct kv_policy *policy = policy_create(&config);
        for (int32_t layer = 0; layer < config.n_layers; layer++)
            assert_int_equal(kv_policy_best(policy, 0, layer, config.context_length).n, 0);
        kv_policy_destroy(policy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_summaries_end),
        cmocka_unit_test(unknown_names_are_answered_with_the_known),
        cmocka_unit_test(full_is_dense_whatever_the_options),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(what_needs_no_model_is_checked_without_one),
        cmocka_unit_test(select_layers_are_checked),
        cmocka_unit_test(layers_select_read_or_are_dense),
        cmocka_unit_test(default_layers_follow_the_depth),
        cmocka_unit_test(who_needs_whole_heads_agrees_on_nothing),
        cmocka_unit_test(the_best_scores_are_enough),
        cmocka_unit_test(some_need_all_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
