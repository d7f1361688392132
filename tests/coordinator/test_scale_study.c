#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "coordinator/scale_study.h"

static const struct config one_thread_count = {.n_thread_counts = 1};
static const struct config weak = {.n_thread_counts = 1, .weak = true};

static json_t *record(const char *policy, int depth, int n_threads, double rate, double sync_ms) {
    json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "policy", policy,
                             "budget", (json_int_t)64, "n_prompt", (json_int_t)0, "n_gen", (json_int_t)8,
                             "n_depth", (json_int_t)depth, "n_parallel", 1, "n_threads", n_threads, "avg_ts",
                             rate, "compute_ms", 1.0, "sync_ms", sync_ms, "select_ms", 0.0, "sample_ms", 0.0);
    assert_non_null(json);
    return json;
}

static void add(struct scale_study *study, const struct config *config, int n_ranks, json_t *json) {
    assert_int_equal(scale_study_add(study, config, n_ranks, json), STATUS_OK);
    json_decref(json);
}

static void takes_medians_of_rounds_and_compares_them_with_the_fewest_ranks(void **state) {
    (void)state;
    struct scale_study study = {0};
    static const double of_four[] = {30, 90, 36}, of_two[] = {18, 20, 22};
    for (int round = 0; round < 3; round++) {
        add(&study, &one_thread_count, 4, record("quest", 0, 1, of_four[round], round));
        add(&study, &one_thread_count, 2, record("quest", 0, 2, of_two[round], 0));
        add(&study, &one_thread_count, 2, record("quest", 512, 2, 7, 0));
    }
    scale_study_finish(&study);
    assert_int_equal(study.n, 3);
    assert_int_equal(study.rows[0].n_ranks, 2);
    assert_int_equal(study.rows[0].n_threads, 2);
    assert_true(study.rows[0].rate == 20 && study.rows[0].speed_up == 1 && study.rows[0].efficiency == 1);
    assert_int_equal(study.rows[1].n_ranks, 4);
    assert_true(study.rows[1].rate == 36 && study.rows[1].speed_up == 1.8 && study.rows[1].efficiency == 0.9);
    assert_true(study.rows[1].sync_ms == 1);
    assert_int_equal(study.rows[2].what.test.n_depth, 512);
    assert_int_equal(study.rows[2].n_rates, 3);
    scale_study_free(&study);
}

static void weak_cases_have_the_depth_of_a_rank(void **state) {
    (void)state;
    struct scale_study study = {.weak = true};
    add(&study, &weak, 1, record("full", 256, 1, 10, 0));
    add(&study, &weak, 4, record("full", 1024, 1, 8, 0));
    scale_study_finish(&study);
    assert_int_equal(study.n, 2);
    assert_true(scale_same_case(&study.rows[0].what, &study.rows[1].what));
    assert_int_equal(study.rows[1].what.test.n_depth, 256);
    assert_int_equal(study.rows[1].what.budget, 0); /* full has none */
    assert_true(study.rows[1].efficiency == 0.8 && study.rows[1].speed_up == 3.2);
    char name[SCALE_NAME_MAX];
    scale_test_name(&study, &study.rows[1].what, name);
    assert_string_equal(name, "tg8 @ d256/rank");
    scale_study_free(&study);
}

static void threads_tell_cases_apart_only_where_several_were_asked_for(void **state) {
    (void)state;
    const struct config two_thread_counts = {.n_thread_counts = 2};
    struct scale_study study = {0};
    add(&study, &two_thread_counts, 1, record("full", 0, 1, 10, 0));
    add(&study, &two_thread_counts, 1, record("full", 0, 2, 15, 0));
    assert_int_equal(study.n, 2);
    add(&study, &one_thread_count, 1, record("full", 0, 1, 10, 0));
    add(&study, &one_thread_count, 2, record("full", 0, 8, 10, 0));
    assert_int_equal(study.n, 4);
    assert_true(scale_same_case(&study.rows[2].what, &study.rows[3].what));
    scale_study_free(&study);
}

static void refuses_what_is_no_record(void **state) {
    (void)state;
    struct scale_study study = {0};
    json_t *const wrong[] = {
        json_object(),
        json_array(),
        record("full", 0, 1, 0, 0),
        record("full", -1, 1, 10, 0),
        record("a-name-that-is-longer-than-the-engine-allows", 0, 1, 10, 0),
        json_pack("{s:i}", "policy", 1),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(scale_study_add(&study, &one_thread_count, 1, wrong[i]), STATUS_BAD_INPUT);
        json_decref(wrong[i]);
    }
    assert_int_equal(study.n, 0);
    scale_study_finish(&study);
    scale_study_free(&study);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_medians_of_rounds_and_compares_them_with_the_fewest_ranks),
        cmocka_unit_test(weak_cases_have_the_depth_of_a_rank),
        cmocka_unit_test(threads_tell_cases_apart_only_where_several_were_asked_for),
        cmocka_unit_test(refuses_what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
