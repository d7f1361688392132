/* When the sampler asks for a whole row of logits. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/coordinator/sampler_fixture.h"

static void fetches_only_when_candidates_cannot_tell(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 1000, 0.1f);
    const struct sampler_config greedy = {.top_p = 1, .repetition_penalty = 1};
    assert_int_equal(count_fetches(greedy, &row, sampler_candidates_wanted(&greedy), 0), 0);
    const struct sampler_config penalised = {.top_p = 1, .repetition_penalty = 1.1};
    assert_int_equal(count_fetches(penalised, &row, 2, 2), 100);
    assert_int_equal(count_fetches(penalised, &row, sampler_candidates_wanted(&penalised), 2), 0);
    const struct sampler_config top_k = {
        .temperature = 1, .top_k = 20, .top_p = 0.95, .repetition_penalty = 1};
    assert_int_equal(sampler_candidates_wanted(&top_k), 21);
    assert_int_equal(count_fetches(top_k, &row, 21, 0), 0);
    assert_int_equal(count_fetches(top_k, &row, 20, 0), 100); /* the 21st might tie with the 20th */
    const struct sampler_config top_k_penalised = {
        .temperature = 1, .top_k = 20, .top_p = 0.95, .repetition_penalty = 1.05};
    assert_int_equal(count_fetches(top_k_penalised, &row, sampler_candidates_wanted(&top_k_penalised), 8), 0);
    const struct sampler_config nucleus = {.temperature = 1, .top_p = 0.9, .repetition_penalty = 1};
    assert_int_equal(count_fetches(nucleus, &row, sampler_candidates_wanted(&nucleus), 0), 0);
    assert_int_equal(count_fetches(nucleus, &row, 8, 0), 100);
    const struct sampler_config min_p = {.temperature = 1, .top_p = 1, .min_p = 0.1, .repetition_penalty = 1};
    assert_int_equal(count_fetches(min_p, &row, sampler_candidates_wanted(&min_p), 0), 0);
    assert_int_equal(count_fetches(min_p, &row, 8, 0), 100);
}

static void draws_from_the_whole_distribution_mostly_without_fetching(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 1000, 0.1f);
    const struct sampler_config config = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    const int64_t fetches = count_fetches(config, &row, 16, 0); /* 16 hold 1 - exp(-1.6) = .80 */
    assert_in_range(fetches, 8, 35);
}

static void never_fetches_a_vocabulary_it_has(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 60, 0.1f);
    const struct sampler_config config = {.temperature = 1, .top_p = 0.99, .repetition_penalty = 1.3};
    assert_int_equal(count_fetches(config, &row, 60, 5), 0);
}

static enum status fail_to_fetch(void *self, float *logits) {
    (void)self, (void)logits;
    return FAIL(STATUS_IO, "no");
}

static void forwards_a_failed_fetch(void **state) {
    (void)state;
    static struct row row;
    row_descend(&row, 100, 0.1f);
    row_summarise(&row, 1);
    const struct sampler_config config = {.temperature = 1, .top_k = 5, .top_p = 1, .repetition_penalty = 1};
    struct sampler *sampler = new_sampler(&config, row.vocab_size);
    const struct logits_row summary = row_candidates(&row, 4);
    struct sampled_token token;
    assert_int_equal(sampler_draw(sampler, &summary, 0, (struct logits_source){NULL, fail_to_fetch}, &token),
                     STATUS_IO);
    assert_int_equal(sampler_fetches(sampler), 0);
    sampler_destroy(sampler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetches_only_when_candidates_cannot_tell),
        cmocka_unit_test(draws_from_the_whole_distribution_mostly_without_fetching),
        cmocka_unit_test(never_fetches_a_vocabulary_it_has),
        cmocka_unit_test(forwards_a_failed_fetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
