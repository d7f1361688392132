/* Plans through the wire and back, and messages that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cluster/step_plan.h"
#include "cluster/wire_impl.h"
#include "tests/cluster/good_plan.h"
#include "tests/cluster/random_plan.h"

static void expect_round_trip(const struct step_plan *plan, const struct step_limits *plan_limits) {
    struct bytes wire = {0};
    struct step_plan *decoded;
    assert_int_equal(step_plan_encode(plan, &wire), STATUS_OK);
    assert_true(wire.size <= wire_message_bytes(plan_limits));
    assert_int_equal(step_plan_decode(wire.data, wire.size, plan_limits, plan->number, &decoded), STATUS_OK);
    random_plan_expect_equal(decoded, plan);
    step_plan_free(decoded);
    bytes_free(&wire);
}

static void test_round_trip(void **state) {
    (void)state;
    expect_round_trip(&good_plan, &good_limits);
    expect_round_trip(&(struct step_plan){.number = UINT64_MAX, .kind = STEP_STOP}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_LOGITS, .logits_row = 99}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_COMPUTE, .n_candidates = 1}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_READ}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_REPORT}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_SLOTS}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_TRACE}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_PROBE, .probe_slot = -1}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_PROBE, .probe_slot = 3}, &good_limits);
    expect_round_trip(&(struct step_plan){.kind = STEP_FILL, .fill = {.n_tokens = 1}}, &good_limits);
    static const struct step_limits wide = {STEP_MAX_SLOTS, STEP_MAX_TOKENS, INT32_MAX, INT64_MAX};
    expect_round_trip(&(struct step_plan){.number = UINT64_MAX,
                                          .kind = STEP_FILL,
                                          .fill = {STEP_MAX_SLOTS - 1, INT64_MAX, UINT64_MAX}},
                      &wide);
}

static void test_round_trip_of_random_plans(void **state) {
    (void)state;
    static const struct step_limits wide = {64, 4096, INT32_MAX, INT64_MAX};
    for (uint64_t index = 0; index < 200; index++) {
        struct random_plan random;
        random_plan_make(&random, index % 2 ? &wide : &good_limits, index);
        expect_round_trip(&random.plan, index % 2 ? &wide : &good_limits);
        random_plan_free(&random);
    }
}

/* The largest plan of each shape still fits the memory computed from the limits. */
static void test_round_trip_at_the_limits(void **state) {
    (void)state;
    static const struct step_limits shapes[] = {{1, 1, INT32_MAX, INT64_MAX},
                                                {1, 5000, INT32_MAX, INT64_MAX},
                                                {STEP_MAX_SLOTS, STEP_MAX_SLOTS, 9, 9},
                                                {17, 17, INT32_MAX, INT64_MAX},
                                                {300, 5000, INT32_MAX, INT64_MAX}};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        const struct step_limits *at = &shapes[shape];
        struct step_span *spans = calloc((size_t)at->max_slots, sizeof *spans);
        int32_t *slots = calloc((size_t)at->max_slots, sizeof *slots);
        int32_t *words = calloc((size_t)at->max_tokens, sizeof *words);
        for (int32_t i = 0; i < at->max_tokens; i++)
            words[i] = at->vocab_size - 1;
        for (int32_t i = 0; i < at->max_slots; i++) {
            const int32_t n = i == 0 ? at->max_tokens - at->max_slots + 1 : 1;
            spans[i] = (struct step_span){i, 0, SPAN_PREFILL, n, words, n, words, 0.1};
            slots[i] = i;
        }
        const struct step_plan plan = {
            UINT64_MAX, STEP_COMPUTE, STEP_MAX_CANDIDATES, 0, at->max_slots, spans, at->max_slots, slots, {0},
            0};
        expect_round_trip(&plan, at);
        free(words);
        free(slots);
        free(spans);
    }
}

static enum status decode(const void *wire, size_t size) {
    /* A copy of exact size, so that a sanitizer sees any read beyond it. */
    void *copy = malloc(size ? size : 1);
    memcpy(copy, wire, size);
    struct step_plan *plan = NULL;
    const enum status status = step_plan_decode(copy, size, &good_limits, GOOD_NUMBER, &plan);
    free(copy);
    if (status == STATUS_OK) step_plan_free(plan);
    return status;
}

static void expect_bad_message(const void *wire, size_t size, const char *sentence) {
    assert_int_equal(decode(wire, size), STATUS_INTERNAL);
    assert_string_equal(status_message(), sentence);
}

/* version 1, number 7, kind STOP */
#define STOP_MESSAGE                       "\x08\x01\x10\x07\x18\x02"
#define EXPECT_BAD_MESSAGE(text, sentence) expect_bad_message(text, sizeof text - 1, sentence)

static void test_bad_messages(void **state) {
    (void)state;
    assert_int_equal(decode(STOP_MESSAGE, 6), STATUS_OK);
    EXPECT_BAD_MESSAGE("",
                       "a step plan has version 0 where 1 is spoken: all ranks must run the same program");
    EXPECT_BAD_MESSAGE("\x08\x02\x10\x07\x18\x02",
                       "a step plan has version 2 where 1 is spoken: all ranks must run the same program");
    EXPECT_BAD_MESSAGE("\x08\x81\x80\x80\x80\x10\x10\x07\x18\x02", /* 1 + 2^32 */
                       "step plan 7 takes 6 bytes but came in 10");
    EXPECT_BAD_MESSAGE(STOP_MESSAGE "\x18\x02", "step plan 7 takes 6 bytes but came in 8");
    EXPECT_BAD_MESSAGE(STOP_MESSAGE "\x20", "a step plan of 7 bytes is malformed or too complex");
    EXPECT_BAD_MESSAGE(STOP_MESSAGE "\x20\x00", "step plan 7 takes 6 bytes but came in 8");
    EXPECT_BAD_MESSAGE(STOP_MESSAGE "\x50\x00", "step plan 7 has a field of unknown number 10");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x32\x02\x50\x00",
                       "step plan 7: a span has a field of unknown number 10");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x32\x07\x28\x02\x32\x03\x01\x02\x03",
                       "step plan 7: a span has 3 targets for 2 rows of logits");
    EXPECT_BAD_MESSAGE(STOP_MESSAGE "\x42\x02\x10\x01", "step plan 7 of kind 2 names a slot to fill");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x18\x03", "step plan 7 of kind 3 lacks a slot to fill");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x18\x03\x42\x04\x10\x01\x50\x00",
                       "step plan 7: what to fill has a field of unknown number 10");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x18\x03\x42\x02\x10\x01\x42\x02\x10\x01", /* twice */
                       "step plan 7 takes 10 bytes but came in 14");
    EXPECT_BAD_MESSAGE("\x08\x01\x10\x07\x32\xff\xff\xff\xff\x0f",
                       "a step plan of 10 bytes is malformed or too complex");
}

/* Protobuf has no end mark: cut between two fields it is a shorter plan, which the channel's size and
 * checksum catch. Cut anywhere else it is refused. */
static void test_truncations(void **state) {
    (void)state;
    struct bytes wire = {0}, again = {0};
    assert_int_equal(step_plan_encode(&good_plan, &wire), STATUS_OK);
    int n_accepted = 0;
    for (size_t size = 0; size < wire.size; size++) {
        struct step_plan *plan;
        if (step_plan_decode(wire.data, size, &good_limits, GOOD_NUMBER, &plan) != STATUS_OK) continue;
        assert_int_equal(step_plan_encode(plan, &again), STATUS_OK);
        assert_int_equal(again.size, size);
        assert_memory_equal(again.data, wire.data, size);
        step_plan_free(plan);
        n_accepted++;
    }
    assert_int_equal(n_accepted, 3); /* after n_candidates and after each span */
    bytes_free(&again);
    bytes_free(&wire);
}

/* Tens of thousands of empty spans, in a message that the limits on tokens would let through. */
static void test_a_bomb_is_refused_within_its_memory(void **state) {
    (void)state;
    static const struct step_limits few_slots = {1, 50000, 10, 10};
    enum { N_SPANS = 50000 };
    char *wire = malloc(4 + 2 * N_SPANS);
    memcpy(wire, "\x08\x01\x10\x07", 4);
    for (size_t i = 0; i < N_SPANS; i++)
        memcpy(wire + 4 + 2 * i, "\x32\x00", 2);
    struct step_plan *plan;
    assert_int_equal(step_plan_decode(wire, 4 + 2 * N_SPANS, &few_slots, GOOD_NUMBER, &plan),
                     STATUS_INTERNAL);
    assert_string_equal(status_message(), "a step plan of 100004 bytes is malformed or too complex");

    char *long_wire = calloc(1, 1000000);
    assert_int_equal(step_plan_decode(long_wire, 1000000, &few_slots, GOOD_NUMBER, &plan), STATUS_INTERNAL);
    assert_string_equal(status_message(), "a step plan of 1000000 bytes is larger than the limits allow");
    free(long_wire);
    free(wire);
}

static void test_steady_state_allocates_nothing(void **state) {
    (void)state;
    struct wire_memory memory;
    struct bytes message = {0};
    struct step_plan *plan;
    assert_int_equal(wire_memory_create(wire_decode_bytes(&good_limits), &memory), STATUS_OK);
    assert_int_equal(bytes_reserve(&message, wire_message_bytes(&good_limits)), STATUS_OK);
    const void *data = message.data, *pool = memory.data;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(wire_encode(&memory, &good_plan, &message), STATUS_OK);
        assert_int_equal(wire_decode(&memory, message.data, message.size, &good_limits, &plan), STATUS_OK);
        random_plan_expect_equal(plan, &good_plan);
    }
    assert_ptr_equal(message.data, data);
    assert_ptr_equal(memory.data, pool);
    assert_ptr_equal(plan, pool);
    bytes_free(&message);
    wire_memory_free(&memory);
}

static void test_rows(void **state) {
    (void)state;
    assert_int_equal(step_plan_rows(&good_plan), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_random_plans),
        cmocka_unit_test(test_round_trip_at_the_limits),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_a_bomb_is_refused_within_its_memory),
        cmocka_unit_test(test_steady_state_allocates_nothing),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
