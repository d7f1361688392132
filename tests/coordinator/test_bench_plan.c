/* Which engines and tests the options of bench make. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/bench_plan.h"
#include "coordinator/commands.h"

#define MAX_ARGUMENTS 24

static const char *const empty[] = {NULL};

static enum status parse(struct config *config, const char *options) {
    char line[1024], name[] = "caucus", *argv[MAX_ARGUMENTS] = {name};
    snprintf(line, sizeof line, "bench -m M %s", options);
    int argc = 1;
    for (char *word = strtok(line, " "); word && argc < MAX_ARGUMENTS; word = strtok(NULL, " "))
        argv[argc++] = word;
    return config_parse(argc, argv, (char *const *)(uintptr_t)empty, config);
}

/* Engines as "policy/budget/threads …", tests as "prompt+generation@depth …". */
static void expect_engines(const char *options, const char *expected) {
    struct config config;
    if (parse(&config, options) != STATUS_OK) fail_msg("%s", status_message());
    assert_int_equal(bench_plan_check(&config), STATUS_OK);
    char text[1024] = "";
    size_t size = 0;
    for (int32_t i = 0; i < command_engines(&config); i++) {
        struct engine_config engine;
        assert_int_equal(command_engine_config(&config, i, &engine), STATUS_OK);
        assert_int_equal(engine.max_slots, 1);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s/%d/%d", i ? " " : "", engine.policy,
                                 (int)engine.budget, (int)engine.n_threads);
    }
    config_free(&config);
    assert_string_equal(text, expected);
}

static void expect_tests(const char *options, int64_t context, const char *expected) {
    struct config config;
    if (parse(&config, options) != STATUS_OK) fail_msg("%s", status_message());
    assert_int_equal(bench_plan_check(&config), STATUS_OK);
    struct bench_test *tests;
    size_t n, size = 0;
    char text[1024] = "";
    if (bench_plan_tests(&config, context, &tests, &n) != STATUS_OK) fail_msg("%s", status_message());
    for (size_t i = 0; i < n; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%lld+%lld@%lld%.*s", i ? " " : "",
                                 (long long)tests[i].n_prompt, (long long)tests[i].n_gen,
                                 (long long)tests[i].n_depth, tests[i].n_parallel == 16 ? 3 : 0, "x16");
    free(tests);
    config_free(&config);
    assert_string_equal(text, expected);
}

static void expect_refused(const char *options, const char *sentence) {
    struct config config;
    enum status status = parse(&config, options);
    if (status == STATUS_OK) {
        status = command_check(&config);
        config_free(&config);
    }
    assert_int_equal(status, STATUS_BAD_INPUT);
    assert_string_equal(status_message(), sentence);
}

static void test_engines(void **state) {
    (void)state;
    expect_engines("", "full/2048/0");
    expect_engines("-t 1,2", "full/2048/1 full/2048/2");
    expect_engines("--policy lessismore --budget 512-2048*2",
                   "lessismore/512/0 lessismore/1024/0 lessismore/2048/0");
    expect_engines("--policy full,lessismore --budget 64,128 -t 1-2",
                   "full/64/1 full/64/2 lessismore/64/1 lessismore/64/2 lessismore/128/1 lessismore/128/2");
}

static void test_tests(void **state) {
    (void)state;
    expect_tests("", 640, "512+0@0 0+128@0");
    expect_tests("-p 0 -n 16", 16, "0+16@0");
    expect_tests("-p 1-3 -n 0", 16, "1+0@0 2+0@0 3+0@0");
    expect_tests("-p 8 -n 4 --npl 1,16", 16, "8+0@0 0+4@0 8+0@0x16 0+4@0x16");
    expect_tests("-p 8 -n 0,4 -pg 32,16 --pg 1,2 -d 0,100", 148,
                 "8+0@0 0+4@0 32+16@0 1+2@0 8+0@100 0+4@100 32+16@100 1+2@100");
    expect_tests("-p 0 -n 1 --n-depth 256-1024*2", 1025, "0+1@256 0+1@512 0+1@1024");
}

static void test_sweep(void **state) {
    (void)state;
    expect_tests("--sweep-depth -n 64", 4096, "0+64@512 0+64@1024 0+64@2048 0+64@4032");
    expect_tests("--sweep-depth -n 64", 576, "0+64@512");
    expect_tests("--sweep-depth -n 64", 100, "0+64@36");
    struct config config;
    struct bench_test *tests;
    size_t n;
    assert_int_equal(parse(&config, "--sweep-depth"), STATUS_OK);
    assert_int_equal(bench_plan_context(&config), 0);
    assert_int_equal(bench_plan_tests(&config, 100, &tests, &n), STATUS_BAD_INPUT);
    config_free(&config);
}

static void test_context(void **state) {
    (void)state;
    static const struct {
        const char *options;
        int64_t context;
    } cases[] = {{"", 512}, {"-p 0 -n 7 -d 100,50", 107}, {"-pg 600,1 -d 9", 610}, {"-c 1000", 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        assert_int_equal(parse(&config, cases[i].options), STATUS_OK);
        assert_int_equal(bench_plan_context(&config), cases[i].context);
        config_free(&config);
    }
}

static void test_refused(void **state) {
    (void)state;
    expect_refused("-p 0 -n 0", "there is nothing to measure: -p and -n are 0");
    expect_refused("-c 100 -n 0 -p 101", "101 tokens at depth 0 do not fit a context of 100");
    expect_refused("-c 100 -p 1 -n 50 -d 0,51", "50 tokens at depth 51 do not fit a context of 100");
    expect_refused("-p 1073741824 -d 1073741824",
                   "1073741824 tokens at depth 1073741824 do not fit a context of 1073741824");
    expect_refused("-p 1-257", "--n-prompt: more than 256 numbers");
    expect_refused("-p 5-1", "--n-prompt: '5-1' is no list of whole numbers and ranges (1-4, 0-100+25, "
                             "512-4096*2)");
    expect_refused("-d 1,,2", "--fill-kv: '1,,2' is no list of whole numbers and ranges (1-4, 0-100+25, "
                              "512-4096*2)");
    expect_refused("-d 0-1099511627776*2", "--fill-kv: '0-1099511627776*2' is no list of whole numbers and "
                                           "ranges (1-4, 0-100+25, 512-4096*2)");
    expect_refused("-n 1-1073741825",
                   "--n-gen: 1-1073741825 is out of range; it must be from 0 to 1073741824");
    expect_refused("-r 0", "--repetitions: 0 is out of range; it must be from 1 to 10000");
    expect_refused("--policy full,", "--policy: 'full,' is no list of policies");
    expect_refused("--policy full,0123456789012345678901234567890123456789",
                   "--policy: 'full,0123456789012345678901234567890123456789' is no list of policies");
    expect_refused("-pg 5", "--pg: '5' is not P,N: tokens to read and to generate, from 1 to 1073741824");
    expect_refused("-pg 0,5", "--pg: '0,5' is not P,N: tokens to read and to generate, from 1 to 1073741824");
    expect_refused("-pg 5,1-2",
                   "--pg: '5,1-2' is not P,N: tokens to read and to generate, from 1 to 1073741824");
    expect_refused(
        "--sweep-depth -d 5",
        "--sweep-depth chooses the depths and generates only: leave out -d, --pg and --n-parallel");
    expect_refused("--sweep-depth -n 1,2", "--sweep-depth takes one number of tokens to generate (-n)");
    expect_refused("-o xml", "--output-format: 'xml' is none of md, csv, json, jsonl");
    expect_refused("--parallel 2", "--parallel: 'bench' does not take this option; 'run' does");
}

/* What bench takes several of, the others take one of. */
static void test_others_take_no_lists(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"--budget 64,128", "--budget: one number is wanted; only bench and eval take several"},
        {"-t 1-2", "--threads: one number is wanted; only bench takes several"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128], name[] = "caucus", run[] = "run", m[] = "-m", model[] = "M", *save = NULL;
        snprintf(line, sizeof line, "%s", cases[i][0]);
        char *option = strtok_r(line, " ", &save), *value = strtok_r(NULL, " ", &save);
        char *argv[] = {name, run, m, model, option, value};
        struct config config;
        assert_int_equal(config_parse(6, argv, (char *const *)(uintptr_t)empty, &config), STATUS_BAD_INPUT);
        assert_string_equal(status_message(), cases[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engines), cmocka_unit_test(test_tests),
        cmocka_unit_test(test_sweep),   cmocka_unit_test(test_context),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_others_take_no_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
