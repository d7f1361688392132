/* Figures of the summary against figures worked out elsewhere, and curves against their points. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/eval_curves.h"
#include "coordinator/eval_summary.h"

static void assert_near(double value, double expected) {
    if (fabs(value - expected) > 5e-5) print_message("%.6f instead of %.6f\n", value, expected);
    assert_true(fabs(value - expected) <= 5e-5);
}

/* The last is an example of Newcombe's (1998): 0.2553 to 0.3662. */
static void intervals_are_wilsons(void **state) {
    (void)state;
    static const struct {
        int64_t n_hits, n;
        double low, high;
    } cases[] = {{0, 10, 0, 0.277533},
                 {5, 10, 0.236593, 0.763407},
                 {10, 10, 0.722467, 1},
                 {81, 263, 0.255285, 0.366214}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct eval_share share = eval_share_of(cases[i].n_hits, cases[i].n);
        assert_near(share.share, (double)cases[i].n_hits / (double)cases[i].n);
        assert_near(share.low, cases[i].low);
        assert_near(share.high, cases[i].high);
    }
    assert_true(isnan(eval_share_of(0, 0).share));
}

static char text_stop[] = "stop", text_length[] = "length";

static struct eval_record make_record(const char *policy, int32_t budget, int64_t problem, bool correct,
                                      int64_t tokens) {
    struct eval_record record = {.method = {.budget = budget},
                                 .problem = problem,
                                 .correct = correct,
                                 .n_generated = tokens,
                                 .finish = correct ? text_stop : text_length,
                                 .attended = 10 * (double)(problem + 1),
                                 .kv_bytes = 100 * (problem + 1),
                                 .share_seconds = 0.5};
    snprintf(record.method.policy, sizeof record.method.policy, "%s", policy);
    return record;
}

static void rows_stand_beside_full(void **state) {
    (void)state;
    /* As eval_results_read sorts them; `b` lacks problem 1, and has one more than `full`. */
    struct eval_record records[] = {
        make_record("b", 64, 0, true, 10),    make_record("b", 64, 2, false, 50),
        make_record("b", 64, 3, true, 30),    make_record("full", 0, 0, true, 20),
        make_record("full", 0, 1, false, 40), make_record("full", 0, 2, true, 30),
    };
    const struct eval_results results = {.records = records, .n = 6};
    struct eval_summary summary;
    assert_int_equal(eval_summary_create(&results, &summary), STATUS_OK);
    assert_int_equal(summary.n, 2);
    const struct eval_row *full = &summary.rows[0], *b = &summary.rows[1];
    assert_string_equal(full->method.policy, "full");
    assert_true(full->n == 3 && full->n_correct == 2 && full->first == 3);
    assert_near(full->tokens, 30);
    assert_near(full->correct_tokens, 25);
    assert_near(full->by_length, 1.0 / 3);
    assert_near(full->attended, 20);
    assert_near(full->tokens_per_second, 60);
    assert_true(full->kv_bytes == 300 && isnan(full->recall));
    assert_near(full->mean_kv_bytes, 200);
    assert_near(full->versus_full.share, 0);

    assert_true(b->n == 3 && b->n_correct == 2 && b->first == 0 && b->n_versus_full == 2);
    assert_near(b->full_accuracy, 1);
    assert_near(b->versus_full.share, -0.5);
    /* Agresti and Min: (0 - 1) / 4 -+ 1.96 sqrt(2 - 1 / 4) / 4 */
    assert_near(b->versus_full.low, -0.25 - 1.959964 * sqrt(1.75) / 4);
    assert_near(b->versus_full.high, -0.25 + 1.959964 * sqrt(1.75) / 4);
    assert_near(b->versus_full_tokens, 60.0 / 50);
    eval_summary_free(&summary);
}

static void without_full_nothing_is_compared(void **state) {
    (void)state;
    struct eval_record records[] = {make_record("full", 0, 0, true, 10)};
    strcpy(records[0].method.options, "emulate=2");
    const struct eval_results results = {.records = records, .n = 1};
    struct eval_summary summary;
    assert_int_equal(eval_summary_create(&results, &summary), STATUS_OK);
    assert_true(isnan(summary.rows[0].versus_full.share) && summary.rows[0].n_versus_full == 0);
    eval_summary_free(&summary);
}

/* Points at multiples count, whichever sample has them; the prompt's end and unknown times do not. */
static void curves_are_means(void **state) {
    (void)state;
    struct eval_point one[] = {{92, -1, 7}, {256, 0.25, 100}, {512, 0.5, 200}}, two[] = {{256, -1, 300}};
    double recall[] = {1, 0.5}, other[] = {0.5, -1};
    struct eval_record records[] = {make_record("b", 64, 0, true, 10), make_record("b", 64, 1, true, 10)};
    records[0].series = one;
    records[0].n_series = 3;
    records[0].recall = recall;
    records[0].n_recall = 2;
    records[1].series = two;
    records[1].n_series = 1;
    records[1].recall = other;
    records[1].n_recall = 2;
    struct eval_curves curves;
    assert_int_equal(eval_curves_create(records, 2, &curves), STATUS_OK);
    assert_int_equal(curves.kv.n, 2);
    assert_true(curves.kv.x[0] == 256 && curves.kv.y[0] == 200 && curves.kv.x[1] == 512 &&
                curves.kv.y[1] == 200);
    assert_int_equal(curves.seconds.n, 2);
    assert_true(curves.seconds.y[0] == 0.25 && curves.seconds.y[1] == 0.5);
    assert_int_equal(curves.recall.n, 2);
    assert_true(curves.recall.x[1] == 1 && curves.recall.y[0] == 0.75 && curves.recall.y[1] == 0.5);
    eval_curves_free(&curves);
}

/* What a hostile file may say of contexts must not become memory. */
static void far_points_are_left_out(void **state) {
    (void)state;
    struct eval_point far[] = {{INT64_C(1) << 53, 1, 1}, {256, 1, 1}};
    struct eval_record record = make_record("b", 64, 0, true, 10);
    record.series = far;
    record.n_series = 2;
    struct eval_curves curves;
    assert_int_equal(eval_curves_create(&record, 1, &curves), STATUS_OK);
    assert_int_equal(curves.kv.n, 1);
    eval_curves_free(&curves);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_wilsons),
        cmocka_unit_test(rows_stand_beside_full),
        cmocka_unit_test(without_full_nothing_is_compared),
        cmocka_unit_test(curves_are_means),
        cmocka_unit_test(far_points_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
