/* Sparsemax against its definition: thresholds from sorted scores, and the conditions of the optimum. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "check_fails.h"
#include "tests/kvshard/policy_fixture.h"

enum { MAX_TOKENS = 700, MAX_GROUP = 4, N_KV_HEADS = 2, STRIDE = MAX_TOKENS + 3, LAYER = 2 };

/* Scores of one KV head's queries [group, STRIDE], n_tokens of each row used. */
struct problem {
    int32_t group, n_tokens;
    double temperature;
    float scores[MAX_GROUP * STRIDE];
};

static struct kv_policy_config config_of(const char *name, int32_t group, const char *options) {
    struct kv_policy_config config = policy_config(name, 4, N_KV_HEADS, group, MAX_TOKENS);
    config.budget = 1; /* there is none */
    config.options = options;
    return config;
}

static struct kv_policy *new_policy(const char *name, const struct problem *problem) {
    char options[64];
    snprintf(options, sizeof options, "temperature=%.17g", problem->temperature);
    const struct kv_policy_config config = config_of(name, problem->group, options);
    return policy_create(&config);
}

/* ---- the definition ---- */

static int descending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* tau = (sum of the rho largest - 1) / rho, rho the greatest j with 1 + j z_(j) > sum of the j largest. NaNs
 * are left out. */
static double sorted_tau(const float *scores, int32_t n, double temperature) {
    double z[MAX_TOKENS], sum = 0, tau = NAN;
    int32_t n_z = 0;
    for (int32_t i = 0; i < n; i++)
        if (!isnan(scores[i])) z[n_z++] = scores[i] / temperature;
    qsort(z, (size_t)n_z, sizeof *z, descending);
    for (int32_t j = 1; j <= n_z; j++) {
        sum += z[j - 1];
        if (1 + j * z[j - 1] > sum) tau = (sum - 1) / j;
    }
    return tau;
}

static double defined_weight(const struct problem *problem, int32_t head, int32_t token, double tau) {
    const float score = problem->scores[head * STRIDE + token];
    return isnan(score) ? 0 : fmax(score / problem->temperature - tau, 0);
}

static int32_t draw(uint64_t trial, uint64_t index, int32_t low, int32_t high) {
    return low + (int32_t)(rng_uniform(trial, 9, index) * (high - low + 1));
}

/* Continuous, flat, coarse (eighths, so that every sum is exact and ties abound), with NaN and -infinity. */
static void draw_problem(uint64_t trial, struct problem *problem) {
    static const double temperatures[] = {1, 0.5, 2, 0.25};
    const int kind = (int)(trial % 4);
    problem->group = draw(trial, 0, 1, MAX_GROUP);
    problem->n_tokens = draw(trial, 1, 1, trial % 7 ? 60 : MAX_TOKENS);
    problem->temperature = temperatures[draw(trial, 2, 0, 3)];
    for (int32_t head = 0; head < problem->group; head++)
        for (int32_t token = 0; token < STRIDE; token++) {
            const double u = rng_uniform(trial, (uint64_t)head, (uint64_t)token);
            double score = (u - 0.5) * (kind == 1 ? 0.05 : 12);
            if (kind == 2) score = floor(u * 33) / 8 - 2;
            if (kind == 3 && u < 0.2 && token > 0) score = u < 0.1 ? NAN : -INFINITY;
            if (token >= problem->n_tokens) score = 1e30; /* behind the row: never looked at */
            problem->scores[head * STRIDE + token] = (float)score;
        }
}

/* ---- the policy's answer, spread over all tokens ---- */

struct answer {
    int64_t n;
    int32_t entries[MAX_TOKENS];
    double weights[MAX_GROUP][MAX_TOKENS]; /* softmax of what it gave, 0 for what it left out */
};

static void softmax_of(const float *scores, int64_t n, const int32_t *entries, double *weights) {
    double max = -INFINITY, sum = 0;
    memset(weights, 0, MAX_TOKENS * sizeof *weights);
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, scores[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(scores[i] - max);
    for (int64_t i = 0; i < n; i++)
        weights[entries[i]] = exp(scores[i] - max) / sum;
}

static void rescore(struct kv_policy *policy, int32_t slot, int32_t kv_head, const struct problem *problem,
                    struct answer *answer) {
    float scores[MAX_GROUP * STRIDE];
    memcpy(scores, problem->scores, sizeof scores);
    answer->n = kv_policy_rescore(policy, slot, slot, LAYER, problem->n_tokens, kv_head, scores, STRIDE,
                                  answer->entries);
    assert_true(answer->n >= 1 && answer->n <= problem->n_tokens);
    for (int64_t i = 0; i < answer->n; i++)
        assert_true(i == 0 ? answer->entries[0] >= 0 : answer->entries[i] > answer->entries[i - 1]);
    assert_true(answer->entries[answer->n - 1] < problem->n_tokens);
    for (int32_t head = 0; head < problem->group; head++)
        softmax_of(scores + head * STRIDE, answer->n, answer->entries, answer->weights[head]);
    const struct kv_set attended = kv_policy_attended(policy, slot, LAYER, problem->n_tokens,
                                                      kv_head * problem->group + problem->group - 1);
    assert_int_equal(attended.n_tokens, answer->n);
    assert_memory_equal(attended.tokens, answer->entries, (size_t)answer->n * sizeof *answer->entries);
}

static void assert_union_of_supports(const struct problem *problem, const struct answer *answer,
                                     const double *tau, double tolerance) {
    bool listed[MAX_TOKENS] = {false};
    for (int64_t i = 0; i < answer->n; i++)
        listed[answer->entries[i]] = true;
    for (int32_t token = 0; token < problem->n_tokens; token++) {
        double most = 0;
        for (int32_t head = 0; head < problem->group; head++)
            most = fmax(most, defined_weight(problem, head, token, tau[head]));
        if (most > tolerance) assert_true(listed[token]);
        if (listed[token]) assert_true(most > -tolerance);
        if (tolerance == 0) assert_int_equal(listed[token], most > 0);
    }
}

static void weights_are_those_of_the_definition(void **state) {
    (void)state;
    static struct problem problem;
    static struct answer answer;
    for (uint64_t trial = 0; trial < 3000; trial++) {
        double tau[MAX_GROUP];
        draw_problem(trial, &problem);
        struct kv_policy *policy = new_policy("sparsemax", &problem);
        rescore(policy, 0, (int32_t)(trial % 2), &problem, &answer);
        for (int32_t head = 0; head < problem.group; head++) {
            tau[head] = sorted_tau(problem.scores + head * STRIDE, problem.n_tokens, problem.temperature);
            for (int32_t token = 0; token < problem.n_tokens; token++)
                assert_true(fabs(answer.weights[head][token] -
                                 defined_weight(&problem, head, token, tau[head])) < 1e-6);
        }
        assert_union_of_supports(&problem, &answer, tau, trial % 4 == 2 ? 0 : 1e-9);
        kv_policy_destroy(policy);
    }
}

/* Of the projection onto the simplex: with the tau that any token with weight has, no token's z is above
 * its weight + tau, and those with weight are exactly there. */
static void the_optimum_s_conditions_hold(void **state) {
    (void)state;
    static struct problem problem;
    static struct answer answer;
    for (uint64_t trial = 10000; trial < 11000; trial++) {
        draw_problem(trial, &problem);
        struct kv_policy *policy = new_policy("sparsemax", &problem);
        rescore(policy, 1, 1, &problem, &answer);
        for (int32_t head = 0; head < problem.group; head++) {
            double sum = 0, tau = NAN;
            for (int32_t token = 0; token < problem.n_tokens; token++) {
                const double weight = answer.weights[head][token];
                sum += weight;
                if (weight > 1e-3) tau = problem.scores[head * STRIDE + token] / problem.temperature - weight;
            }
            assert_true(fabs(sum - 1) < 1e-9);
            for (int32_t token = 0; token < problem.n_tokens; token++) {
                const double weight = answer.weights[head][token],
                             z = problem.scores[head * STRIDE + token] / problem.temperature;
                if (weight > 0) assert_true(fabs(z - tau - weight) < 1e-5);
                if (weight == 0 && !isnan(z)) assert_true(z - tau < 1e-5);
            }
        }
        kv_policy_destroy(policy);
    }
}

/* Three scores, by hand: tau = (1 + 0.5 - 1) / 2 = 0.25, weights 0.75 and 0.25. */
static void a_worked_example(void **state) {
    (void)state;
    static struct problem problem = {.group = 1, .n_tokens = 3, .temperature = 1, .scores = {0.5f, -1, 1}};
    static struct answer answer;
    struct kv_policy *policy = new_policy("sparsemax", &problem);
    rescore(policy, 0, 0, &problem, &answer);
    assert_int_equal(answer.n, 2);
    assert_int_equal(answer.entries[1], 2);
    assert_true(fabs(answer.weights[0][0] - 0.25) < 1e-7);
    assert_true(fabs(answer.weights[0][2] - 0.75) < 1e-7);
    kv_policy_destroy(policy);
}

static void select_takes_the_same_tokens_and_keeps_scores(void **state) {
    (void)state;
    static struct problem problem;
    static struct answer answer;
    for (uint64_t trial = 20000; trial < 20500; trial++) {
        draw_problem(trial, &problem);
        struct kv_policy *weighing = new_policy("sparsemax", &problem),
                         *selecting = new_policy("sparsemax-select", &problem);
        float scores[MAX_GROUP * STRIDE];
        int32_t entries[MAX_TOKENS];
        memcpy(scores, problem.scores, sizeof scores);
        rescore(weighing, 0, 0, &problem, &answer);
        const int64_t n =
            kv_policy_rescore(selecting, 0, 0, LAYER, problem.n_tokens, 0, scores, STRIDE, entries);
        assert_int_equal(n, answer.n);
        assert_memory_equal(entries, answer.entries, (size_t)n * sizeof *entries);
        for (int32_t head = 0; head < problem.group; head++)
            for (int64_t i = 0; i < n; i++) {
                const float score = problem.scores[head * STRIDE + entries[i]];
                assert_true(scores[head * STRIDE + i] == (isnan(score) ? KV_SCORE_NONE : score));
            }
        kv_policy_destroy(weighing);
        kv_policy_destroy(selecting);
    }
}

/* Nothing but NaN, infinities, and rows of equal scores have an answer, too. */
static void scores_beyond_the_ordinary(void **state) {
    (void)state;
    static const float specials[] = {NAN, INFINITY, -INFINITY, 0, 3e38f};
    static struct problem problem = {.group = 2, .temperature = 1};
    static struct answer answer;
    struct kv_policy *policy = new_policy("sparsemax", &problem);
    for (problem.n_tokens = 1; problem.n_tokens <= 130; problem.n_tokens += 43)
        for (int first = 0; first < 5; first++)
            for (int second = 0; second < 5; second++) {
                for (int32_t i = 0; i < problem.n_tokens; i++) {
                    problem.scores[i] = specials[first];
                    problem.scores[STRIDE + i] = specials[second];
                }
                rescore(policy, 0, 0, &problem, &answer);
                const bool numbers = first > 0 || second > 0;
                assert_int_equal(answer.n, numbers ? problem.n_tokens : 1);
                assert_int_equal(answer.entries[answer.n - 1], problem.n_tokens - 1);
                for (int64_t i = 0; i < answer.n; i++)
                    assert_true(fabs(answer.weights[0][answer.entries[i]] - 1.0 / (double)answer.n) < 1e-6);
            }
    kv_policy_destroy(policy);
}

struct run {
    struct kv_policy *policy;
    const struct problem *problem;
    int32_t slot;
};

static void *rescore_often(void *argument) {
    const struct run *run = argument;
    struct answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    for (int i = 0; i < 200; i++)
        rescore(run->policy, run->slot, 1, run->problem, answer);
    free(answer);
    return NULL;
}

static void slots_are_independent_even_at_once(void **state) {
    (void)state;
    static struct problem problems[2];
    static struct answer alone;
    for (uint64_t slot = 0; slot < 2; slot++)
        draw_problem(28 + slot * 28, &problems[slot]); /* as many tokens as there may be */
    problems[1].group = problems[0].group;
    problems[1].temperature = problems[0].temperature;
    struct kv_policy *policy = new_policy("sparsemax", &problems[0]);
    struct run runs[2];
    for (int32_t slot = 0; slot < 2; slot++)
        runs[slot] = (struct run){policy, &problems[slot], slot};
    call_at_once(rescore_often, 2, runs, sizeof *runs);
    for (int32_t slot = 0; slot < 2; slot++) {
        const struct kv_set set =
            kv_policy_attended(policy, slot, LAYER, problems[slot].n_tokens, 2 * problems[slot].group - 1);
        struct kv_policy *fresh = new_policy("sparsemax", &problems[slot]);
        rescore(fresh, 0, 1, &problems[slot], &alone);
        assert_int_equal(set.n_tokens, alone.n);
        assert_memory_equal(set.tokens, alone.entries, (size_t)alone.n * sizeof *alone.entries);
        kv_policy_destroy(fresh);
    }
    kv_policy_destroy(policy);
}

static void read_attended(void *policy) {
    (void)kv_policy_attended(policy, 0, LAYER, 3, 0);
}

static void rescore_a_dense_layer(void *policy) {
    static float scores[STRIDE];
    int32_t entries[MAX_TOKENS];
    (void)kv_policy_rescore(policy, 0, 0, LAYER - 1, 3, 0, scores, STRIDE, entries);
}

static void supports_end_with_the_sequence(void **state) {
    (void)state;
    static struct problem problem = {.group = 1, .n_tokens = 3, .temperature = 1, .scores = {0.5f, -1, 1}};
    static struct answer answer;
    struct kv_policy *policy = new_policy("sparsemax", &problem);
    assert_true(check_fails(read_attended, policy));
    assert_true(check_fails(rescore_a_dense_layer, policy));
    rescore(policy, 0, 0, &problem, &answer);
    assert_false(check_fails(read_attended, policy));
    kv_policy_rewind(policy, 0, 0);
    assert_true(check_fails(read_attended, policy));
    kv_policy_destroy(policy);
}

static void refused(const char *options, int32_t n_layers, const char *words) {
    struct kv_policy_config config = config_of("sparsemax", 1, options);
    config.n_layers = n_layers;
    assert_policy_refused(config, words);
}

static void options_are_checked(void **state) {
    (void)state;
    refused("temperature=0", 4, "sparsemax.temperature: '0'");
    refused("temperature=nan", 4, "sparsemax.temperature: 'nan'");
    refused("first-layer=1.5", 4, "sparsemax.first-layer: '1.5'");
    refused(NULL, 2, "sparse from layer 2 on and the model has 2 layers");
    refused("first-layer=4", 4, "sparse from layer 4 on");
    struct kv_policy_config config =
        config_of("sparsemax-select", 1, "first-layer=1,sparsemax.temperature=9");
    struct kv_policy *policy = policy_create(&config);
    assert_int_equal(kv_policy_layer(policy, 0, 0, 9), KV_ATTEND_ALL);
    assert_int_equal(kv_policy_layer(policy, 0, 1, 9), KV_RESCORE);
    kv_policy_destroy(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_the_definition),
        cmocka_unit_test(the_optimum_s_conditions_hold),
        cmocka_unit_test(a_worked_example),
        cmocka_unit_test(select_takes_the_same_tokens_and_keeps_scores),
        cmocka_unit_test(scores_beyond_the_ordinary),
        cmocka_unit_test(slots_are_independent_even_at_once),
        cmocka_unit_test(supports_end_with_the_sequence),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
