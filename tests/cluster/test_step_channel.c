#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "cluster/step_plan.h"
#include "mpi_fixture.h"
#include "random_plan.h"

static const struct step_limits limits = {
    .max_slots = 16, .max_tokens = 8192, .vocab_size = 200000, .context_length = 1 << 20};

static struct step_channel *open_channel(void) {
    struct step_channel *channel;
    assert_int_equal(step_channel_create(comm, limits, &channel), STATUS_OK);
    return channel;
}

/* Rank 0 sends, the others must receive the same. */
static void pass(struct step_channel *channel, const struct step_plan *plan) {
    if (comm_rank(comm) == 0) {
        assert_int_equal(step_plan_send(channel, plan), STATUS_OK);
        return;
    }
    const struct step_plan *received;
    assert_int_equal(step_plan_receive(channel, &received), STATUS_OK);
    random_plan_expect_equal(received, plan);
}

/* From a few bytes to 60 KB: with and without a second broadcast. */
static void test_many_plans(void **state) {
    (void)state;
    enum { N_PLANS = 200 };
    struct step_channel *channel = open_channel();
    for (uint64_t number = 0; number < N_PLANS; number++) {
        struct random_plan random;
        random_plan_make(&random, &limits, number);
        pass(channel, &random.plan);
        random_plan_free(&random);
    }
    pass(channel, &(struct step_plan){.number = N_PLANS, .kind = STEP_FILL, .fill = {15, 1 << 20, 3}});
    pass(channel, &(struct step_plan){.number = N_PLANS + 1, .kind = STEP_STOP});
    step_channel_destroy(channel);
}

static void test_other_collectives_in_between(void **state) {
    (void)state;
    struct step_channel *channel = open_channel();
    for (uint64_t number = 0; number < 20; number++) {
        struct random_plan random;
        random_plan_make(&random, &limits, number);
        pass(channel, &random.plan);
        assert_int_equal(comm_same(comm, number, "the step"), STATUS_OK);
        random_plan_free(&random);
    }
    step_channel_destroy(channel);
}

static const int32_t token = 5;
static const struct step_span one_row = {.slot = 1,
                                         .phase = SPAN_DECODE,
                                         .n_tokens = 1,
                                         .tokens = &token,
                                         .n_logits_rows = 1,
                                         .inverse_temperature = 1};

static struct step_plan decode_plan(uint64_t number) {
    return (struct step_plan){
        .number = number, .kind = STEP_COMPUTE, .n_candidates = 4, .n_spans = 1, .spans = &one_row};
}

/* A bad plan stays on rank 0: the others get the next good one, under the same number. */
static void expect_refusal_on_rank_0(struct step_channel *channel, const struct step_plan *plan,
                                     const char *sentence) {
    if (comm_rank(comm) != 0) return;
    assert_int_equal(step_plan_send(channel, plan), STATUS_INTERNAL);
    assert_string_equal(status_message(), sentence);
}

static void test_bad_plans_are_not_sent(void **state) {
    (void)state;
    struct step_channel *channel = open_channel();
    struct step_plan plan = decode_plan(1);
    expect_refusal_on_rank_0(channel, &plan, "step plan 1: 0 was expected");
    plan = decode_plan(0);
    plan.n_candidates = 0;
    expect_refusal_on_rank_0(channel, &plan, "step plan 0: 0 candidates are not between 1 and 256");
    plan = decode_plan(0);
    pass(channel, &plan);
    step_channel_destroy(channel);
}

static void test_logits_of_the_last_step_only(void **state) {
    (void)state;
    struct step_channel *channel = open_channel();
    const struct step_plan before = {.number = 0, .kind = STEP_LOGITS},
                           first = {.number = 1, .kind = STEP_LOGITS},
                           second = {.number = 2, .kind = STEP_LOGITS, .logits_row = 1},
                           again = {.number = 2, .kind = STEP_LOGITS};
    const struct step_plan compute = decode_plan(0);
    expect_refusal_on_rank_0(channel, &before,
                             "step plan 0: row 0 of logits is wanted, but the last step had 0");
    pass(channel, &compute);
    pass(channel, &first);
    expect_refusal_on_rank_0(channel, &second,
                             "step plan 2: row 1 of logits is wanted, but the last step had 1");
    pass(channel, &again);
    step_channel_destroy(channel);
}

/* The packet as step_channel.c lays it out. */
struct packet {
    uint32_t magic, checksum;
    uint64_t size;
    unsigned char head[1008];
};

static void expect_bad_packet(struct packet packet, const char *sentence) {
    struct step_channel *channel = open_channel();
    if (comm_rank(comm) == 0) {
        comm_broadcast_patient(comm, &packet, sizeof packet);
    } else {
        const struct step_plan *plan;
        assert_int_equal(step_plan_receive(channel, &plan), STATUS_INTERNAL);
        assert_string_equal(status_message(), sentence);
    }
    step_channel_destroy(channel);
}

static void test_damaged_packets(void **state) {
    (void)state;
    enum { MAGIC = 0x53554143 };
    struct packet packet = {.magic = 0x43415553};
    expect_bad_packet(packet, "a step plan begins with 43415553");
    packet = (struct packet){.magic = MAGIC, .size = UINT64_MAX};
    expect_bad_packet(packet, "a step plan of 18446744073709551615 bytes is larger than the limits allow");
    packet = (struct packet){.magic = MAGIC, .size = 4};
    expect_bad_packet(packet, "a step plan was changed on its way: its checksum is wrong");
    packet = (struct packet){.magic = MAGIC, .checksum = 2166136261u, .size = 0};
    expect_bad_packet(packet,
                      "a step plan has version 0 where 1 is spoken: all ranks must run the same program");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_plans),
        cmocka_unit_test(test_other_collectives_in_between),
        cmocka_unit_test(test_bad_plans_are_not_sent),
        cmocka_unit_test(test_logits_of_the_last_step_only),
        cmocka_unit_test(test_damaged_packets),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
