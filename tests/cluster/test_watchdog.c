/* What a watchdog makes of what it knows; that it ends a job is in tests/faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cluster/heartbeat.h"
#include "cluster/watchdog_judge_impl.h"
#include "cluster/watchdog_message_impl.h"

enum { RANKS = 3 };

static const double TIMEOUT = 10;

/* ---- places ---- */

static void test_place_survives_packing(void **state) {
    (void)state;
    const struct place places[] = {{0, PLACE_NO_LAYER, OPERATION_ASIDE},
                                   {1, 0, OPERATION_ATTENTION},
                                   {UINT64_C(1) << 39, 65533, OPERATION_BARRIER}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place back = place_unpack(place_pack(places[i]));
        assert_true(back.step == places[i].step && back.layer == places[i].layer);
        assert_int_equal(back.operation, places[i].operation);
    }
}

static void assert_place(const struct heartbeat *heartbeat, const char *expected) {
    char text[PLACE_TEXT_MAX];
    place_text(atomic_load(&heartbeat->place), text);
    assert_string_equal(text, expected);
}

static void test_heartbeat_tells_step_layer_and_operation(void **state) {
    (void)state;
    struct heartbeat heartbeat = {0};
    heartbeat_layer(&heartbeat, PLACE_NO_LAYER);
    const enum operation before = heartbeat_enter(&heartbeat, OPERATION_LOAD);
    assert_place(&heartbeat, "the load of the model");
    heartbeat_leave(&heartbeat, before);
    heartbeat_step(&heartbeat, 12);
    heartbeat_enter(&heartbeat, OPERATION_ATTENTION_SUM);
    heartbeat_layer(&heartbeat, 5);
    assert_place(&heartbeat, "step 12, layer 5, the all-reduce of attention");
    heartbeat_step(&heartbeat, 13);
    assert_place(&heartbeat, "step 13, the all-reduce of attention");
}

static void test_every_note_is_progress(void **state) {
    (void)state;
    struct heartbeat heartbeat = {0};
    uint64_t last = atomic_load(&heartbeat.progress);
    for (int i = 0; i < 4; i++) {
        if (i == 0) heartbeat_step(&heartbeat, 1);
        if (i == 1) heartbeat_layer(&heartbeat, 1);
        if (i == 2) heartbeat_enter(&heartbeat, OPERATION_MLP);
        if (i == 3) heartbeat_count(&heartbeat);
        assert_true(atomic_load(&heartbeat.progress) > last);
        last = atomic_load(&heartbeat.progress);
    }
}

/* ---- judging ---- */

static uint64_t at(uint64_t number, int32_t layer, enum operation operation) {
    return place_pack((struct place){number + 1, layer, operation});
}

/* All wait for each other's sums, and did so a moment ago. */
static void make_ranks(struct watched ranks[RANKS]) {
    for (int rank = 0; rank < RANKS; rank++) {
        ranks[rank] = (struct watched){.place = at(3, 1, OPERATION_ATTENTION_SUM),
                                       .silent_seconds = 0.1,
                                       .still_seconds = 0.1,
                                       .heard = true};
        snprintf(ranks[rank].host, sizeof ranks[rank].host, "host%d", rank);
    }
}

static void assert_verdict(const struct watched ranks[RANKS], enum fault fault, int rank) {
    const struct verdict verdict = watchdog_judge(ranks, RANKS, TIMEOUT);
    assert_int_equal(verdict.fault, fault);
    if (fault != FAULT_NONE) assert_int_equal(verdict.rank, rank);
}

static void test_nothing_is_wrong_while_one_moves(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    assert_verdict(ranks, FAULT_NONE, 0);
    ranks[0].still_seconds = ranks[1].still_seconds = 1000;
    assert_verdict(ranks, FAULT_NONE, 0);
}

static void test_the_missing_rank_is_named(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    ranks[1].silent_seconds = 10.5;
    assert_verdict(ranks, FAULT_SILENT, 1);
    ranks[2].ended = true; /* is known, silence is not */
    assert_verdict(ranks, FAULT_ENDED, 2);
}

static void test_nothing_of_an_excused_rank_is_a_fault(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    ranks[1].ended = ranks[1].excused = true;
    ranks[1].silent_seconds = ranks[1].still_seconds = 1000;
    assert_verdict(ranks, FAULT_NONE, 0);
    ranks[2].silent_seconds = 10.5; /* of the others all is */
    assert_verdict(ranks, FAULT_SILENT, 2);
    ranks[2].silent_seconds = 0;
    for (int rank = 0; rank < RANKS; rank++)
        ranks[rank].still_seconds = 10.5;
    ranks[1].place = 0; /* it is not who all wait for */
    assert_int_not_equal(watchdog_judge(ranks, RANKS, 10).rank, 1);
    assert_int_equal(watchdog_judge(ranks, RANKS, 10).fault, FAULT_ALL);
}

static void test_one_that_works_must_get_on(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    for (int rank = 0; rank < RANKS; rank++)
        ranks[rank].still_seconds = 11;
    ranks[2].place = at(3, 1, OPERATION_ATTENTION);
    assert_verdict(ranks, FAULT_STILL, 2);
    ranks[2].still_seconds = 9;
    assert_verdict(ranks, FAULT_NONE, 0);
}

static void test_a_person_may_take_his_time(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    for (int rank = 0; rank < RANKS; rank++) {
        ranks[rank].place = at(3, PLACE_NO_LAYER, rank ? OPERATION_PLAN : OPERATION_ASIDE);
        ranks[rank].still_seconds = 100000;
    }
    assert_verdict(ranks, FAULT_NONE, 0);
    ranks[1].silent_seconds = 11; /* but not be stopped */
    assert_verdict(ranks, FAULT_SILENT, 1);
}

static void test_where_all_wait_the_last_is_named(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    for (int rank = 0; rank < RANKS; rank++)
        ranks[rank].still_seconds = 11;
    ranks[0].place = at(3, PLACE_NO_LAYER, OPERATION_PLAN); /* through with step 3 */
    ranks[1].place = at(3, 7, OPERATION_MLP_SUM);
    ranks[2].place = at(3, 6, OPERATION_MLP_SUM);
    assert_verdict(ranks, FAULT_ALL, 2);
}

static void test_who_never_was_heard_is_no_fault(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    ranks[1].heard = false;
    ranks[1].silent_seconds = ranks[1].still_seconds = 1000;
    assert_verdict(ranks, FAULT_NONE, 0);
    ranks[0].still_seconds = ranks[2].still_seconds = 1000; /* rank 1 may be at work */
    assert_verdict(ranks, FAULT_NONE, 0);
}

static void test_the_lowest_that_lives_speaks(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    assert_int_equal(watchdog_speaker(ranks, RANKS, TIMEOUT), 0);
    ranks[0].ended = true;
    ranks[1].silent_seconds = 11;
    assert_int_equal(watchdog_speaker(ranks, RANKS, TIMEOUT), 2);
}

/* Small jobs beat to all; in large ones everybody's turn comes eight times, and no more often than needed. */
static void test_turns_come_round_in_time(void **state) {
    (void)state;
    static const double rounds[] = {22.5, 40, 300};
    for (int size = 2; size <= 100000; size = size * 5 / 4 + 1)
        for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
            const int turn = watchdog_turn(size, rounds[i]);
            assert_true(turn >= 1 && turn <= size);
            assert_true(turn * rounds[i] >= 8.0 * size);
            if (size <= 128) assert_int_equal(turn, size);
            if (size > 128) assert_true(turn <= 128 || turn <= 8.0 * size / rounds[i] + 1);
        }
}

static void assert_sentence(const struct watched *ranks, struct verdict verdict, int self,
                            const char *expected) {
    char sentence[WATCHDOG_SENTENCE_MAX];
    watchdog_sentence(ranks, verdict, self, sentence);
    assert_string_equal(sentence, expected);
}

static void test_sentences(void **state) {
    (void)state;
    struct watched ranks[RANKS];
    make_ranks(ranks);
    ranks[1].place = at(2, 4, OPERATION_MLP);
    assert_sentence(
        ranks, (struct verdict){FAULT_SILENT, 1, 10.04}, 0,
        "rank 1 (host host1) has not been heard of for 10.0 s: it was in step 2, layer 4, the MLP; "
        "rank 0 waits for it in step 3, layer 1, the all-reduce of attention");
    assert_sentence(
        ranks, (struct verdict){FAULT_ENDED, 0, 0}, 1,
        "rank 0 (host host0) has ended unexpectedly: it was in step 3, layer 1, the all-reduce of "
        "attention; rank 1 is in step 2, layer 4, the MLP");
    assert_sentence(ranks, (struct verdict){FAULT_STILL, 1, 12}, 1,
                    "rank 1 (host host1) has made no progress for 12.0 s: it is in step 2, layer 4, the MLP");
}

/* ---- messages ---- */

static const struct watchdog_job job = {.token = UINT64_C(0x0123456789abcdef), .size = RANKS};

static struct watchdog_message some_message(void) {
    return (struct watchdog_message){.rank = 2,
                                     .sequence = 7,
                                     .place = at(3, 1, OPERATION_MLP_SUM),
                                     .progress = 99,
                                     .lost = 1,
                                     .ending = true};
}

static void test_message_survives(void **state) {
    (void)state;
    const struct watchdog_message message = some_message();
    struct watchdog_message back;
    unsigned char data[WATCHDOG_MESSAGE_BYTES];
    watchdog_message_write(&job, &message, data);
    assert_true(watchdog_message_read(&job, data, sizeof data, &back));
    assert_true(back.rank == 2 && back.sequence == 7 && back.place == message.place && back.progress == 99);
    assert_true(back.lost == 1 && back.ending);
}

static void assert_refused(const struct watchdog_job *other, struct watchdog_message message) {
    unsigned char data[WATCHDOG_MESSAGE_BYTES];
    struct watchdog_message back;
    watchdog_message_write(other, &message, data);
    assert_false(watchdog_message_read(&job, data, sizeof data, &back));
}

static void test_what_is_not_of_this_job_is_refused(void **state) {
    (void)state;
    struct watchdog_message message = some_message();
    assert_refused(&(struct watchdog_job){job.token + 1, RANKS}, message);
    assert_refused(&(struct watchdog_job){job.token, RANKS + 1}, message);
    message.rank = RANKS;
    assert_refused(&job, message);
    message.rank = -1;
    assert_refused(&job, message);
    message = some_message();
    message.lost = RANKS;
    assert_refused(&job, message);
    message.lost = message.rank;
    assert_refused(&job, message);
    message = some_message();
    message.sequence = 0;
    assert_refused(&job, message);
    message = some_message();
    message.place = OPERATIONS;
    assert_refused(&job, message);
}

/* Every byte counts: whichever is changed, the message is another one or none. */
static void test_damaged_messages(void **state) {
    (void)state;
    const struct watchdog_message message = some_message();
    unsigned char data[WATCHDOG_MESSAGE_BYTES + 1] = {0};
    struct watchdog_message back;
    watchdog_message_write(&job, &message, data);
    for (size_t size = 0; size <= sizeof data; size++)
        assert_int_equal(watchdog_message_read(&job, data, size, &back), size == WATCHDOG_MESSAGE_BYTES);
    for (size_t i = 0; i < WATCHDOG_MESSAGE_BYTES; i++) {
        data[i] ^= 0x80;
        if (watchdog_message_read(&job, data, WATCHDOG_MESSAGE_BYTES, &back))
            assert_true(back.sequence != message.sequence || back.place != message.place ||
                        back.progress != message.progress);
        data[i] ^= 0x80;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_survives_packing),
        cmocka_unit_test(test_heartbeat_tells_step_layer_and_operation),
        cmocka_unit_test(test_every_note_is_progress),
        cmocka_unit_test(test_nothing_is_wrong_while_one_moves),
        cmocka_unit_test(test_the_missing_rank_is_named),
        cmocka_unit_test(test_nothing_of_an_excused_rank_is_a_fault),
        cmocka_unit_test(test_one_that_works_must_get_on),
        cmocka_unit_test(test_a_person_may_take_his_time),
        cmocka_unit_test(test_where_all_wait_the_last_is_named),
        cmocka_unit_test(test_who_never_was_heard_is_no_fault),
        cmocka_unit_test(test_the_lowest_that_lives_speaks),
        cmocka_unit_test(test_turns_come_round_in_time),
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_message_survives),
        cmocka_unit_test(test_what_is_not_of_this_job_is_refused),
        cmocka_unit_test(test_damaged_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
