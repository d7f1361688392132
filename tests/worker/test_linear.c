/* Which products of fast numerics are multiplied in bf16: prompts' rows with weights of bf16, whoever is
 * beside them, and none that all ranks compute alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "worker/batch.h"
#include "worker/linear.h"

enum { COLS = 70, ROWS = 37, TOKENS = 19, MARK = 12345 };

struct fixture {
    struct arena *memory;
    struct linear *linear;
    float x[TOKENS * COLS], weights[ROWS * COLS];
    uint16_t bf16_weights[ROWS * COLS];
};

/* Stands for the machine's product: says that it was here, and with which activations. */
static void marks(const struct matrix *w, int64_t row_begin, int64_t row_end, const uint16_t *x,
                  int64_t n_tokens, float *y, int64_t y_stride) {
    assert_int_equal(w->dtype, DTYPE_BF16);
    for (int64_t token = 0; token < n_tokens; token++)
        for (int64_t row = row_begin; row < row_end; row++)
            y[token * y_stride + row] = (float)(MARK + x[token * w->cols]);
}

static const struct kernels *kernels(void) {
    return kernels_at_level(kernels_best_level());
}

static void set_up(struct fixture *f, matmul_bf16 *in_bf16) {
    const struct linear_shape shape = {2, TOKENS, COLS + 26, NULL};
    assert_int_equal(arena_create("a test", &f->memory), STATUS_OK);
    assert_int_equal(linear_create(kernels(), in_bf16, &shape, f->memory, &f->linear), STATUS_OK);
    for (int i = 0; i < TOKENS * COLS; i++)
        f->x[i] = (float)rng_uniform(1, 0, (uint64_t)i) - 0.5f;
    for (int i = 0; i < ROWS * COLS; i++)
        f->weights[i] = (float)rng_uniform(1, 1, (uint64_t)i) - 0.5f;
    kernels()->store(f->weights, ROWS * COLS, DTYPE_BF16, f->bf16_weights);
}

/* marked: the tokens that are multiplied in bf16; NULL: none. */
static void check(const struct fixture *f, const struct matrix *w, const bool *marked, const float *y) {
    float expected[TOKENS * ROWS];
    kernels()->matmul(w, 0, ROWS, f->x, COLS, TOKENS, expected, ROWS);
    for (int32_t token = 0; token < TOKENS; token++) {
        uint16_t first;
        kernels()->store(&f->x[token * COLS], 1, DTYPE_BF16, &first);
        for (int row = 0; marked && marked[token] && row < ROWS; row++)
            expected[token * ROWS + row] = (float)(MARK + first);
    }
    assert_memory_equal(y, expected, sizeof expected);
}

/* One call with two matrices, of bf16 and of f32, then the first again as all ranks compute it. */
static void run(matmul_bf16 *in_bf16, const bool *in_prompt, const int32_t *rows, const bool *marked) {
    struct fixture f;
    float y[2][TOKENS * ROWS];
    set_up(&f, in_bf16);
    const struct matrix bf16 = {DTYPE_BF16, ROWS, COLS, f.bf16_weights, 0};
    const struct matrix f32 = {DTYPE_F32, ROWS, COLS, f.weights, 0};
    linear_step(f.linear, in_prompt);
    linear_input(f.linear, f.x, COLS, TOKENS, rows);
    linear_run(f.linear, (struct linear_product[]){{&bf16, y[0]}, {&f32, y[1]}}, 2);
    check(&f, &bf16, marked, y[0]);
    check(&f, &f32, NULL, y[1]);
    linear_run_replicated(f.linear, &(struct linear_product){&bf16, y[0]});
    check(&f, &bf16, NULL, y[0]);
    arena_destroy(f.memory);
}

static void prompts_run_in_bf16(void **state) {
    (void)state;
    bool all[TOKENS];
    memset(all, true, sizeof all);
    run(marks, all, NULL, all);
}

static void answers_do_not(void **state) {
    (void)state;
    static const bool none[TOKENS];
    run(marks, none, NULL, NULL);
    run(marks, NULL, NULL, NULL);
}

/* Some of the tokens are a prompt's; then so are some of others that were gathered from a larger step. */
static void neighbours_make_no_difference(void **state) {
    (void)state;
    for (uint64_t draw = 0; draw < 20; draw++) {
        bool in_prompt[3 * TOKENS], marked[TOKENS];
        int32_t rows[TOKENS];
        for (uint64_t i = 0; i < 3 * TOKENS; i++)
            in_prompt[i] = rng_uniform(draw, 2, i) < 0.5;
        for (int32_t i = 0; i < TOKENS; i++) {
            rows[i] = 3 * i + (int32_t)(draw % 3);
            marked[i] = in_prompt[rows[i]];
        }
        run(marks, in_prompt, NULL, in_prompt);
        run(marks, in_prompt, rows, marked);
    }
}

/* Sixteen answers side by side, a prompt beside an answer, the short end of a prompt. */
static void prompts_are_long_spans_that_do_not_decode(void **state) {
    (void)state;
    static const int32_t tokens[16];
    struct step_span spans[19] = {{.phase = SPAN_PREFILL, .n_tokens = 16, .tokens = tokens},
                                  {.phase = SPAN_PREFILL, .n_tokens = 15, .tokens = tokens}};
    for (int i = 2; i < 19; i++)
        spans[i] = (struct step_span){.phase = SPAN_DECODE, .n_tokens = 1, .tokens = tokens};
    struct arena *memory;
    struct batch batch;
    assert_int_equal(arena_create("a test", &memory), STATUS_OK);
    assert_int_equal(batch_create(48, memory, &batch), STATUS_OK);
    batch_fill(&batch, &(struct step_plan){.n_spans = 19, .spans = spans}, BATCH_BLOCK_ROWS);
    assert_int_equal(batch.n_rows, 48);
    for (int32_t row = 0; row < 48; row++)
        assert_int_equal(batch.in_prompt[row], row < 16);
    arena_destroy(memory);
}

static void reproducible_numerics_do_not(void **state) {
    (void)state;
    bool all[TOKENS];
    memset(all, true, sizeof all);
    run(NULL, all, NULL, NULL);
}

static void count(void *argument) {
    ++*(int *)argument;
}

/* Who is called between pieces sees several tokens often, one token never, and changes nothing. */
static void others_get_a_turn_between_pieces(void **state) {
    (void)state;
    struct fixture f;
    float y[TOKENS * ROWS];
    int n_calls = 0;
    set_up(&f, NULL);
    linear_between(f.linear, count, &n_calls);
    const struct matrix f32 = {DTYPE_F32, ROWS, COLS, f.weights, 0};
    linear_input(f.linear, f.x, COLS, TOKENS, NULL);
    for (int tries = 0; n_calls == 0 && tries < 1000; tries++) { /* others may have taken all pieces */
        linear_run(f.linear, &(struct linear_product){&f32, y}, 1);
        check(&f, &f32, NULL, y);
    }
    assert_true(n_calls > 0);
    n_calls = 0;
    linear_input(f.linear, f.x, COLS, 1, NULL);
    linear_run(f.linear, &(struct linear_product){&f32, y}, 1);
    assert_int_equal(n_calls, 0);
    arena_destroy(f.memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_run_in_bf16),
        cmocka_unit_test(answers_do_not),
        cmocka_unit_test(neighbours_make_no_difference),
        cmocka_unit_test(prompts_are_long_spans_that_do_not_decode),
        cmocka_unit_test(reproducible_numerics_do_not),
        cmocka_unit_test(others_get_a_turn_between_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
