/* The cost of a phase from two measurements of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "worker/phase_measure_impl.h"

static void test_a_call_and_its_units(void **state) {
    (void)state;
    struct phase_cost cost;
    const struct phase_times times = {.few = 100, .many = 1100, .seconds_few = 3e-6, .seconds_many = 23e-6};
    assert_int_equal(phase_line(PHASE_NORM, &times, &cost), STATUS_OK);
    assert_true(fabs(cost.unit_seconds - 2e-8) < 1e-14);
    assert_true(fabs(cost.call_seconds - 1e-6) < 1e-12);
}

/* Few units took less than their part of the many: a call costs nothing, not less. */
static void test_no_call_takes_less_than_nothing(void **state) {
    (void)state;
    struct phase_cost cost;
    const struct phase_times times = {.few = 100, .many = 200, .seconds_few = 1e-6, .seconds_many = 4e-6};
    assert_int_equal(phase_line(PHASE_NORM, &times, &cost), STATUS_OK);
    assert_true(fabs(cost.unit_seconds - 3e-8) < 1e-14);
    assert_true(cost.call_seconds == 0);
}

static void refuse(enum phase phase, double seconds_few, double seconds_many) {
    struct phase_cost cost = {1, 2};
    char name[128];
    const struct phase_times times = {
        .few = 8192, .many = 32768, .seconds_few = seconds_few, .seconds_many = seconds_many};
    assert_int_equal(phase_line(phase, &times, &cost), STATUS_INTERNAL);
    snprintf(name, sizeof name, "phase %s cannot be measured: 32768 units (%s) took no longer than 8192",
             phase_name(phase), phase_unit(phase));
    assert_memory_equal(status_message(), name, strlen(name));
    assert_true(cost.call_seconds == 1 && cost.unit_seconds == 2);
}

static void test_more_work_in_no_more_time_is_refused(void **state) {
    (void)state;
    refuse(PHASE_PROPOSE, 5e-6, 4e-6);
    refuse(PHASE_TAKE, 5e-6, 5e-6);
    refuse(PHASE_EXACT, 0, -1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_and_its_units),
        cmocka_unit_test(test_no_call_takes_less_than_nothing),
        cmocka_unit_test(test_more_work_in_no_more_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
