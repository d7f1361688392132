/* Which tokens an answer draws, and the probabilities it keeps of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tests/coordinator/answer_fixture.h"

static double logprob(const float *logits, int32_t token) {
    double sum = 0;
    for (int32_t i = 0; i < FAKE_VOCAB; i++)
        sum += exp((double)logits[i]);
    return (double)logits[token] - log(sum);
}

static int32_t count_better(const float *logits, int32_t token) {
    int32_t n = 0;
    for (int32_t i = 0; i < FAKE_VOCAB; i++)
        n += logits[i] > logits[token] || (logits[i] == logits[token] && i < token);
    return n;
}

static void check_logprobs(void **state, int32_t n_logprobs, int32_t max_tokens) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer.options.n_eos = 0;
    answer.options.n_logprobs = n_logprobs;
    answer.options.max_tokens = max_tokens;
    answer.options.sampler.temperature = 1;
    answer_begin(&answer, 5, 0);
    answer_finish(&answer);
    const struct generation_view view = generation_view(answer.generation);
    assert_int_equal(view.n_generated, max_tokens);
    assert_int_equal(view.n_top, n_logprobs);
    for (int32_t i = 0; i < max_tokens; i++) {
        float logits[FAKE_VOCAB];
        fake_engine_logits(answer.fake, view.prompt, 5 + i, logits);
        assert_true(fabs((double)view.logprobs[i] - logprob(logits, view.generated[i])) < 1e-5);
        for (int32_t j = 0; j < n_logprobs; j++) {
            const struct sampled_token *top = &view.top[i * n_logprobs + j];
            assert_int_equal(count_better(logits, top->token), j);
            assert_true(fabs((double)top->logprob - logprob(logits, top->token)) < 1e-5);
        }
    }
    answer_tear_down(&answer);
}

static void logprobs_are_kept_with_each_token(void **state) {
    check_logprobs(state, 0, 3);
    check_logprobs(state, 1, 64);
    check_logprobs(state, 5, 300); /* grows more than once */
    check_logprobs(state, STEP_MAX_CANDIDATES, 2);
}

static void fewer_logprobs_than_asked_for_are_marked(void **state) {
    struct answer answer;
    answer_set_up(&answer, state);
    answer.options.n_logprobs = 3;
    answer.options.max_tokens = 1;
    assert_int_equal(answer_create(&answer, 3, 0), STATUS_OK);
    struct sequence *sequence = generation_sequence(answer.generation);
    assert_int_equal(sequence->n_candidates, 3);
    const struct candidate two[] = {{A, 2}, {T, 1}};
    const struct logits_row row = {
        .n_candidates = 2, .candidates = two, .max_logit = 2, .sum_exp = 2, .finite = true};
    assert_int_equal(sequence->take(sequence->self, &answer.fake->engine, &row, 1, 0), STATUS_OK);
    const struct generation_view view = generation_view(answer.generation);
    assert_int_equal(view.top[0].token, A);
    assert_int_equal(view.top[1].token, T);
    assert_int_equal(view.top[2].token, -1);
    answer_tear_down(&answer);
}

/* Flat rows: the 256 candidates hold little more than half of the probability. Three answers side by side
 * fetch rows of their own. */
static void sample_three(void **state, bool all_candidates, int32_t generated[3][50], int64_t *n_fetches) {
    struct answer answers[3];
    answer_set_up(&answers[0], state);
    struct fake_engine *fake = answers[0].fake;
    fake->spread = 0.5F;
    fake->all_candidates = all_candidates;
    *n_fetches = 0;
    for (int32_t i = 0; i < 3; i++) {
        if (i > 0) {
            answers[i] = answers[0];
            answers[i].said = (struct bytes){0};
        }
        answers[i].options.sampler.temperature = 1;
        answers[i].options.sampler.stream = (uint64_t)i;
        answers[i].options.sink = (struct text_sink){0};
        answers[i].options.n_eos = 0;
        answers[i].options.max_tokens = 50;
        answer_begin(&answers[i], 3 + i, 0);
    }
    answer_finish(&answers[0]);
    for (int32_t i = 0; i < 3; i++) {
        const struct generation_view view = generation_view(answers[i].generation);
        assert_int_equal(view.n_generated, 50);
        memcpy(generated[i], view.generated, sizeof generated[i]);
        *n_fetches += view.n_fetches;
        if (i > 0) generation_destroy(answers[i].generation);
    }
    answer_tear_down(&answers[0]);
}

static void a_row_that_the_candidates_do_not_cover_is_fetched(void **state) {
    int32_t fetched[3][50], complete[3][50];
    int64_t n_fetches;
    sample_three(state, false, fetched, &n_fetches);
    assert_in_range(n_fetches, 30, 120);
    sample_three(state, true, complete, &n_fetches);
    assert_int_equal(n_fetches, 0);
    assert_memory_equal(fetched, complete, sizeof fetched);
}

/* The prompt counts as seen, as in transformers: a token of it that leads by less than the penalty loses. */
static void the_repetition_penalty_counts_the_prompt(void **state) {
    for (int penalised = 0; penalised < 2; penalised++) {
        struct answer answer;
        answer_set_up(&answer, state);
        const int32_t tokens[] = {301};
        answer_script(&answer, 3, tokens, 1);
        answer.options.max_tokens = 1;
        answer.options.sampler.repetition_penalty = penalised ? 100 : 1;
        answer_begin(&answer, 3, 0);
        answer_finish(&answer);
        assert_int_equal(generation_view(answer.generation).generated[0] == 301, !penalised);
        answer_tear_down(&answer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logprobs_are_kept_with_each_token),
        cmocka_unit_test(fewer_logprobs_than_asked_for_are_marked),
        cmocka_unit_test(a_row_that_the_candidates_do_not_cover_is_fetched),
        cmocka_unit_test(the_repetition_penalty_counts_the_prompt),
    };
    return cmocka_run_group_tests(tests, answer_open_tokenizer, answer_close_tokenizer);
}
