/* tests/coordinator/answer_fixture.h - one answer, with the engine and scheduler it runs on and a sink that
 * gathers what it is given. */
#pragma once

#include <cmocka.h>

#include "coordinator/generation.h"
#include "tests/coordinator/fake_engine.h"

/* Tokens of stories260K. */
enum { END = 2, BYTE_E2 = 229, SPACE_S = 262, A = 412, T = 413, O = 414, N = 416, E = 411, E_ACUTE = 485 };

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof *(array)))

/* Of a group of tests: the state is stories260K's tokenizer. */
int answer_open_tokenizer(void **state);
int answer_close_tokenizer(void **state);

struct answer {
    const struct tokenizer *tokenizer;
    struct fake_engine *fake;
    struct scheduler *scheduler;
    struct generation_options options;
    struct generation *generation;
    struct bytes said;
    int32_t n_writes_left; /* then the sink fails */
};

void answer_set_up(struct answer *answer, void **state);
void answer_tear_down(struct answer *answer);

/* The engine will say these tokens after a prompt of n_prompt. */
void answer_script(struct answer *answer, int32_t n_prompt, const int32_t *tokens, int32_t n);

/* A prompt of n_prompt tokens, of which the slot has n_cached; begin gives it to the scheduler, too. */
enum status answer_create(struct answer *answer, int32_t n_prompt, int32_t n_cached);
void answer_begin(struct answer *answer, int32_t n_prompt, int32_t n_cached);
void answer_step(struct answer *answer);
void answer_finish(struct answer *answer);
void answer_cancel(struct answer *answer);

/* The sink got the text, and the slot holds the tokens before the last. */
void answer_check_delivered(const struct answer *answer, int32_t n_computed);

/* That, and what the answer is. */
void answer_check(const struct answer *answer, enum finish_reason reason, const char *text,
                  int32_t n_generated, int32_t n_computed);

/* Creating it fails, with these words. */
void answer_refuse(struct answer *answer, int32_t n_prompt, const char *words);
