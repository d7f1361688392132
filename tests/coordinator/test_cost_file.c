/* Costs that are written are read again; files that are none are refused in a sentence. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cost_file.h"

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static struct phase_costs some_costs(void) {
    struct phase_costs costs = {.conditions = {2, 128, 4, DTYPE_Q8_0, DTYPE_F16, true},
                                .cached_bytes = 1 << 24};
    for (int i = 0; i < PHASES; i++)
        costs.phases[i] = (struct phase_cost){(0.25 + i) / 64, 0.5 / (1 << i)};
    return costs;
}

static void test_round_trip(void **state) {
    const struct phase_costs costs = some_costs();
    struct phase_costs again;
    char path[] = "/tmp/caucus-costs-XXXXXX";
    (void)state;
    close(mkstemp(path));
    assert_int_equal(cost_file_write(path, &costs), STATUS_OK);
    assert_int_equal(cost_file_read(path, &again), STATUS_OK);
    assert_true(again.conditions.n_threads == 2 && again.conditions.head_dim == 128 &&
                again.conditions.group == 4);
    assert_true(again.conditions.weights == DTYPE_Q8_0 && again.conditions.kv_dtype == DTYPE_F16);
    assert_true(again.conditions.qk_norm);
    assert_int_equal(again.cached_bytes, costs.cached_bytes);
    for (int i = 0; i < PHASES; i++) { /* four digits are written */
        assert_true(again.phases[i].call_seconds > costs.phases[i].call_seconds * 0.999);
        assert_true(again.phases[i].call_seconds < costs.phases[i].call_seconds * 1.001);
        assert_true(again.phases[i].unit_seconds > costs.phases[i].unit_seconds * 0.999);
        assert_true(again.phases[i].unit_seconds < costs.phases[i].unit_seconds * 1.001);
    }
    unlink(path);
}

static void test_refusals(void **state) {
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"threads\": 1, \"threads\": 2}",
        "{\"threads\": 1, \"head_dim\": 8, \"group\": 2, \"weights\": \"q9\", \"kv\": \"f16\", \"qk_norm\": true, \"cached_bytes\": 1}",
        "{\"threads\": 1, \"head_dim\": 8, \"group\": 2, \"weights\": \"q8_0\", \"kv\": \"f16\", \"qk_norm\": true, "
        "\"cached_bytes\": 1, \"phases\": {\"norm\": {\"call_seconds\": -1.0, \"unit_seconds\": 0.0}}}",
        "{\"threads\": 1, \"head_dim\": 8, \"group\": 2, \"weights\": \"q8_0\", \"kv\": \"f16\", \"qk_norm\": true, "
        "\"cached_bytes\": 1, \"phases\": {\"norm\": {\"call_seconds\": 0.0}}}",
    };
    char path[] = "/tmp/caucus-costs-XXXXXX";
    (void)state;
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct phase_costs costs;
        write_text(path, texts[i]);
        assert_int_equal(cost_file_read(path, &costs), STATUS_BAD_INPUT);
        assert_non_null(strstr(status_message(), path));
    }
    unlink(path);
    assert_int_not_equal(cost_file_read(path, &(struct phase_costs){0}), STATUS_OK);
}

static void test_work_without_time(void **state) {
    struct phase_costs costs = some_costs(), again;
    char path[] = "/tmp/caucus-costs-XXXXXX", sentence[128];
    (void)state;
    close(mkstemp(path));
    costs.phases[PHASE_TAKE].unit_seconds = 0;
    assert_int_equal(cost_file_write(path, &costs), STATUS_OK);
    assert_int_equal(cost_file_read(path, &again), STATUS_BAD_INPUT);
    snprintf(sentence, sizeof sentence,
             "%s: phase take: more work took no longer: measure again with bench --costs on a quieter host",
             path);
    assert_string_equal(status_message(), sentence);
    unlink(path);
}

static void test_seconds(void **state) {
    const struct phase_costs costs = {.phases = {[PHASE_TAKE] = {2, 0.5}}};
    (void)state;
    assert_true(phase_seconds(&costs, PHASE_TAKE, 0) == 0);
    assert_true(phase_seconds(&costs, PHASE_TAKE, 4) == 4);
    for (int i = 0; i < PHASES; i++)
        assert_true(phase_name((enum phase)i) && phase_unit((enum phase)i));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_work_without_time),
        cmocka_unit_test(test_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
