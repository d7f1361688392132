/* LessIsMore against its definition: heads read their rankings aloud in turn, whoever owns them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "tests/kvshard/agreement.h"

enum { MAX_TOKENS = 120, MAX_HEADS = 9, STRIDE = MAX_TOKENS + 5, LAYER = 1 };

/* One selection: scores [n_heads, STRIDE], n_tokens of each row used. */
struct problem {
    int32_t n_heads, n_tokens, budget, recent_percent, n_sinks;
    float scores[MAX_HEADS * STRIDE];
};

static struct kv_policy_config config_of(const struct problem *problem) {
    static const int32_t select_layer[] = {LAYER};
    struct kv_policy_config config = policy_config("lessismore", 4, 1, problem->n_heads, MAX_TOKENS);
    config.budget = problem->budget;
    config.recent_ratio = problem->recent_percent / 100.0;
    config.n_sinks = problem->n_sinks;
    config.n_select_layers = 1;
    config.select_layers = select_layer;
    return config;
}

/* ---- the definition, with nothing clever in it ---- */

static bool is_better(float a, float b) {
    return isnan(b) ? !isnan(a) : a > b;
}

/* The token at `place` of the head's ranking of [begin, end): the one that `place` others beat. */
static int32_t token_at_place(const float *scores, int32_t begin, int32_t end, int32_t place) {
    for (int32_t token = begin; token < end; token++) {
        int32_t n_before = 0;
        for (int32_t other = begin; other < end; other++)
            n_before += is_better(scores[other], scores[token]) ||
                        (other < token && !is_better(scores[token], scores[other]));
        if (n_before == place) return token;
    }
    fail();
    return -1;
}

struct parts {
    int32_t k_mid, n_sinks, n_recent;
};

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* In whole numbers; the current token always has a place. */
static struct parts parts_of(const struct problem *problem) {
    const int32_t budget = problem->budget;
    struct parts parts;
    parts.k_mid = smaller(budget * (100 - problem->recent_percent) / 100, budget - 1);
    parts.n_sinks = smaller(problem->n_sinks, budget - parts.k_mid - 1);
    parts.n_recent = budget - parts.k_mid - parts.n_sinks;
    return parts;
}

static void reference_set(const struct problem *problem, bool in_set[MAX_TOKENS]) {
    const struct parts parts = parts_of(problem);
    const int32_t begin = parts.n_sinks, end = problem->n_tokens - parts.n_recent;
    for (int32_t token = 0; token < problem->n_tokens; token++)
        in_set[token] = token < begin || token >= end;
    int32_t n_heard = 0;
    for (int32_t place = 0; n_heard < parts.k_mid; place++)
        for (int32_t head = 0; head < problem->n_heads && n_heard < parts.k_mid; head++) {
            const int32_t token = token_at_place(problem->scores + head * STRIDE, begin, end, place);
            n_heard += !in_set[token];
            in_set[token] = true;
        }
}

/* ---- the policy, its heads dealt to n_ranks ---- */

/* Fills set [budget]. */
static void select_on_ranks(const struct problem *problem, int32_t n_ranks, int32_t *set_out) {
    const struct agreement agreement = {config_of(problem), LAYER, problem->n_tokens, problem->scores,
                                        STRIDE};
    assert_int_equal(agreement_reach(&agreement, n_ranks, set_out), problem->budget);
}

/* Exactly K, ascending, the sinks, the newest and the current token among them. */
static void assert_set_is_proper(const struct problem *problem, const int32_t *set) {
    const struct parts parts = parts_of(problem);
    assert_true(parts.n_recent >= 1);
    for (int32_t i = 0; i < problem->budget; i++)
        assert_true(i == 0 ? set[0] >= 0 : set[i] > set[i - 1]);
    for (int32_t i = 0; i < parts.n_sinks; i++)
        assert_int_equal(set[i], i);
    for (int32_t i = 0; i < parts.n_recent; i++)
        assert_int_equal(set[problem->budget - 1 - i], problem->n_tokens - 1 - i);
}

static int32_t draw(uint64_t trial, uint64_t index, int32_t low, int32_t high) {
    return low + (int32_t)(rng_uniform(trial, 9, index) * (high - low + 1));
}

static void fill_scores(uint64_t trial, struct problem *problem) {
    const int kind = (int)(trial % 4); /* continuous; ties; heads that agree; special values */
    for (int32_t head = 0; head < problem->n_heads; head++)
        for (int32_t token = 0; token < STRIDE; token++) {
            const double u =
                rng_uniform(trial, kind == 2 && trial % 8 < 4 ? 0 : (uint64_t)head, (uint64_t)token);
            float score = (float)((u - 0.5) * 8);
            if (kind == 1 || kind == 2) score = (float)floor(u * 5) - 2;
            if (kind == 3 && u < 0.1) score = u < 0.05 ? NAN : -INFINITY;
            if (token >= problem->n_tokens) score = 1e30f; /* behind the row: never looked at */
            problem->scores[head * STRIDE + token] = score;
        }
}

static void draw_problem(uint64_t trial, struct problem *problem) {
    problem->n_heads = draw(trial, 0, 1, MAX_HEADS);
    problem->n_sinks = draw(trial, 1, 0, 6);
    problem->n_tokens = draw(trial, 2, problem->n_sinks + 3, MAX_TOKENS);
    problem->budget = draw(trial, 3, problem->n_sinks + 2, problem->n_tokens - 1);
    problem->recent_percent = trial % 3 ? 25 : draw(trial, 4, 0, 100);
    fill_scores(trial, problem);
}

static void agrees_with_the_definition_for_any_ranks(void **state) {
    (void)state;
    static const int32_t rank_counts[] = {1, 2, 3, 4, 7};
    static struct problem problem;
    for (uint64_t trial = 0; trial < 4000; trial++) {
        draw_problem(trial, &problem);
        bool in_set[MAX_TOKENS];
        int32_t set[MAX_TOKENS];
        reference_set(&problem, in_set);
        for (int i = 0; i < 5 && rank_counts[i] <= problem.n_heads; i++) {
            select_on_ranks(&problem, rank_counts[i], set);
            assert_set_is_proper(&problem, set);
            for (int32_t j = 0; j < problem.budget; j++)
                assert_true(in_set[set[j]]); /* both have K tokens, so they are equal */
        }
    }
}

/* Scores under which each head ranks exactly `proposals` first. */
static void score_proposals(struct problem *problem, int32_t n, const int32_t proposals[][3]) {
    for (int32_t head = 0; head < problem->n_heads; head++)
        for (int32_t place = 0; place < n; place++)
            problem->scores[head * STRIDE + proposals[head][place]] = (float)(10 - place);
}

static void the_worked_example(void **state) {
    (void)state;
    static const int32_t proposals[][3] = {{2, 1, 6}, {2, 1, 4}, {2, 6, 4}, {5, 6, 4}};
    static const int32_t expected[] = {1, 2, 5, 7};
    static struct problem problem = {.n_heads = 4, .n_tokens = 8, .budget = 4, .recent_percent = 25};
    score_proposals(&problem, 3, proposals);
    for (int32_t n_ranks = 1; n_ranks <= 4; n_ranks++) {
        int32_t set[4];
        select_on_ranks(&problem, n_ranks, set);
        assert_memory_equal(set, expected, sizeof expected);
    }
}

/* The example's messages by hand: rank 1 of 2 has heads 2 and 3. Candidates are tokens 0 to 6. */
static void the_message_is_place_times_heads_plus_head(void **state) {
    (void)state;
    static const int32_t proposals[][3] = {{2, 1, 6}, {2, 1, 4}, {2, 6, 4}, {5, 6, 4}};
    static const uint32_t none = UINT32_MAX;
    const uint32_t expected[] = {none, none, 2, none, 2 * 4 + 2, 3, 1 * 4 + 2};
    static struct problem problem = {.n_heads = 4, .n_tokens = 8, .budget = 4, .recent_percent = 25};
    score_proposals(&problem, 3, proposals);
    struct kv_policy *policy = policy_of_heads(config_of(&problem), 2, 2);
    uint32_t message[8];
    message[7] = 77;
    assert_int_equal(kv_policy_message_words(policy, 1, LAYER, 8), 7);
    agreement_propose(policy, 1, LAYER, 8, 2, problem.scores + 2 * STRIDE, STRIDE, message);
    assert_memory_equal(message, expected, sizeof expected);
    assert_int_equal(message[7], 77);
    kv_policy_destroy(policy);
}

static void one_head_gets_its_best_and_the_window(void **state) {
    (void)state;
    static const int32_t expected[] = {0, 1, 2, 3,                                              /* sinks */
                                       4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, /* best */
                                       39};                                                     /* newest */
    static struct problem problem = {
        .n_heads = 1, .n_tokens = 40, .budget = 20, .recent_percent = 25, .n_sinks = 4};
    for (int32_t token = 0; token < 40; token++) /* even tokens are good, low ones better */
        problem.scores[token] = (float)(token % 2 ? -token : 40 - token);
    int32_t set[20];
    select_on_ranks(&problem, 1, set);
    assert_memory_equal(set, expected, sizeof expected);
}

static void the_paper_s_shares(void **state) {
    (void)state;
    static const struct {
        int32_t budget, percent, n_sinks;
        struct parts parts;
    } cases[] = {
        {2048, 25, 4, {1536, 4, 508}},                          /* the paper's 2K */
        {20, 25, 4, {15, 4, 1}},       {16, 25, 4, {12, 3, 1}}, /* the current token before the fourth sink */
        {10, 90, 0, {1, 0, 9}}, /* 10 * (1 - 0.9) is a little less than 1 in floating point */
        {100, 7, 4, {93, 4, 3}},       {8, 0, 0, {7, 0, 1}},    {8, 0, 4, {7, 0, 1}}, {8, 100, 4, {0, 4, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t n_cached = 3000;
        struct kv_policy_config config = policy_config("lessismore", 36, 1, 1, 4096);
        config.budget = cases[i].budget;
        config.recent_ratio = cases[i].percent / 100.0;
        config.n_sinks = cases[i].n_sinks;
        struct kv_policy *policy = policy_create(&config);
        const struct parts parts = cases[i].parts;
        assert_int_equal(kv_policy_message_words(policy, 0, 2, n_cached),
                         n_cached - parts.n_sinks - parts.n_recent);
        static float scores[4096];
        static uint32_t message[4096];
        agreement_propose(policy, 0, 2, n_cached, 1, scores, 4096, message);
        kv_policy_take(policy, 0, 2, n_cached, message);
        const struct kv_set set = kv_policy_set(policy, 0, 3, n_cached, 0);
        assert_int_equal(set.n_tokens, cases[i].budget);
        for (int32_t j = 0; j < cases[i].budget; j++) /* all scores tie: the lowest candidates win */
            assert_int_equal(set.tokens[j],
                             j < parts.n_sinks + parts.k_mid ? j : n_cached - cases[i].budget + j);
        kv_policy_destroy(policy);
    }
}

struct run {
    struct kv_policy *policy;
    const struct problem *problem;
    int32_t slot;
};

static void select_in_slot(struct kv_policy *policy, int32_t slot, const struct problem *problem) {
    uint32_t message[MAX_TOKENS];
    agreement_propose(policy, slot, LAYER, problem->n_tokens, problem->n_heads, problem->scores, STRIDE,
                      message);
    kv_policy_take(policy, slot, LAYER, problem->n_tokens, message);
}

static void *select_often(void *argument) {
    const struct run *run = argument;
    for (int i = 0; i < 200; i++)
        select_in_slot(run->policy, run->slot, run->problem);
    return NULL;
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    static struct problem problems[2] = {
        {.n_heads = 4, .n_tokens = 100, .budget = 30, .recent_percent = 25, .n_sinks = 4},
        {.n_heads = 4, .n_tokens = 71, .budget = 30, .recent_percent = 25, .n_sinks = 4}};
    struct kv_policy *policy = policy_of_heads(config_of(&problems[0]), 0, 4);
    struct run runs[2];
    for (int32_t slot = 0; slot < 2; slot++) {
        fill_scores((uint64_t)slot * 4, &problems[slot]);
        runs[slot] = (struct run){policy, &problems[slot], slot};
    }
    call_at_once(select_often, 2, runs, sizeof *runs);
    for (int32_t slot = 0; slot < 2; slot++) {
        int32_t expected[30];
        select_on_ranks(&problems[slot], 1, expected);
        const struct kv_set set = kv_policy_set(policy, slot, LAYER + 2, problems[slot].n_tokens, 3);
        assert_memory_equal(set.tokens, expected, sizeof expected);
        assert_ptr_equal(set.tokens,
                         kv_policy_set(policy, slot, LAYER + 2, problems[slot].n_tokens, 0).tokens);
    }
    kv_policy_destroy(policy);
}

static void a_later_selection_replaces_the_set(void **state) {
    (void)state;
    static struct problem problem = {
        .n_heads = 2, .n_tokens = 50, .budget = 30, .recent_percent = 25, .n_sinks = 4};
    struct kv_policy *policy = policy_of_heads(config_of(&problem), 0, 2);
    for (problem.n_tokens = 50; problem.n_tokens < 60; problem.n_tokens++) {
        int32_t expected[30];
        fill_scores((uint64_t)problem.n_tokens, &problem);
        select_in_slot(policy, 0, &problem);
        select_on_ranks(&problem, 2, expected);
        assert_memory_equal(kv_policy_set(policy, 0, LAYER + 1, problem.n_tokens, 0).tokens, expected,
                            sizeof expected);
    }
    kv_policy_destroy(policy);
}

static void read_set(void *policy) {
    (void)kv_policy_set(policy, 0, LAYER + 1, 50, 0);
}

static void propose_at_a_reading_layer(void *policy) {
    uint32_t message[MAX_TOKENS];
    kv_policy_propose(policy, 0, LAYER + 1, 50, message);
}

static void rank_at_a_reading_layer(void *policy) {
    static const float scores[STRIDE];
    kv_policy_rank(policy, 0, 0, LAYER + 1, 50, 0, scores);
}

static void rank_a_head_too_many(void *policy) {
    static const float scores[STRIDE];
    kv_policy_rank(policy, 0, 0, LAYER, 50, 2, scores);
}

static void rank_on_a_thread_too_many(void *policy) {
    static const float scores[STRIDE];
    kv_policy_rank(policy, 2, 0, LAYER, 50, 0, scores);
}

static void take_what_nobody_proposed(void *policy) {
    uint32_t agreed[MAX_TOKENS];
    memset(agreed, 0xFF, sizeof agreed);
    kv_policy_take(policy, 0, LAYER, 50, agreed);
}

static void misuse_is_caught(void **state) {
    (void)state;
    static const struct problem problem = {
        .n_heads = 2, .n_tokens = 50, .budget = 30, .recent_percent = 25, .n_sinks = 4};
    struct kv_policy *policy = policy_of_heads(config_of(&problem), 0, 2);
    assert_true(check_fails(read_set, policy)); /* nothing was taken yet */
    assert_true(check_fails(propose_at_a_reading_layer, policy));
    assert_true(check_fails(rank_at_a_reading_layer, policy));
    assert_true(check_fails(rank_a_head_too_many, policy));
    assert_true(check_fails(rank_on_a_thread_too_many, policy));
    assert_true(check_fails(take_what_nobody_proposed, policy));
    kv_policy_destroy(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition_for_any_ranks),
        cmocka_unit_test(the_worked_example),
        cmocka_unit_test(the_message_is_place_times_heads_plus_head),
        cmocka_unit_test(one_head_gets_its_best_and_the_window),
        cmocka_unit_test(the_paper_s_shares),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(a_later_selection_replaces_the_set),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
