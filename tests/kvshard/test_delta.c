/* DELTA against its definition: pages by the sum of their tokens' greatest weight under any head. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "tests/kvshard/agreement.h"

enum { MAX_TOKENS = 700, MAX_HEADS = 8, MAX_RANKS = 4, PAGE = 16, LAYER = 2, OPTIONS_MAX = 32 };

/* One selection: of scores [MAX_HEADS, MAX_TOKENS] n_heads rows of n_tokens are used. */
struct problem {
    int32_t n_heads, n_tokens, budget, newest;
    float scores[MAX_HEADS * MAX_TOKENS];
};

/* The options must live as long as the configuration is used. */
static struct kv_policy_config config_of(const struct problem *problem, char options[OPTIONS_MAX]) {
    struct kv_policy_config config = policy_config("delta", 10, 1, problem->n_heads, MAX_TOKENS);
    snprintf(options, OPTIONS_MAX, "newest=%d", problem->newest);
    config.budget = problem->budget;
    config.options = options;
    return config;
}

static struct kv_policy *new_policy(const struct problem *problem) {
    char options[OPTIONS_MAX];
    const struct kv_policy_config config = config_of(problem, options);
    return policy_create(&config);
}

/* ---- the policy, its heads dealt to n_ranks ---- */

struct set {
    int64_t n;
    int32_t tokens[MAX_TOKENS];
};

static void copy_set(const struct kv_policy *policy, int32_t slot, int64_t n_tokens, struct set *set_out) {
    const struct kv_set set = kv_policy_set(policy, slot, LAYER + 1, n_tokens, 0);
    assert_null(set.rows);
    assert_in_range(set.n_tokens, 1, MAX_TOKENS);
    memset(set_out, 0, sizeof *set_out);
    set_out->n = set.n_tokens;
    memcpy(set_out->tokens, set.tokens, (size_t)set.n_tokens * sizeof *set.tokens);
}

static void select_on_ranks(const struct problem *problem, int32_t n_ranks, struct set *set_out) {
    char options[OPTIONS_MAX];
    const struct agreement agreement = {config_of(problem, options), LAYER, problem->n_tokens,
                                        problem->scores, MAX_TOKENS};
    memset(set_out, 0, sizeof *set_out);
    set_out->n = agreement_reach(&agreement, n_ranks, set_out->tokens);
}

/* ---- the definition, in double ---- */

static bool is_number(double score) {
    return score == score;
}

static void page_scores(const struct problem *problem, double scores[MAX_TOKENS / PAGE + 1]) {
    double greatest[MAX_TOKENS] = {0};
    for (int32_t head = 0; head < problem->n_heads; head++) {
        const float *row = problem->scores + head * MAX_TOKENS;
        double max = -INFINITY, sum = 0;
        for (int32_t t = 0; t < problem->n_tokens; t++)
            if (is_number(row[t]) && row[t] > max) max = row[t];
        for (int32_t t = 0; t < problem->n_tokens; t++)
            if (is_number(row[t])) sum += exp(row[t] - max);
        for (int32_t t = 0; t < problem->n_tokens; t++)
            if (is_number(row[t])) greatest[t] = fmax(greatest[t], exp(row[t] - max) / sum);
    }
    memset(scores, 0, (MAX_TOKENS / PAGE + 1) * sizeof *scores);
    for (int32_t t = 0; t < problem->n_tokens; t++)
        scores[t / PAGE] += greatest[t];
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* Whole pages, ascending, as many as the budget has, the newest and the best of the others. */
static void assert_set_is_right(const struct problem *problem, const struct set *set) {
    const int32_t n_pages = (problem->n_tokens + PAGE - 1) / PAGE, n_chosen = problem->budget / PAGE;
    const int32_t n_newest = smaller(problem->newest, n_chosen);
    bool chosen[MAX_TOKENS / PAGE + 1] = {false};
    double scores[MAX_TOKENS / PAGE + 1];
    int64_t place = 0;
    int32_t found = 0;
    assert_true(set->n <= problem->budget);
    for (int32_t page = 0; page < n_pages && place < set->n; page++) {
        if (set->tokens[place] / PAGE != page) continue;
        chosen[page] = true;
        found++;
        for (int32_t t = page * PAGE; t < smaller((page + 1) * PAGE, problem->n_tokens); t++)
            assert_int_equal(set->tokens[place++], t);
    }
    assert_int_equal(place, set->n);
    assert_int_equal(found, n_chosen);
    for (int32_t page = n_pages - n_newest; page < n_pages; page++)
        assert_true(chosen[page]);
    page_scores(problem, scores);
    for (int32_t page = 0; page < n_pages - n_newest; page++)
        for (int32_t other = 0; other < n_pages - n_newest && chosen[page]; other++)
            assert_true(chosen[other] || scores[page] > scores[other] - 1e-6 * scores[page] - 1e-30);
}

static int32_t draw(uint64_t trial, uint64_t index, int32_t low, int32_t high) {
    return low + (int32_t)(rng_uniform(trial, 9, index) * (high - low + 1));
}

static void draw_problem(uint64_t trial, struct problem *problem) {
    problem->n_heads = draw(trial, 0, 1, MAX_HEADS);
    problem->budget = draw(trial, 1, PAGE, 300);
    problem->n_tokens = draw(trial, 2, problem->budget + 1, MAX_TOKENS);
    problem->newest = trial % 3 ? 8 : draw(trial, 3, 1, 20);
    for (int32_t head = 0; head < problem->n_heads; head++)
        for (int32_t token = 0; token < MAX_TOKENS; token++) {
            const double u = rng_uniform(trial, (uint64_t)head, (uint64_t)token);
            float score = (float)((u - 0.5) * 12);
            if (trial % 4 == 1 && u < 0.1) score = u < 0.05 ? NAN : -INFINITY;
            if (token >= problem->n_tokens) score = 1e30f; /* behind the row: never looked at */
            problem->scores[head * MAX_TOKENS + token] = score;
        }
}

static void agrees_with_the_definition_for_any_ranks(void **state) {
    (void)state;
    static struct problem problem;
    for (uint64_t trial = 0; trial < 300; trial++) {
        struct set one, more;
        draw_problem(trial, &problem);
        select_on_ranks(&problem, 1, &one);
        assert_set_is_right(&problem, &one);
        for (int32_t n_ranks = 2; n_ranks <= smaller(MAX_RANKS, problem.n_heads); n_ranks++) {
            select_on_ranks(&problem, n_ranks, &more);
            assert_memory_equal(&one, &more, sizeof one);
        }
    }
}

/* Equal scores, and scores of which there is nothing to say, leave every page alike: the oldest are taken. */
static void ties_go_to_the_older_page(void **state) {
    (void)state;
    static const float alike[] = {0, 3, -1e30f, NAN, INFINITY, -INFINITY};
    static struct problem problem = {.n_heads = 3, .n_tokens = 640, .budget = 200, .newest = 8};
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
        struct set set;
        for (int32_t j = 0; j < MAX_HEADS * MAX_TOKENS; j++)
            problem.scores[j] = alike[i];
        select_on_ranks(&problem, 3, &set);
        assert_int_equal(set.n, 192);
        for (int32_t j = 0; j < 192; j++)
            assert_int_equal(set.tokens[j], j < 64 ? j : 640 - 192 + j);
    }
}

/* A head that is sure of one token outweighs many that are mildly for others. */
static void the_greatest_weight_counts(void **state) {
    (void)state;
    static struct problem problem = {.n_heads = 4, .n_tokens = 400, .budget = 32, .newest = 1};
    struct set set;
    problem.scores[3 * MAX_TOKENS + 100] = 20;
    for (int32_t head = 0; head < 3; head++)
        for (int32_t token = 160; token < 176; token++)
            problem.scores[head * MAX_TOKENS + token] = 0.5f;
    select_on_ranks(&problem, 4, &set);
    assert_int_equal(set.n, 32);
    assert_int_equal(set.tokens[0], 96);
    assert_int_equal(set.tokens[16], 384);
}

/* d dense, S dense and selects, . reads the set */
static void assert_plan(int32_t n_layers, int64_t n_cached, const char *plan) {
    static const char letters[] = {
        [KV_ATTEND_ALL] = 'd', [KV_ATTEND_ALL_AND_SELECT] = 'S', [KV_ATTEND_SET] = '.'};
    struct kv_policy_config config = policy_config("delta", n_layers, 1, 1, MAX_TOKENS);
    config.budget = 100;
    struct kv_policy *policy = policy_create(&config);
    for (int32_t layer = 0; layer < n_layers; layer++)
        assert_int_equal(letters[kv_policy_layer(policy, 0, layer, n_cached)], plan[layer]);
    kv_policy_destroy(policy);
}

static void layers_by_default(void **state) {
    (void)state;
    assert_plan(10, 100, "dddddddddd"); /* K >= N */
    assert_plan(10, 101, "ddS..S..S.");
    assert_plan(8, 101, "ddS.S.S.");
    assert_plan(28, 101, "ddS...........S.......S.....");
    assert_plan(5, 101, "ddS.d"); /* nobody reads what the last would choose */
    assert_plan(4, 101, "dddd");  /* 2 and 3 */
}

static void bad_options_are_refused(void **state) {
    (void)state;
    static const struct {
        int32_t budget, n_layers;
        const char *options, *word;
    } cases[] = {{15, 10, "", "pages of 16"},
                 {100, 2, "", "the model has 2 layers"},
                 {100, 10, "newest=0", "delta.newest"},
                 {100, 10, "newest=1.5", "integer"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_policy_config config = policy_config("delta", cases[i].n_layers, 1, 1, MAX_TOKENS);
        config.budget = cases[i].budget;
        config.options = cases[i].options;
        assert_policy_refused(config, cases[i].word);
    }
}

struct run {
    struct kv_policy *policy;
    const struct problem *problem;
    int32_t slot;
};

static void *select_often(void *argument) {
    const struct run *run = argument;
    uint32_t message[MAX_TOKENS];
    for (int i = 0; i < 50; i++) {
        agreement_propose(run->policy, run->slot, LAYER, run->problem->n_tokens, run->problem->n_heads,
                          run->problem->scores, MAX_TOKENS, message);
        kv_policy_take(run->policy, run->slot, LAYER, run->problem->n_tokens, message);
    }
    return NULL;
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    static struct problem problems[2];
    struct run runs[2];
    for (int32_t slot = 0; slot < 2; slot++) {
        draw_problem((uint64_t)slot + 2, &problems[slot]);
        problems[slot].n_heads = 4;
        problems[slot].budget = 150;
        problems[slot].newest = 3;
        problems[slot].n_tokens = 300 + slot * 77;
    }
    struct kv_policy *policy = new_policy(&problems[0]);
    for (int32_t slot = 0; slot < 2; slot++)
        runs[slot] = (struct run){policy, &problems[slot], slot};
    call_at_once(select_often, 2, runs, sizeof *runs);
    for (int32_t slot = 0; slot < 2; slot++) {
        struct set expected, actual;
        select_on_ranks(&problems[slot], 1, &expected);
        copy_set(policy, slot, problems[slot].n_tokens, &actual);
        assert_memory_equal(&expected, &actual, sizeof expected);
    }
    kv_policy_destroy(policy);
}

static void read_a_set_before_one_was_taken(void *policy) {
    (void)kv_policy_set(policy, 0, LAYER + 1, 50, 0);
}

static void misuse_is_caught(void **state) {
    (void)state;
    static const struct problem problem = {.n_heads = 1, .budget = 40, .newest = 1};
    struct kv_policy *policy = new_policy(&problem);
    assert_true(check_fails(read_a_set_before_one_was_taken, policy));
    kv_policy_destroy(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition_for_any_ranks),
        cmocka_unit_test(ties_go_to_the_older_page),
        cmocka_unit_test(the_greatest_weight_counts),
        cmocka_unit_test(layers_by_default),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
