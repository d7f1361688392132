/* What eval has still to do, by which methods, and how many sequences at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "coordinator/commands.h"
#include "coordinator/eval_plan.h"
#include "tests/coordinator/eval_record_fixture.h"

static void parse_config(struct config *config, const char *policy, const char *more) {
    char program[] = "caucus", command[] = "eval", m[] = "-m", model[] = "M", p[] = "--problems",
         file[] = "P", r[] = "--results", results[] = "R", option[] = "--policy", budget[] = "--budget",
         budgets[] = "64,128", policies[64], last[64];
    snprintf(policies, sizeof policies, "%s", policy);
    snprintf(last, sizeof last, "%s", more);
    char *argv[] = {program, command, m,        model,  p,       file, r,
                    results, option,  policies, budget, budgets, last, NULL};
    char *environment[] = {NULL};
    assert_int_equal(config_parse(13, argv, environment, config), STATUS_OK);
}

static void assert_engines(const char *policy, const char *more, const char *expected) {
    struct config config;
    parse_config(&config, policy, more);
    struct bytes names = {0};
    for (int32_t i = 0; i < eval_plan_engines(&config); i++) {
        struct eval_method method;
        assert_int_equal(eval_plan_method(&config, i, &method), STATUS_OK);
        assert_int_equal(bytes_printf(&names, "%s%d%s ", method.policy, method.budget, method.options),
                         STATUS_OK);
    }
    assert_string_equal(names.data, expected);
    bytes_free(&names);
    config_free(&config);
}

static void full_comes_first_and_once(void **state) {
    (void)state;
    assert_engines("full", "--text", "full0 ");
    assert_engines("quest", "--text", "full0 quest64 quest128 ");
    assert_engines("quest,full,raas", "--text", "full0 quest64 quest128 raas64 raas128 ");
    assert_engines("quest", "--no-baseline", "quest64 quest128 ");
    assert_engines("quest,full", "--no-baseline", "full0 quest64 quest128 ");
    assert_engines("streaming", "--sinks=8", "full0 streaming64sinks=8 streaming128sinks=8 ");
    assert_engines("quest,sparsemax", "--select-layers=1,3", "full0 quest64 quest128 sparsemax0 ");
    assert_engines("tidal", "--policy-options=quest.first-layer=1", "full0 tidal64 tidal128 ");
    assert_engines("tactic", "--policy-options=quest.first-layer=1,tactic.p=1,window=64",
                   "full0 tactic0policy-options=tactic.p=1,window=64 ");
    assert_engines("quest", "--emulate=2", "full0 quest64emulate=2 quest128emulate=2 ");
    assert_engines("quest", "--correct-every=8", "full0 quest64correct-every=8 quest128correct-every=8 ");
}

/* What the others are held to neither emulates nor corrects, whatever they do. */
static void full_is_plain(void **state) {
    (void)state;
    static const char *const options[] = {"--emulate=2", "--correct-every=8"};
    for (int i = 0; i < 2; i++) {
        struct config config;
        struct engine_config full, quest;
        parse_config(&config, "quest", options[i]);
        config.parallel = 1;
        assert_int_equal(command_engine_config(&config, 0, &full), STATUS_OK);
        assert_int_equal(command_engine_config(&config, 1, &quest), STATUS_OK);
        assert_string_equal(full.policy, "full");
        assert_true(!full.emulates && !full.corrects);
        assert_true(i == 0 ? quest.emulates : quest.corrects);
        config_free(&config);
    }
}

/* So many sequences as only just fit: fewer where every one holds its keys twice. */
static void probing_leaves_room_for_fewer(void **state) {
    (void)state;
    struct config config;
    static char model[] = TEST_DATA "/models/stories260K";
    int32_t n = 0, n_probed = 0;
    parse_config(&config, "quest", "--text");
    config.model = model;
    config.context = 1 << 14;
    do {
        config.context *= 2;
        assert_int_equal(eval_plan_parallel(&config, &n), STATUS_OK);
    } while (n > 8 && config.context < 1 << 30);
    config.probe = PROBE_RECALL;
    assert_int_equal(eval_plan_parallel(&config, &n_probed), STATUS_OK);
    if (n > 1 && n <= 8) assert_true(n_probed < n && n_probed >= n / 2);
    config_free(&config);
}

/* Means over steps that were chosen differently would be mixed. Where the steps are not said, as in older
 * lines, and without recall, anything goes. */
static void recall_of_other_steps_is_refused(void **state) {
    (void)state;
    struct config config;
    struct eval_record records[] = {eval_record_of("full", 0, 0, 0), eval_record_of("quest", 64, 0, 0)};
    const struct eval_results results = {.records = records, .n = 2};
    parse_config(&config, "quest", "--probe-every=16");
    config.probe = PROBE_RECALL;
    assert_int_equal(eval_results_check_probe(&results, &config), STATUS_OK);
    records[1].probe_every = 16;
    assert_int_equal(eval_results_check_probe(&results, &config), STATUS_OK);
    records[1].probe_every = 8;
    assert_int_equal(eval_results_check_probe(&results, &config), STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "R has recall with --probe-every 8, not 16; choose another --results");
    config.probe = PROBE_NONE;
    assert_int_equal(eval_results_check_probe(&results, &config), STATUS_OK);
    config_free(&config);
}

static void what_is_done_is_not_done_again(void **state) {
    (void)state;
    struct config config;
    parse_config(&config, "quest", "--samples=2");
    struct eval_problem items[] = {{.file = "P", .line = 1}, {.file = "P", .line = 2}};
    struct eval_record records[3];
    for (int i = 0; i < 3; i++) {
        records[i] = eval_record_of("quest", 64, i, 1);
        records[i].fingerprint = 0;
    }
    records[1].method.budget = 128; /* another's; and the third is of a problem beyond --limit */
    const struct eval_problems problems = {items, 2};
    const struct eval_results results = {.records = records, .n = 3};
    struct eval_todo *todo;
    size_t n;
    assert_int_equal(eval_plan_todo(&config, &records[0].method, &problems, &results, &todo, &n), STATUS_OK);
    assert_int_equal(n, 3);
    assert_true(todo[0].problem == 0 && todo[0].sample == 0);
    assert_true(todo[1].problem == 1 && todo[1].sample == 0);
    assert_true(todo[2].problem == 1 && todo[2].sample == 1);
    free(todo);
    items[1].fingerprint = 1;
    assert_int_equal(eval_plan_todo(&config, &records[0].method, &problems, &results, &todo, &n),
                     STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "R was begun with another problem 1 than P:2; choose another --results");
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_comes_first_and_once),      cmocka_unit_test(full_is_plain),
        cmocka_unit_test(probing_leaves_room_for_fewer),  cmocka_unit_test(recall_of_other_steps_is_refused),
        cmocka_unit_test(what_is_done_is_not_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
