/* What is refused of a plan, before it is sent and behind the wire. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "base/bytes.h"
#include "tests/cluster/good_plan.h"

static void expect_refusal_of(const struct step_plan *plan, const char *sentence) {
    assert_int_equal(step_plan_check(plan, &good_limits, GOOD_NUMBER), STATUS_INTERNAL);
    assert_string_equal(status_message(), sentence);

    struct bytes wire = {0};
    struct step_plan *decoded;
    assert_int_equal(step_plan_encode(plan, &wire), STATUS_OK);
    assert_int_equal(step_plan_decode(wire.data, wire.size, &good_limits, GOOD_NUMBER, &decoded),
                     STATUS_INTERNAL);
    assert_string_equal(status_message(), sentence);
    bytes_free(&wire);
}

/* The good plan with one field of the plan, or of its first span, changed. */
#define EXPECT_PLAN_REFUSED(field, value, sentence)                                                          \
    do {                                                                                                     \
        struct step_plan plan_ = good_plan;                                                                  \
        plan_.field = (value);                                                                               \
        expect_refusal_of(&plan_, sentence);                                                                 \
    } while (0)
#define EXPECT_SPAN_REFUSED(field, value, sentence)                                                          \
    do {                                                                                                     \
        struct step_span spans_[] = {good_spans[0], good_spans[1]};                                          \
        spans_[0].field = (value);                                                                           \
        struct step_plan plan_ = good_plan;                                                                  \
        plan_.spans = spans_;                                                                                \
        expect_refusal_of(&plan_, sentence);                                                                 \
    } while (0)

static void test_bad_plans(void **state) {
    (void)state;
    EXPECT_PLAN_REFUSED(number, 8, "step plan 8: 7 was expected");
    EXPECT_PLAN_REFUSED(number, 6, "step plan 6: 7 was expected");
    EXPECT_PLAN_REFUSED(n_candidates, 0, "step plan 7: 0 candidates are not between 1 and 256");
    EXPECT_PLAN_REFUSED(n_candidates, 257, "step plan 7: 257 candidates are not between 1 and 256");
    EXPECT_PLAN_REFUSED(kind, STEP_STOP,
                        "step plan 7: it computes nothing, but has 2 spans and 2 freed slots");
    EXPECT_PLAN_REFUSED(kind, STEP_LOGITS,
                        "step plan 7: it computes nothing, but has 2 spans and 2 freed slots");
}

static void test_bad_kinds(void **state) {
    (void)state;
    expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = (enum step_kind)99},
                      "step plan 7: it is of the unknown kind 99");
    expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = STEP_LOGITS, .logits_row = -1},
                      "step plan 7: no step has a row -1 of logits");
    expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = STEP_LOGITS, .logits_row = 100},
                      "step plan 7: no step has a row 100 of logits");
}

static void test_bad_probes(void **state) {
    (void)state;
    expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = STEP_PROBE, .probe_slot = 8},
                      "step plan 7: slot 8 to be probed is not one of the 8 slots");
    expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = STEP_PROBE, .probe_slot = -2},
                      "step plan 7: slot -2 to be probed is not one of the 8 slots");
}

static void test_bad_fills(void **state) {
    (void)state;
    static const struct {
        struct step_fill fill;
        const char *sentence;
    } bad[] = {
        {{8, 1, 0}, "step plan 7: slot 8 to be filled is not one of the 8 slots"},
        {{-1, 1, 0}, "step plan 7: slot -1 to be filled is not one of the 8 slots"},
        {{0, 0, 0}, "step plan 7: slot 0 cannot be filled with 0 tokens in a context of 4096"},
        {{0, -1, 0}, "step plan 7: slot 0 cannot be filled with -1 tokens in a context of 4096"},
        {{7, 4097, 0}, "step plan 7: slot 7 cannot be filled with 4097 tokens in a context of 4096"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refusal_of(&(struct step_plan){.number = GOOD_NUMBER, .kind = STEP_FILL, .fill = bad[i].fill},
                          bad[i].sentence);
    EXPECT_PLAN_REFUSED(kind, STEP_FILL,
                        "step plan 7: it computes nothing, but has 2 spans and 2 freed slots");
}

static void test_bad_freed_slots(void **state) {
    (void)state;
    static const int32_t twice[] = {5, 5}, above[] = {5, 8}, below[] = {-1, 5}, goes_on[] = {7, 5};
    EXPECT_PLAN_REFUSED(freed_slots, twice, "step plan 7: slot 5 is freed twice");
    EXPECT_PLAN_REFUSED(freed_slots, above, "step plan 7: freed slot 8 is not one of the 8 slots");
    EXPECT_PLAN_REFUSED(freed_slots, below, "step plan 7: freed slot -1 is not one of the 8 slots");
    EXPECT_PLAN_REFUSED(freed_slots, goes_on, "step plan 7: slot 7 is freed but goes on at position 4095");
}

static void test_a_freed_slot_may_begin_anew(void **state) {
    (void)state;
    static const int32_t slot = 0;
    struct step_plan plan = good_plan;
    plan.n_freed_slots = 1;
    plan.freed_slots = &slot;
    assert_int_equal(step_plan_check(&plan, &good_limits, GOOD_NUMBER), STATUS_OK);
}

static void test_bad_slots_and_positions(void **state) {
    (void)state;
    EXPECT_SPAN_REFUSED(slot, 8, "step plan 7: slot 8 is not one of the 8 slots");
    EXPECT_SPAN_REFUSED(slot, -1, "step plan 7: slot -1 is not one of the 8 slots");
    EXPECT_SPAN_REFUSED(slot, 7, "step plan 7: slot 7 has two spans");
    EXPECT_SPAN_REFUSED(first_position, 4093,
                        "step plan 7: slot 0: 4 tokens from position 4093 exceed the context of 4096");
    EXPECT_SPAN_REFUSED(
        first_position, INT64_MAX,
        "step plan 7: slot 0: 4 tokens from position 9223372036854775807 exceed the context of 4096");
    EXPECT_SPAN_REFUSED(first_position, -1,
                        "step plan 7: slot 0: 4 tokens from position -1 exceed the context of 4096");
}

static void test_bad_phases_and_lengths(void **state) {
    (void)state;
    static const int32_t many[101] = {0};
    EXPECT_SPAN_REFUSED(phase, SPAN_DECODE, "step plan 7: slot 0 decodes 4 tokens at once");
    EXPECT_SPAN_REFUSED(phase, (enum span_phase)2, "step plan 7: slot 0 is in the unknown phase 2");
    EXPECT_SPAN_REFUSED(n_tokens, 0, "step plan 7: slot 0 has a span without tokens");
    struct step_span spans[] = {good_spans[1], good_spans[0]};
    spans[1].tokens = many;
    spans[1].n_tokens = 100; /* with the one before: 101 */
    EXPECT_PLAN_REFUSED(spans, spans, "step plan 7: it has more tokens than the 100 allowed");
}

static void test_bad_tokens_and_rows(void **state) {
    (void)state;
    static const int32_t above[] = {1, 2, 3, 1000}, below[] = {-1, 2, 3, 4};
    EXPECT_SPAN_REFUSED(tokens, above, "step plan 7: slot 0 has token 1000, outside the vocabulary of 1000");
    EXPECT_SPAN_REFUSED(tokens, below, "step plan 7: slot 0 has token -1, outside the vocabulary of 1000");
    EXPECT_SPAN_REFUSED(targets, below, "step plan 7: slot 0 has target -1, outside the vocabulary of 1000");
    EXPECT_SPAN_REFUSED(targets, above + 2,
                        "step plan 7: slot 0 has target 1000, outside the vocabulary of 1000");
    struct step_span span = good_spans[0];
    span.targets = NULL;
    span.n_logits_rows = 5;
    struct step_plan plan = good_plan;
    plan.n_spans = 1;
    plan.spans = &span;
    expect_refusal_of(&plan, "step plan 7: slot 0 wants 5 rows of logits from 4 tokens");
    span.n_logits_rows = -1;
    expect_refusal_of(&plan, "step plan 7: slot 0 wants -1 rows of logits from 4 tokens");
}

static void test_bad_temperatures(void **state) {
    (void)state;
    EXPECT_SPAN_REFUSED(inverse_temperature, 0, "step plan 7: slot 0 has an inverse temperature of 0");
    EXPECT_SPAN_REFUSED(inverse_temperature, -1, "step plan 7: slot 0 has an inverse temperature of -1");
    EXPECT_SPAN_REFUSED(inverse_temperature, HUGE_VAL,
                        "step plan 7: slot 0 has an inverse temperature of inf");
    EXPECT_SPAN_REFUSED(inverse_temperature, (double)NAN,
                        "step plan 7: slot 0 has an inverse temperature of nan");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_plans),
        cmocka_unit_test(test_bad_kinds),
        cmocka_unit_test(test_bad_fills),
        cmocka_unit_test(test_bad_probes),
        cmocka_unit_test(test_bad_freed_slots),
        cmocka_unit_test(test_a_freed_slot_may_begin_anew),
        cmocka_unit_test(test_bad_slots_and_positions),
        cmocka_unit_test(test_bad_phases_and_lengths),
        cmocka_unit_test(test_bad_tokens_and_rows),
        cmocka_unit_test(test_bad_temperatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
