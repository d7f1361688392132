#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include "tests/coordinator/answer_fixture.h"

#include <string.h>

#include "base/utf8.h"

static const int32_t end_ids[] = {7, END};

int answer_open_tokenizer(void **state) {
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_open_folder(TEST_DATA "/models/stories260K", &tokenizer), STATUS_OK);
    *state = tokenizer;
    return 0;
}

int answer_close_tokenizer(void **state) {
    tokenizer_close(*state);
    return 0;
}

static enum status write_said(void *self, const char *text, size_t size) {
    struct answer *answer = self;
    assert_true(size > 0 && utf8_is_valid(text, size));
    if (answer->n_writes_left-- == 0) return FAIL(STATUS_IO, "the pipe is closed");
    return bytes_append(&answer->said, text, size);
}

void answer_set_up(struct answer *answer, void **state) {
    *answer = (struct answer){
        .tokenizer = *state,
        .fake = fake_engine_create(),
        .options = {.sampler = {.top_p = 1, .repetition_penalty = 1},
                    .max_tokens = -1,
                    .n_eos = COUNT(end_ids),
                    .eos_ids = end_ids,
                    .n_logprobs = -1,
                    .sink = {answer, write_said}},
        .n_writes_left = INT32_MAX,
    };
    assert_int_equal(scheduler_create(&answer->fake->engine, &answer->scheduler), STATUS_OK);
}

void answer_tear_down(struct answer *answer) {
    generation_destroy(answer->generation);
    scheduler_destroy(answer->scheduler);
    fake_engine_destroy(answer->fake);
    bytes_free(&answer->said);
}

void answer_script(struct answer *answer, int32_t n_prompt, const int32_t *tokens, int32_t n) {
    answer->fake->script = tokens;
    answer->fake->n_script = n;
    answer->fake->script_from = n_prompt;
}

static struct token_list prompt_of(int32_t n) {
    struct token_list prompt = {0};
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(token_list_append(&prompt, 300 + i), STATUS_OK);
    return prompt;
}

enum status answer_create(struct answer *answer, int32_t n_prompt, int32_t n_cached) {
    struct token_list prompt = prompt_of(n_prompt);
    const enum status status = generation_create(&answer->options, &answer->fake->engine, answer->tokenizer,
                                                 &prompt, n_cached, &answer->generation);
    if (status == STATUS_OK) assert_null(prompt.ids);
    token_list_free(&prompt);
    return status;
}

void answer_begin(struct answer *answer, int32_t n_prompt, int32_t n_cached) {
    assert_int_equal(answer_create(answer, n_prompt, n_cached), STATUS_OK);
    scheduler_add(answer->scheduler, generation_sequence(answer->generation));
}

void answer_step(struct answer *answer) {
    assert_int_equal(scheduler_step(answer->scheduler), STATUS_OK);
}

void answer_finish(struct answer *answer) {
    while (scheduler_active(answer->scheduler) > 0)
        answer_step(answer);
}

void answer_cancel(struct answer *answer) {
    assert_int_equal(generation_cancel(answer->generation), STATUS_OK);
    scheduler_retire(answer->scheduler);
    assert_int_equal(scheduler_active(answer->scheduler), 0);
}

void answer_check_delivered(const struct answer *answer, int32_t n_computed) {
    const struct generation_view view = generation_view(answer->generation);
    assert_int_equal(answer->said.size, view.text_size);
    if (view.text_size) assert_memory_equal(answer->said.data, view.text, view.text_size);
    assert_int_equal(view.n_computed, n_computed);
    assert_int_equal(answer->fake->n_tokens[0], n_computed);
    assert_memory_equal(answer->fake->tokens[0], view.prompt, (size_t)n_computed * sizeof *view.prompt);
}

void answer_check(const struct answer *answer, enum finish_reason reason, const char *text,
                  int32_t n_generated, int32_t n_computed) {
    const struct generation_view view = generation_view(answer->generation);
    assert_int_equal(generation_finish_reason(answer->generation), reason);
    assert_string_equal(view.text, text);
    assert_int_equal(view.text_size, strlen(text));
    assert_int_equal(view.n_generated, n_generated);
    answer_check_delivered(answer, n_computed);
}

void answer_refuse(struct answer *answer, int32_t n_prompt, const char *words) {
    assert_int_equal(answer_create(answer, n_prompt, 0), STATUS_BAD_INPUT);
    if (!strstr(status_message(), words)) fail_msg("%s", status_message());
    assert_null(answer->generation);
}
