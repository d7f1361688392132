/* The sampler against a plain one that always sees the whole row, sorts it and cuts it step by step. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "tests/coordinator/sampler_fixture.h"

/* The reference */

static double weight(const struct candidate *tokens, int32_t i, double temperature) {
    return exp(((double)tokens[i].logit - tokens[0].logit) * (1 / temperature));
}

static double sum_weights(const struct candidate *tokens, int32_t n, double temperature) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += weight(tokens, i, temperature);
    return sum;
}

static int32_t reference_kept(const struct sampler_config *config, const struct candidate *tokens, int32_t n,
                              double total) {
    int32_t kept = n;
    if (config->top_k > 0) {
        kept = config->top_k < n ? config->top_k : n;
        while (kept < n && tokens[kept].logit == tokens[kept - 1].logit)
            kept++;
        total = sum_weights(tokens, kept, config->temperature);
    }
    if (config->top_p < 1) {
        int32_t nucleus = 1;
        for (double sum = 1; nucleus < kept && sum < config->top_p * total; nucleus++)
            sum += weight(tokens, nucleus, config->temperature);
        kept = nucleus;
    }
    if (config->min_p > 0)
        while (weight(tokens, kept - 1, config->temperature) < config->min_p)
            kept--;
    return kept;
}

static int32_t reference_draw(const struct sampler_config *config, const struct row *row, const bool *seen,
                              uint64_t index) {
    static struct candidate tokens[MAX_VOCAB];
    const int32_t n = row->vocab_size;
    const float penalty = (float)config->repetition_penalty;
    for (int32_t i = 0; i < n; i++) {
        const float logit = row->logits[i];
        tokens[i] = (struct candidate){i, !seen[i] ? logit : logit < 0 ? logit * penalty : logit / penalty};
    }
    double total = row->sum_exp_scaled;
    if (penalty != 1 && config->temperature > 0) { /* in order of ids, relative to the best */
        float best = -INFINITY;
        for (int32_t i = 0; i < n; i++)
            best = fmaxf(best, tokens[i].logit);
        total = 0;
        for (int32_t i = 0; i < n; i++)
            total += exp(((double)tokens[i].logit - best) * (1 / config->temperature));
    }
    sort_candidates(tokens, n);
    if (config->temperature == 0) return tokens[0].token;
    const bool is_cut = config->top_k > 0 || config->top_p < 1 || config->min_p > 0;
    const int32_t kept = reference_kept(config, tokens, n, total);
    if (is_cut) total = sum_weights(tokens, kept, config->temperature);
    const double target = rng_uniform(config->seed, config->stream, index) * total;
    double sum = 0;
    for (int32_t i = 0; i < kept; i++) {
        sum += weight(tokens, i, config->temperature);
        if (sum > target) return tokens[i].token;
    }
    return tokens[kept - 1].token;
}

/* The property: whatever the number of candidates, the same token */

static uint64_t random_state;

static double random_unit(void) {
    return rng_uniform(7, 7, random_state++);
}

static int32_t random_below(int32_t n) {
    return (int32_t)(random_unit() * n);
}

static void fill_randomly(struct row *row, bool *seen) {
    row->vocab_size = 50 + (random_below(4) ? random_below(200) : random_below(MAX_VOCAB - 50));
    const double spread = random_below(2) ? 0.5 : 4, offset = random_unit() * 8 - 4;
    const int32_t n_levels = random_below(3); /* few levels: many ties */
    for (int32_t i = 0; i < row->vocab_size; i++) {
        const double gauss = random_unit() + random_unit() + random_unit() - 1.5;
        const double logit = offset + spread * gauss;
        row->logits[i] = (float)(n_levels ? round(logit * 4 * n_levels) / (4 * n_levels) : logit);
        seen[i] = random_below(10) == 0;
    }
    for (int i = 0; i < 4; i++) /* the best ones are often seen */
        seen[random_below(row->vocab_size)] = true;
}

static void check_row(const struct sampler_config *config, struct row *row, const bool *seen, int n_draws) {
    static const int32_t counts[] = {1, 2, 3, 5, 8, 20, 21, 64, MAX_VOCAB};
    struct sampler *sampler = new_sampler(config, row->vocab_size);
    for (int32_t i = 0; i < row->vocab_size; i++)
        if (seen[i]) sampler_accept(sampler, i);
    row_summarise(row, sampler_inverse_temperature(config));
    for (int n = 0; n < n_draws; n++) {
        const uint64_t index = random_state++;
        const int32_t expected = reference_draw(config, row, seen, index);
        const float logprob =
            (float)((double)row->logits[expected] - row->sorted[0].logit - log(row->sum_exp));
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            const struct sampled_token token = row_draw(sampler, row, counts[i], index);
            assert_int_equal(token.token, expected);
            assert_true(token.logprob == logprob);
        }
    }
    assert_int_equal(sampler_fetches(sampler), row->n_fetches);
    sampler_destroy(sampler);
}

static void draws_the_same_token_from_any_number_of_candidates(void **state) {
    (void)state;
    static struct row row;
    static const double temperatures[] = {0, 0.3, 1, 3}, top_ps[] = {1, 0.95, 0.3, 0},
                        min_ps[] = {0, 0.02, 0.3},
                        penalties[] = {1, 1.3, 2, 0.7, 0.5}; /* 2, 0.5: exact ties */
    static const int32_t top_ks[] = {0, 1, 4, 20, 63, 300};
    for (int i = 0; i < 4 * 4 * 3 * 5 * 6; i++) {
        const struct sampler_config config = {.temperature = temperatures[i % 4],
                                              .top_p = top_ps[i / 4 % 4],
                                              .min_p = min_ps[i / 16 % 3],
                                              .repetition_penalty = penalties[i / 48 % 5],
                                              .top_k = top_ks[i / 240],
                                              .seed = (uint64_t)i,
                                              .stream = 3};
        for (int rows = 0; rows < 4; rows++) {
            bool seen[MAX_VOCAB] = {0};
            fill_randomly(&row, seen);
            check_row(&config, &row, seen, 2);
        }
    }
}

static void draws_the_same_token_from_equal_logits(void **state) {
    (void)state;
    static struct row row;
    row.vocab_size = 100;
    const bool seen[MAX_VOCAB] = {[3] = true, [40] = true};
    for (int i = 0; i < 16; i++) {
        const struct sampler_config config = {.temperature = i & 1 ? 1 : 0,
                                              .top_k = i & 2 ? 7 : 0,
                                              .top_p = i & 4 ? 0.5 : 1,
                                              .repetition_penalty = i & 8 ? 1.2 : 1};
        for (int32_t t = 0; t < row.vocab_size; t++)
            row.logits[t] = i % 3 ? 2 : -2;
        check_row(&config, &row, seen, 10);
    }
}

static void uses_more_than_the_largest_number_of_candidates(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 1000, 0.001f);
    const struct sampler_config config = {
        .temperature = 1, .top_k = 500, .top_p = 1, .repetition_penalty = 1};
    assert_int_equal(sampler_candidates_wanted(&config), 1);
    assert_int_equal(count_fetches(config, &row, 1, 0), 100);
    const bool seen[MAX_VOCAB] = {0};
    check_row(&config, &row, seen, 20);
}

/* Against transformers' transforms */

static double config_number(const json_t *entry, const char *name) {
    return json_number_value(json_object_get(json_object_get(entry, "config"), name));
}

static void check_distribution(const json_t *entry, uint64_t seed) {
    enum { DRAWS = 20000, VOCAB = 24 };
    static struct row row;
    const struct sampler_config config = {.temperature = config_number(entry, "temperature"),
                                          .top_k = (int32_t)config_number(entry, "top_k"),
                                          .top_p = config_number(entry, "top_p"),
                                          .min_p = config_number(entry, "min_p"),
                                          .repetition_penalty = config_number(entry, "repetition_penalty"),
                                          .seed = seed};
    row.vocab_size = VOCAB;
    for (size_t i = 0; i < VOCAB; i++)
        row.logits[i] = (float)json_number_value(json_array_get(json_object_get(entry, "logits"), i));
    row_summarise(&row, sampler_inverse_temperature(&config));
    struct sampler *sampler = new_sampler(&config, VOCAB);
    const json_t *seen = json_object_get(entry, "seen");
    for (size_t i = 0; i < json_array_size(seen); i++)
        sampler_accept(sampler, (int32_t)json_integer_value(json_array_get(seen, i)));
    int drawn[VOCAB] = {0};
    for (uint64_t index = 0; index < DRAWS; index++)
        drawn[row_draw(sampler, &row, 16, index).token]++;
    for (size_t i = 0; i < VOCAB; i++) {
        const double p = json_number_value(json_array_get(json_object_get(entry, "probabilities"), i));
        if (p == 0)
            assert_int_equal(drawn[i], 0);
        else
            assert_true(fabs(drawn[i] - p * DRAWS) <= 5 * sqrt(p * (1 - p) * DRAWS) + 1e-6);
    }
    sampler_destroy(sampler);
}

static void draws_from_the_distributions_of_transformers(void **state) {
    (void)state;
    json_error_t error;
    json_t *document = json_load_file(TEST_DATA "/sampler/distributions.json", 0, &error);
    assert_non_null(document);
    const json_t *cases = json_object_get(document, "cases");
    assert_int_equal(json_array_size(cases), 111);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_distribution(json_array_get(cases, i), i);
    json_decref(document);
}

/* The rest */

static void draws_independently_of_earlier_draws(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 500, 0.01f);
    struct sampler_config config = {
        .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 1, .stream = 2};
    struct sampler *sampler = new_sampler(&config, row.vocab_size);
    row_summarise(&row, 1);
    int32_t forwards[50];
    for (uint64_t i = 0; i < 50; i++)
        forwards[i] = row_draw(sampler, &row, 8, i).token;
    for (uint64_t i = 50; i-- > 0;)
        assert_int_equal(row_draw(sampler, &row, 200, i).token, forwards[i]);
    config.stream = 3;
    struct sampler *other = new_sampler(&config, row.vocab_size);
    int n_equal = 0;
    for (uint64_t i = 0; i < 50; i++)
        n_equal += row_draw(other, &row, 8, i).token == forwards[i];
    assert_in_range(n_equal, 0, 5);
    sampler_destroy(other);
    sampler_destroy(sampler);
}

static void lists_the_most_probable(void **state) {
    (void)state;
    static struct row row;
    row.vocab_size = 4;
    memcpy(row.logits, (float[]){1, 3, 2, 3}, 4 * sizeof(float));
    row_summarise(&row, 1);
    const struct logits_row summary = row_candidates(&row, 3);
    struct sampled_token top[8];
    assert_int_equal(logits_row_top(&summary, 8, top), 3);
    assert_int_equal(top[0].token, 1);
    assert_int_equal(top[1].token, 3);
    assert_int_equal(top[2].token, 2);
    const double sum = 2 * exp(3) + exp(2) + exp(1);
    assert_float_equal(top[0].logprob, log(exp(3) / sum), 1e-6);
    assert_float_equal(top[2].logprob, log(exp(2) / sum), 1e-6);
    assert_int_equal(logits_row_top(&summary, 1, top), 1);
    assert_int_equal(logits_row_top(&summary, 0, top), 0);
}

static void survives_extreme_logits(void **state) {
    (void)state;
    static struct row row;
    row.vocab_size = 60;
    const bool seen[MAX_VOCAB] = {[0] = true, [1] = true, [2] = true};
    for (int i = 0; i < 8; i++) {
        for (int32_t t = 0; t < row.vocab_size; t++)
            row.logits[t] = t % 3 == 0 ? 3e38f : t % 3 == 1 ? -3e38f : 1e-40f;
        const struct sampler_config config = {.temperature = i & 1 ? 1e-6 : 1e6,
                                              .top_k = i & 2 ? 30 : 0,
                                              .top_p = i & 4 ? 0.5 : 1,
                                              .repetition_penalty = 1};
        check_row(&config, &row, seen, 5);
    }
    const struct sampler_config config = {.temperature = 1, .top_p = 1, .repetition_penalty = 100};
    struct sampler *sampler = new_sampler(&config, row.vocab_size);
    for (int32_t i = 0; i < row.vocab_size; i++)
        sampler_accept(sampler, i); /* -3e38 * 100 does not fit a float */
    row_summarise(&row, 1);
    assert_int_equal(row_draw(sampler, &row, 4, 0).token % 3, 0);
    sampler_destroy(sampler);
}

static void refuses_rows_and_failures(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 100, 0.1f);
    row_summarise(&row, 1);
    const struct sampler_config config = {.top_p = 1, .repetition_penalty = 1};
    struct sampler *sampler = new_sampler(&config, row.vocab_size);
    struct logits_row summary = row_candidates(&row, 4);
    summary.finite = false;
    struct sampled_token token;
    assert_int_equal(sampler_draw(sampler, &summary, 0, (struct logits_source){&row, row_fetch}, &token),
                     STATUS_BAD_INPUT);
    sampler_destroy(sampler);
}

static void refuses_options_out_of_range(void **state) {
    (void)state;
    const struct sampler_config good = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    struct {
        const char *name;
        struct sampler_config config;
    } cases[] = {{"temperature", good},
                 {"temperature", good},
                 {"top-k", good},
                 {"top-p", good},
                 {"top-p", good},
                 {"min-p", good},
                 {"repetition-penalty", good},
                 {"repetition-penalty", good}};
    cases[0].config.temperature = -1;
    cases[1].config.temperature = NAN;
    cases[2].config.top_k = -1;
    cases[3].config.top_p = 1.5;
    cases[4].config.top_p = NAN;
    cases[5].config.min_p = 2;
    cases[6].config.repetition_penalty = 0;
    cases[7].config.repetition_penalty = INFINITY;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sampler *sampler;
        assert_int_equal(sampler_create(&cases[i].config, 10, &sampler), STATUS_BAD_INPUT);
        assert_int_equal(strncmp(status_message(), cases[i].name, strlen(cases[i].name)), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_the_same_token_from_any_number_of_candidates),
        cmocka_unit_test(draws_the_same_token_from_equal_logits),
        cmocka_unit_test(uses_more_than_the_largest_number_of_candidates),
        cmocka_unit_test(draws_from_the_distributions_of_transformers),
        cmocka_unit_test(draws_independently_of_earlier_draws),
        cmocka_unit_test(lists_the_most_probable),
        cmocka_unit_test(survives_extreme_logits),
        cmocka_unit_test(refuses_rows_and_failures),
        cmocka_unit_test(refuses_options_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
