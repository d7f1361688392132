/* What bench asks of an engine for a test, and the figures it makes of the answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "coordinator/bench_figures.h"
#include "coordinator/bench_run.h"
#include "tests/coordinator/fake_engine.h"

struct fixture {
    struct fake_engine *fake;
    struct bench_runner *runner;
    struct progress progress;
};

static struct fixture open_fixture(struct bench_options options) {
    struct fixture fixture = {.fake = fake_engine_create()};
    assert_int_equal(bench_runner_create(&fixture.fake->engine, &options, &fixture.runner), STATUS_OK);
    assert_int_equal(fixture.fake->n_memory_reads, 1);
    progress_begin(&fixture.progress, "test", 1, false);
    return fixture;
}

static void close_fixture(struct fixture *fixture) {
    bench_runner_destroy(fixture->runner);
    fake_engine_destroy(fixture->fake);
}

/* The plans as "P8@100" or "D@108", with "F" where slots are freed, "*" behind spans whose row of logits is
 * asked for, and "x3" where three slots from 0 on do the same; "/1" is slot 1 alone. */
static void expect_plans(const struct fake_engine *fake, const char *expected) {
    char text[512] = "";
    size_t size = 0;
    for (int32_t i = 0; i < fake->n_plans; i++) {
        const struct fake_plan *plan = &fake->plans[i];
        const struct step_span *span = plan->spans;
        size +=
            (size_t)snprintf(text + size, sizeof text - size, "%s%s", i ? " " : "", plan->n_freed ? "F" : "");
        if (plan->n_spans == 0) continue;
        assert_int_equal(plan->n_candidates, 1);
        char length[16] = "", slots[16] = "";
        for (int32_t j = 1; j < plan->n_spans; j++)
            assert_true(plan->spans[j].slot == j && plan->spans[j].first_position == span->first_position);
        if (plan->n_spans > 1) snprintf(slots, sizeof slots, "x%d", (int)plan->n_spans);
        if (span->slot > 0) snprintf(slots, sizeof slots, "/%d", (int)span->slot);
        if (span->phase == SPAN_PREFILL) snprintf(length, sizeof length, "%d", (int)span->n_tokens);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s@%lld%s%s",
                                 span->phase == SPAN_PREFILL ? "P" : "D", length,
                                 (long long)span->first_position, span->n_logits_rows ? "*" : "", slots);
    }
    assert_string_equal(text, expected);
}

static struct bench_result run(struct fixture *fixture, struct bench_test test) {
    struct bench_result result;
    if (bench_run(fixture->runner, &test, &fixture->progress, &result) != STATUS_OK)
        fail_msg("%s", status_message());
    return result;
}

/* The warm-up reads the whole prompt; chunks are as long as a step may be; only the last one gives logits. */
static void test_prompt(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 2, .warmup = true});
    struct bench_result result = run(&fixture, (struct bench_test){.n_parallel = 1, .n_prompt = 100});
    expect_plans(fixture.fake, "F P64@0 P36@64* P64@0 P36@64* P64@0 P36@64*");
    assert_int_equal(result.n_samples, 2);
    assert_true(result.seconds[0] > 0 && result.seconds[1] > 0);
    assert_int_equal(result.weight_bytes_read, 0);
    const struct bench_figures figures =
        bench_figures_of(&(struct bench_test){.n_parallel = 1, .n_prompt = 100}, &result);
    assert_true(figures.bytes_per_token == 0 && figures.share == 0);
    assert_true(fabs(figures.compute_ms - 1e3 * 4 / 200) < 1e-9); /* four steps of 1 s for 200 tokens */
    bench_result_free(&result);
    close_fixture(&fixture);
}

/* The depth is filled once; repetitions begin at it anew. Nothing of the warm-up is counted. */
static void test_generation_at_depth(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 2, .warmup = true});
    const struct bench_test test = {.n_gen = 3, .n_depth = 100, .n_parallel = 1};
    struct bench_result result = run(&fixture, test);
    assert_int_equal(fixture.fake->n_fills, 1);
    assert_int_equal(fixture.fake->fills[0].n_tokens, 100);
    expect_plans(fixture.fake, "F D@100* D@100* D@101* D@102* D@100* D@101* D@102*");
    assert_int_equal(fixture.fake->n_reports, 2);
    assert_int_equal(fixture.fake->n_memory_reads, 2);

    assert_int_equal(result.weight_bytes_read, 2 * 6 * 7);
    assert_int_equal(result.kv_bytes_read, 2 * 6 * 3);
    assert_int_equal(result.attended_tokens, 103 / 2);
    assert_int_equal(result.resident_bytes, 1000);
    assert_int_equal(result.overhead_bytes, 450); /* rank 1: 900 - 400 - 50 */
    assert_int_equal(result.weight_bytes, 1000);
    assert_int_equal(result.kv_bytes, 150);
    assert_true(result.read_rate == 15);

    result.seconds[0] = 1;
    result.seconds[1] = 3;
    const struct bench_figures figures = bench_figures_of(&test, &result);
    assert_true(fabs(figures.mean_ns - 2e9) < 1 && fabs(figures.deviation_ns - sqrt(2) * 1e9) < 1);
    assert_true(fabs(figures.mean_rate - 2) < 1e-9 && fabs(figures.deviation_rate - sqrt(2)) < 1e-9);
    assert_true(fabs(figures.bytes_per_token - 20) < 1e-9);
    assert_true(fabs(figures.bytes_per_second - 30) < 1e-9); /* 60 bytes in 2 s */
    assert_true(fabs(figures.share - 2) < 1e-9);
    assert_true(fabs(figures.compute_ms - 1e3) < 1e-6 && fabs(figures.sync_ms - 2e3) < 1e-6 &&
                fabs(figures.select_ms - 4e3) < 1e-6);
    bench_result_free(&result);
    close_fixture(&fixture);
}

static void test_prompt_and_generation(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 1, .warmup = true});
    struct bench_result result =
        run(&fixture, (struct bench_test){.n_parallel = 1, .n_prompt = 5, .n_gen = 2});
    expect_plans(fixture.fake, "F P5@0* D@5* P5@0* D@5* D@6*");
    bench_result_free(&result);
    close_fixture(&fixture);
}

static void test_prefilled_depth_and_no_warmup(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 1, .prefill_depth = true});
    struct bench_result result =
        run(&fixture, (struct bench_test){.n_parallel = 1, .n_gen = 2, .n_depth = 70});
    assert_int_equal(fixture.fake->n_fills, 0);
    expect_plans(fixture.fake, "F P64@0 P6@64* D@70* D@71*");
    bench_result_free(&result);
    close_fixture(&fixture);
}

/* Prompts are read one after the other, but generated from together. */
static void test_sequences_side_by_side(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 1});
    const struct bench_test test = {.n_prompt = 5, .n_gen = 2, .n_depth = 7, .n_parallel = 3};
    struct bench_result result = run(&fixture, test);
    assert_int_equal(fixture.fake->n_fills, 3);
    assert_true(fixture.fake->fills[0].seed != fixture.fake->fills[2].seed &&
                fixture.fake->fills[2].slot == 2);
    expect_plans(fixture.fake, "F P5@7* P5@7*/1 P5@7*/2 D@12*x3 D@13*x3");
    result.seconds[0] = 3;
    assert_true(bench_figures_of(&test, &result).mean_rate == 7); /* 3 x 7 tokens in 3 s */
    bench_result_free(&result);
    close_fixture(&fixture);
}

/* One sample has no deviation; a failed step ends the test. */
static void test_failure_and_single_sample(void **state) {
    (void)state;
    struct fixture fixture = open_fixture((struct bench_options){.repetitions = 1});
    const struct bench_test test = {.n_gen = 1, .n_parallel = 1};
    struct bench_result result = run(&fixture, test);
    assert_true(bench_figures_of(&test, &result).deviation_rate == 0);
    bench_result_free(&result);
    fixture.fake->fail_next = true;
    assert_int_equal(bench_run(fixture.runner, &test, &fixture.progress, &result), STATUS_INTERNAL);
    assert_string_equal(status_message(), "the plan was not sent");
    close_fixture(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_generation_at_depth),
        cmocka_unit_test(test_prompt_and_generation),
        cmocka_unit_test(test_prefilled_depth_and_no_warmup),
        cmocka_unit_test(test_sequences_side_by_side),
        cmocka_unit_test(test_failure_and_single_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
