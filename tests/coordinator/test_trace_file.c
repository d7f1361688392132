/* Traces: what is written is what is read, and what is broken is refused or left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "trace_fixture.h"

enum { N_STEPS = 50 };

static struct trace_reader *open_bytes(const void *data, size_t size) {
    struct trace_reader *reader;
    assert_int_equal(trace_reader_create(data, size, "test", &reader), STATUS_OK);
    return reader;
}

static const struct trace_step *next(struct trace_reader *reader) {
    const struct trace_step *step;
    assert_int_equal(trace_reader_next(reader, &step), STATUS_OK);
    return step;
}

static void expect_header(const struct trace_header *header) {
    struct trace_header expected = trace_fixture_header();
    assert_string_equal(header->program, expected.program);
    assert_string_equal(header->model, expected.model);
    assert_true(header->fingerprint == expected.fingerprint);
    assert_string_equal(header->policy, expected.policy);
    assert_int_equal(header->budget, expected.budget);
    assert_int_equal(header->n_options, expected.n_options);
    assert_string_equal(header->options[1].name, "seed");
    assert_string_equal(header->options[1].value, "7");
    assert_int_equal(header->n_layers, expected.n_layers);
    assert_int_equal(header->n_kv_heads, expected.n_kv_heads);
    assert_int_equal(header->every, 1);
    assert_int_equal(header->prompt.n, FIXTURE_PROMPT);
    assert_memory_equal(header->prompt.ids, expected.prompt.ids, FIXTURE_PROMPT * sizeof(int32_t));
    assert_memory_equal(header->prompt.text_bytes, expected.prompt.text_bytes,
                        FIXTURE_PROMPT * sizeof(uint32_t));
    assert_int_equal(header->prompt.text.size, expected.prompt.text.size);
    assert_memory_equal(header->prompt.text.data, expected.prompt.text.data, expected.prompt.text.size);
    trace_tokens_free(&expected.prompt);
}

static void expect_set(struct trace_set set, int64_t n_cached, int32_t pair) {
    int32_t tokens[4096];
    int64_t n;
    trace_fixture_tokens(n_cached, pair, tokens, &n);
    assert_int_equal(trace_set_tokens(set), n);
    int64_t i = 0;
    for (size_t edge = 0; edge < set.n_edges; edge += 2)
        for (int32_t token = set.edges[edge]; token < set.edges[edge + 1]; token++)
            assert_int_equal(token, tokens[i++]);
}

static void expect_step(const struct trace_step *step, int64_t n_cached) {
    assert_non_null(step);
    assert_int_equal(step->n_cached, n_cached);
    assert_int_equal(step->tokens->n, 1);
    assert_int_equal(step->tokens->ids[0], n_cached - 1);
    assert_int_equal(step->sets->n_sets, 4);
    for (int32_t pair = 0; pair < FIXTURE_PAIRS; pair++)
        expect_set(trace_sets_get(step->sets, step->sets->set_of[pair]), n_cached, pair);
}

static void expect_steps(struct trace_reader *reader, int32_t n_steps) {
    for (int32_t i = 1; i <= n_steps; i++)
        expect_step(next(reader), FIXTURE_PROMPT + i);
    assert_null(next(reader));
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, N_STEPS);
    const struct bytes *bytes = trace_writer_bytes(writer);
    assert_int_equal(trace_writer_size(writer), bytes->size);
    struct trace_reader *reader = open_bytes(bytes->data, bytes->size);
    expect_header(trace_reader_header(reader));
    expect_steps(reader, N_STEPS);
    assert_int_equal(trace_reader_torn_bytes(reader), 0);
    trace_reader_destroy(reader);
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

/* A step costs its token and what changed: a token enters, one leaves the latest, and now and then stays. */
static void steps_are_small(void **state) {
    (void)state;
    int64_t sizes[2];
    for (int i = 0; i < 2; i++) {
        struct trace_writer *writer = trace_fixture_write(NULL, 300 + i * 1000);
        sizes[i] = trace_writer_size(writer);
        assert_int_equal(trace_writer_close(writer), STATUS_OK);
    }
    assert_in_range(sizes[1] - sizes[0], 1000, 80 * 1000);
}

static void a_file_is_complete_after_each_step(void **state) {
    (void)state;
    char path[] = "/tmp/caucus_trace_XXXXXX";
    close(mkstemp(path));
    struct trace_writer *writer = trace_fixture_write(path, N_STEPS);
    struct bytes file = {0};
    assert_int_equal(file_read_all(path, 1 << 20, &file), STATUS_OK);
    assert_int_equal(trace_writer_size(writer), file.size);
    struct trace_reader *reader = open_bytes(file.data, file.size);
    expect_steps(reader, N_STEPS);
    trace_reader_destroy(reader);
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
    struct trace_writer *again = trace_fixture_write(NULL, N_STEPS);
    assert_int_equal(trace_writer_bytes(again)->size, file.size);
    assert_memory_equal(trace_writer_bytes(again)->data, file.data, file.size);
    trace_writer_destroy(again);
    bytes_free(&file);
    unlink(path);
}

/* Cut anywhere behind the header, the whole records before the cut are read and nothing more. */
static void a_torn_tail_is_left_out(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, 3);
    const struct bytes *bytes = trace_writer_bytes(writer);
    struct trace_writer *two = trace_fixture_write(NULL, 2);
    const size_t whole = trace_writer_bytes(two)->size;
    for (size_t size = whole; size < bytes->size; size++) {
        char *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, bytes->data, size);
        struct trace_reader *reader = open_bytes(copy, size);
        expect_steps(reader, 2);
        assert_int_equal(trace_reader_torn_bytes(reader), size - whole);
        assert_null(next(reader));
        trace_reader_destroy(reader);
        free(copy);
    }
    assert_int_equal(trace_writer_close(two), STATUS_OK);
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

static void expect_refusal(const void *data, size_t size, const char *sentence) {
    struct trace_reader *reader;
    enum status status = trace_reader_create(data, size, "test", &reader);
    if (status == STATUS_OK) {
        const struct trace_step *step;
        do
            status = trace_reader_next(reader, &step);
        while (status == STATUS_OK && step);
        trace_reader_destroy(reader);
    }
    assert_int_equal(status, STATUS_BAD_INPUT);
    assert_string_equal(status_message(), sentence);
}

static void other_files_are_refused(void **state) {
    (void)state;
    expect_refusal("", 0, "test cannot be read as a trace: it ends before its header does");
    expect_refusal("given ab=1;", 11, "test cannot be read as a trace: it ends before its header does");
    expect_refusal("\x00", 1, "test cannot be read as a trace: it was not written by caucus trace");
    expect_refusal("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10,
                   "test cannot be read as a trace: its length is no number");
    expect_refusal("\x04\x0a\x02hi", 5, "test cannot be read as a trace: it was not written by caucus trace");
    expect_refusal("\x02\xff\xff", 3, "test cannot be read as a trace: it is malformed");
    expect_refusal("\x10\x0a\x0c"
                   "caucus trace\x10\x02",
                   17, "test cannot be read as a trace: it has version 2; this program reads 1");
}

/* A header of one layer with two KV heads and one prompt token, then one step of the given bytes. */
static void expect_bad_step(const char *step, size_t size, const char *fault) {
    static const char header[] = "\x22\x0a\x0c"
                                 "caucus trace\x10\x01"
                                 "\x48\x01\x50\x02\x58\x01"
                                 "\x62\x0a\x0a\x01\x05\x12\x02"
                                 "ab\x1a\x01\x02";
    char file[256], sentence[256];
    memcpy(file, header, sizeof header - 1);
    file[sizeof header - 1] = (char)size;
    memcpy(file + sizeof header, step, size);
    snprintf(sentence, sizeof sentence, "test: step record 1: %s", fault);
    expect_refusal(file, sizeof header + size, sentence);
}

#define EXPECT_BAD_STEP(step, fault) expect_bad_step(step, sizeof step - 1, fault)
#define ONE_TOKEN                    "\x0a\x06\x0a\x01\x07\x1a\x01\x00"

static void steps_that_contradict_themselves_are_refused(void **state) {
    (void)state;
    EXPECT_BAD_STEP("", "it has no tokens");
    EXPECT_BAD_STEP("\x0a\x03\x0a\x01\x07", "it has 1 tokens but 0 texts");
    EXPECT_BAD_STEP("\x0a\x06\x0a\x01\x07\x1a\x01\x05", "token 1 has the id 7 and 5 bytes of text");
    EXPECT_BAD_STEP("\x0a\x09\x0a\x01\x07\x12\x01"
                    "a\x1a\x01\x00",
                    "1 bytes of text belong to no token");
    EXPECT_BAD_STEP(ONE_TOKEN, "0 of 2 heads have 0 of 0 sets");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x00\x1a\x02\x03\x00", "3 heads from the 0-th have set 0 of 1");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x00\x1a\x02\x02\x01", "2 heads from the 0-th have set 1 of 1");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x00\x12\x00\x1a\x04\x01\x00\x01\x01", "two of its sets are equal");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x03\x12\x01\x00\x1a\x02\x02\x00", "a set has a run without an end");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x04\x12\x02\x00\x03\x1a\x02\x02\x00",
                    "a set of 2 tokens has an edge at 3");
    EXPECT_BAD_STEP(ONE_TOKEN "\x12\x04\x12\x02\x00\x00\x1a\x02\x02\x00",
                    "a set of 2 tokens has an edge at 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(steps_are_small),
        cmocka_unit_test(a_file_is_complete_after_each_step),
        cmocka_unit_test(a_torn_tail_is_left_out),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(steps_that_contradict_themselves_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
