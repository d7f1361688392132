/* Who decides: the user, then the model's generation_config.json, then nobody. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "coordinator/generation_defaults.h"

static const double nothing = (double)NAN;

/* A user, and a model, that say nothing. */
static struct config silent_user(void) {
    return (struct config){.max_tokens = -1,
                           .temperature = nothing,
                           .top_k = -1,
                           .top_p = nothing,
                           .min_p = nothing,
                           .repetition_penalty = nothing,
                           .logprobs = -1};
}

static struct generation_defaults silent_model(void) {
    return (struct generation_defaults){.temperature = nothing,
                                        .top_p = nothing,
                                        .min_p = nothing,
                                        .repetition_penalty = nothing,
                                        .top_k = -1};
}

static const struct generation_defaults sampling_model = {.do_sample = true,
                                                          .temperature = 0.6,
                                                          .top_p = 0.95,
                                                          .min_p = 0.05,
                                                          .repetition_penalty = 1.1,
                                                          .top_k = 20};

static void check_sampler(const struct config *user, const struct generation_defaults *model,
                          double temperature, int32_t top_k, double top_p, double min_p,
                          double repetition_penalty) {
    const struct sampler_config sampler = generation_options_from(user, model, 0).sampler;
    assert_true(sampler.temperature == temperature);
    assert_int_equal(sampler.top_k, top_k);
    assert_true(sampler.top_p == top_p);
    assert_true(sampler.min_p == min_p);
    assert_true(sampler.repetition_penalty == repetition_penalty);
}

static void neutral_where_nobody_says_anything(void **state) {
    (void)state;
    const struct config user = silent_user();
    const struct generation_defaults model = silent_model();
    check_sampler(&user, &model, 0, 0, 1, 0, 1);
}

static void the_model_decides_where_the_user_is_silent(void **state) {
    (void)state;
    const struct config user = silent_user();
    check_sampler(&user, &sampling_model, 0.6, 20, 0.95, 0.05, 1.1);
    struct generation_defaults model = silent_model();
    model.do_sample = true; /* and no temperature: 1, as in transformers */
    check_sampler(&user, &model, 1, 0, 1, 0, 1);
}

static void the_user_comes_first_value_by_value(void **state) {
    (void)state;
    struct config user = silent_user();
    user.temperature = 0.3;
    check_sampler(&user, &sampling_model, 0.3, 20, 0.95, 0.05, 1.1);
    user.top_k = 0; /* off is said, too */
    check_sampler(&user, &sampling_model, 0.3, 0, 0.95, 0.05, 1.1);
    user.top_p = 1;
    check_sampler(&user, &sampling_model, 0.3, 0, 1, 0.05, 1.1);
    user.min_p = 0;
    check_sampler(&user, &sampling_model, 0.3, 0, 1, 0, 1.1);
    user.repetition_penalty = 1;
    check_sampler(&user, &sampling_model, 0.3, 0, 1, 0, 1);
    user.temperature = 0;
    check_sampler(&user, &sampling_model, 0, 0, 1, 0, 1);
}

static void without_do_sample_the_model_is_greedy(void **state) {
    (void)state;
    struct generation_defaults model = sampling_model;
    model.do_sample = false;
    struct config user = silent_user();
    check_sampler(&user, &model, 0, 20, 0.95, 0.05, 1.1);
    user.temperature = 0.8; /* sampling after all, cut as the model advises */
    check_sampler(&user, &model, 0.8, 20, 0.95, 0.05, 1.1);
}

static void the_rest_is_the_users(void **state) {
    (void)state;
    struct config user = silent_user();
    const char *stops[] = {"one", "two"};
    user.max_tokens = 12;
    user.logprobs = 3;
    user.seed = 5;
    user.stop = (struct text_list){.items = stops, .n = 2};
    const struct generation_options options = generation_options_from(&user, &sampling_model, 9);
    assert_int_equal(options.max_tokens, 12);
    assert_int_equal(options.n_logprobs, 3);
    assert_int_equal(options.sampler.seed, 5);
    assert_int_equal(options.sampler.stream, 9);
    assert_ptr_equal(options.stop.items, stops);
    assert_int_equal(options.stop.n, 2);
    assert_int_equal(options.n_eos, 0);
    assert_null(options.eos_ids);
    assert_null(options.sink.write);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neutral_where_nobody_says_anything),
        cmocka_unit_test(the_model_decides_where_the_user_is_silent),
        cmocka_unit_test(the_user_comes_first_value_by_value),
        cmocka_unit_test(without_do_sample_the_model_is_greedy),
        cmocka_unit_test(the_rest_is_the_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
