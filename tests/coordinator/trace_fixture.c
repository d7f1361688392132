#include "trace_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const pieces[] = {"a",  "</script>", "<b>&\"'", "\xe2\x82",  "\xac", "]]>",
                                     "\n", " ",         "",        "\x01\x7f$", "-->"};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static void append(struct trace_tokens *tokens, int32_t position) {
    const char *text = pieces[position % N_PIECES];
    assert_int_equal(trace_tokens_append(tokens, position, text, strlen(text)), STATUS_OK);
}

struct trace_header trace_fixture_header(void) {
    static const struct trace_option options[] = {{"sinks", "4"}, {"seed", "7"}};
    struct trace_header header = {
        .program = "0.1.0",
        .model = "a</title><script>",
        .fingerprint = UINT64_C(0xfedcba9876543210),
        .policy = "fixture",
        .budget = 20,
        .n_options = 2,
        .options = options,
        .n_layers = FIXTURE_LAYERS,
        .n_kv_heads = FIXTURE_KV_HEADS,
        .every = 1,
    };
    for (int32_t i = 0; i < FIXTURE_PROMPT; i++)
        append(&header.prompt, i);
    return header;
}

static uint64_t mixed(uint64_t stream, uint64_t i) { /* cheaply */
    return ((i + stream * 1000003) * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
}

/* A random token of each four, the same in all steps, and the eight latest. */
void trace_fixture_tokens(int64_t n_cached, int32_t pair, int32_t *tokens, int64_t *n_out) {
    const uint64_t stream = pair < 2 * FIXTURE_KV_HEADS ? 1 : (uint64_t)pair;
    int64_t n = 0;
    for (int32_t i = 0; i < n_cached; i++)
        if (pair < FIXTURE_KV_HEADS || i >= n_cached - 8 || mixed(stream, (uint64_t)i) % 4 == 0)
            tokens[n++] = i;
    *n_out = n;
}

static void write_step(struct trace_writer *writer, int64_t n_cached, struct trace_sets *sets) {
    static int32_t tokens[1 << 15];
    int64_t n;
    trace_sets_clear(sets);
    for (int32_t pair = 0; pair < FIXTURE_PAIRS; pair++) {
        trace_fixture_tokens(n_cached, pair, tokens, &n);
        assert_int_equal(trace_sets_add_tokens(sets, tokens, n), STATUS_OK);
        assert_int_equal(trace_sets_close(sets, &sets->set_of[pair]), STATUS_OK);
    }
    struct trace_tokens added = {0};
    append(&added, (int32_t)n_cached - 1);
    assert_int_equal(trace_writer_step(writer, &added, sets), STATUS_OK);
    trace_tokens_free(&added);
}

struct trace_writer *trace_fixture_write(const char *path, int32_t n_steps) {
    struct trace_header header = trace_fixture_header();
    struct trace_sets sets;
    struct trace_writer *writer;
    assert_int_equal(trace_sets_create(FIXTURE_PAIRS, &sets), STATUS_OK);
    assert_int_equal(trace_writer_create(path, &header, &writer), STATUS_OK);
    for (int32_t step = 1; step <= n_steps; step++)
        write_step(writer, FIXTURE_PROMPT + step, &sets);
    trace_tokens_free(&header.prompt);
    trace_sets_free(&sets);
    return writer;
}
