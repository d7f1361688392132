/* What is recorded of an answer: header, tokens and sets, against an engine that makes its sets up. */
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
#include "coordinator/model_text.h"
#include "coordinator/trace_file.h"
#include "coordinator/trace_record.h"

enum { N_LAYERS = 5, N_KV_HEADS = 4, N_STEPS = 10, EVERY = 3, MOST_TOKENS = 64 };
static const char model[] = TEST_DATA "/models/stories260K/";
static const int32_t prompt[] = {1, 403, 407, 261, 378},
                     generated[N_STEPS] = {432, 383, 286, 261, 400, 401, 13, 259, 5, 1};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

struct source { /* an engine's answers; first: nothing, then every set known */
    int32_t n_calls, n_cached;
    struct attended_set sets[N_LAYERS * N_KV_HEADS];
    int32_t even[MOST_TOKENS], latest[MOST_TOKENS], latest_again[MOST_TOKENS];
    struct step_trace trace;
};

/* Layer 0 attends to all; layer 1 to the even tokens and its last head to nothing; the others to the three
 * latest, which come as two pointers. */
static enum status trace(void *self, const struct step_trace **trace_out) {
    struct source *source = self;
    *trace_out = &source->trace;
    source->trace = (struct step_trace){0};
    if (source->n_calls++ == 0) return STATUS_OK;
    const int32_t n = source->n_cached;
    for (int32_t i = 0; 2 * i < n; i++)
        source->even[i] = 2 * i;
    for (int32_t i = 0; i < 3; i++)
        source->latest[i] = source->latest_again[i] = n - 3 + i;
    for (int32_t pair = 0; pair < N_LAYERS * N_KV_HEADS; pair++) {
        const int32_t layer = pair / N_KV_HEADS;
        source->sets[pair] = layer == 0  ? (struct attended_set){NULL, n}
                             : pair == 7 ? (struct attended_set){source->even, 0}
                             : layer == 1
                                 ? (struct attended_set){source->even, (n + 1) / 2}
                                 : (struct attended_set){pair % 2 ? source->latest : source->latest_again, 3};
    }
    source->trace = (struct step_trace){n, N_LAYERS, N_KV_HEADS, source->sets};
    return STATUS_OK;
}

static void expect_step(const struct trace_step *step, int32_t n_cached, size_t n_tokens) {
    assert_non_null(step);
    assert_int_equal(step->n_cached, n_cached);
    assert_int_equal(step->tokens->n, n_tokens);
    for (size_t i = 0; i < n_tokens; i++)
        assert_int_equal(step->tokens->ids[i],
                         generated[n_cached - N_PROMPT - (int32_t)n_tokens + (int32_t)i]);
    const struct trace_sets *sets = step->sets;
    assert_int_equal(sets->n_sets, 4);
    for (int32_t pair = 0; pair < N_LAYERS * N_KV_HEADS; pair++) {
        const struct trace_set set = trace_sets_get(sets, sets->set_of[pair]);
        const int32_t layer = pair / N_KV_HEADS;
        const int64_t n = layer == 0 ? n_cached : pair == 7 ? 0 : layer == 1 ? (n_cached + 1) / 2 : 3;
        assert_int_equal(trace_set_tokens(set), n);
        assert_int_equal(trace_set_is_all(set, n_cached), layer == 0);
        if (layer > 1) assert_int_equal(set.edges[0], n_cached - 3);
    }
}

static void expect_header(const struct trace_header *header, uint64_t fingerprint) {
    static const char *const options[][2] = {{"sinks", "2"}, {"policy-options", "quest.x=1"}, {"seed", "7"}};
    assert_string_equal(header->model, "stories260K");
    assert_string_equal(header->policy, "quest");
    assert_int_equal(header->budget, 64);
    assert_int_equal(header->every, EVERY);
    assert_true(header->fingerprint == fingerprint);
    assert_int_equal(header->n_options, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(header->options[i].name, options[i][0]);
        assert_string_equal(header->options[i].value, options[i][1]);
    }
    assert_int_equal(header->prompt.n, N_PROMPT);
    assert_memory_equal(header->prompt.ids, prompt, sizeof prompt);
    const char text[] = "<s> Once upon a time";
    assert_int_equal(header->prompt.text.size, sizeof text - 1);
    assert_memory_equal(header->prompt.text.data, text, sizeof text - 1);
}

static void expect_file(const char *path, uint64_t fingerprint) {
    struct bytes file = {0};
    struct trace_reader *reader;
    const struct trace_step *step;
    assert_int_equal(file_read_all(path, 1 << 20, &file), STATUS_OK);
    assert_int_equal(trace_reader_create(file.data, file.size, path, &reader), STATUS_OK);
    expect_header(trace_reader_header(reader), fingerprint);
    for (int32_t i = 0; i < N_STEPS; i += EVERY) {
        assert_int_equal(trace_reader_next(reader, &step), STATUS_OK);
        expect_step(step, N_PROMPT + i + 1, i == 0 ? 1 : EVERY);
    }
    assert_int_equal(trace_reader_next(reader, &step), STATUS_OK);
    assert_null(step);
    trace_reader_destroy(reader);
    bytes_free(&file);
}

static void each_third_step_is_recorded(void **state) {
    (void)state;
    char path[] = "/tmp/caucus_trace_XXXXXX";
    close(mkstemp(path));
    char line[512], *arguments[32];
    int n = 0;
    snprintf(
        line, sizeof line,
        "caucus trace -m %s -p x --output %s --trace-every 3 --budget 64 --policy quest --seed 7 --sinks 2 "
        "--policy-options quest.x=1",
        model, path);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        arguments[n++] = word;
    struct config config;
    struct source made = {0};
    const struct engine engine = {.self = &made, .trace = trace};
    struct model_file *file;
    struct tokenizer *tokenizer;
    struct trace_recorder *recorder;
    assert_int_equal(config_parse(n, arguments, (char *[]){NULL}, &config), STATUS_OK);
    assert_int_equal(model_file_open(model, &file), STATUS_OK);
    assert_int_equal(model_text_open(model, &tokenizer), STATUS_OK);
    const struct trace_source source = {&config, &engine, file, tokenizer};
    assert_int_equal(trace_recorder_create(&source, prompt, N_PROMPT, &recorder), STATUS_OK);
    assert_int_equal(made.n_calls, 1);
    for (int32_t i = 0; i < N_STEPS; i++) {
        made.n_cached = N_PROMPT + i + 1;
        assert_int_equal(trace_recorder_step(recorder, generated[i]), STATUS_OK);
    }
    assert_int_equal(made.n_calls, 5);
    assert_int_equal(trace_recorder_close(recorder), STATUS_OK);
    expect_file(path, model_file_fingerprint(file));
    tokenizer_close(tokenizer);
    model_file_close(file);
    config_free(&config);
    unlink(path);
}

static void a_model_with_too_many_heads_is_refused(void **state) {
    (void)state;
    struct model_spec spec = {.n_layers = 128, .n_kv_heads = 128};
    assert_int_equal(trace_record_check(&spec), STATUS_OK);
    spec.n_layers++;
    assert_int_equal(trace_record_check(&spec), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "a trace has room for 16384 pairs of a layer and a KV head: the "
                                          "model has 129 layers of 128 KV heads");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_third_step_is_recorded),
                                       cmocka_unit_test(a_model_with_too_many_heads_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
