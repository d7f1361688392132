/* Means of recall over steps and layers, of one sequence and of several. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "coordinator/recall.h"

/* 4 steps: layer 0 read everything, layer 1 a set in all of them, layer 2 a set in half of its readings. */
static const double recalls[] = {4, 1, 3}, peaks[] = {4, 3, 3.5}, sparse[] = {0, 4, 2};
static const struct step_probe seen = {4, 3, 1, recalls, peaks, sparse};
static const double later_recalls[] = {1, 1, 0.5}, later_peaks[] = {1, 1, 0.75}, later_sparse[] = {0, 0, 1};
static const struct step_probe later = {1, 3, 1, later_recalls, later_peaks, later_sparse};

static void expect_near(double actual, double expected) {
    assert_true(fabs(actual - expected) < 1e-12);
}

static void test_means(void **state) {
    (void)state;
    struct recall recall = {0};
    assert_int_equal(recall_add(&recall, &seen), STATUS_OK);
    expect_near(recall_of_layer(&recall, 0), 1);
    expect_near(recall_of_layer(&recall, 1), 0.25);
    expect_near(recall_of_layer(&recall, 2), 0.75);
    expect_near(recall_of_all_layers(&recall), 2.0 / 3);
    /* Six readings of a set: four of layer 1, which cover 1 together, and two of layer 2, which cover 3 - 2.
     */
    expect_near(recall_of_sets(&recall), 2.0 / 6);
    expect_near(recall_peak_of_sets(&recall), 4.5 / 6);
    assert_int_equal(recall_add(&recall, &later), STATUS_OK);
    assert_int_equal(recall.seen.n_steps, 5);
    expect_near(recall_of_layer(&recall, 2), 3.5 / 5);
    expect_near(recall_of_sets(&recall), 2.5 / 7);
    recall_free(&recall);
    assert_null(recall.memory);
}

static void test_nothing_read(void **state) {
    (void)state;
    static const double ones[] = {2, 2}, none[] = {0, 0};
    struct recall recall = {0};
    struct bytes line = {0};
    assert_int_equal(recall_line(&recall, &line), STATUS_OK);
    assert_string_equal(line.data, "recall: nothing was decoded");
    assert_int_equal(recall_add(&recall, &(struct step_probe){2, 2, 1, ones, ones, none}), STATUS_OK);
    assert_true(isnan(recall_of_sets(&recall)));
    bytes_clear(&line);
    assert_int_equal(recall_line(&recall, &line), STATUS_OK);
    assert_string_equal(line.data, "recall 1.0000 · by layer 1.0000 1.0000");
    bytes_free(&line);
    recall_free(&recall);
}

static void test_json(void **state) {
    (void)state;
    struct recall recall = {0};
    assert_int_equal(recall_add(&recall, &seen), STATUS_OK);
    json_t *object = recall_json(&recall);
    json_int_t n_steps;
    json_t *layers, *by_peak;
    double mean, sets, peak;
    assert_int_equal(json_unpack(object, "{s:I, s:o, s:f, s:f, s:o, s:f !}", "steps", &n_steps, "layers",
                                 &layers, "mean", &mean, "sets", &sets, "peaks", &by_peak, "peak", &peak),
                     0);
    assert_int_equal(n_steps, 4);
    assert_int_equal(json_array_size(layers), 3);
    expect_near(json_real_value(json_array_get(layers, 1)), 0.25);
    expect_near(json_real_value(json_array_get(by_peak, 2)), 3.5 / 4);
    expect_near(mean, 2.0 / 3);
    expect_near(sets, 2.0 / 6);
    expect_near(peak, 4.5 / 6);
    json_decref(object);
    recall_free(&recall);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_nothing_read),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
