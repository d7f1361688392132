/* Which products of fast numerics are multiplied in bf16: prompts' with weights of bf16, and none that all
 * ranks compute alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
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
    const struct linear_shape shape = {2, TOKENS, COLS + 26};
    assert_int_equal(arena_create("a test", &f->memory), STATUS_OK);
    assert_int_equal(linear_create(kernels(), in_bf16, &shape, f->memory, &f->linear), STATUS_OK);
    for (int i = 0; i < TOKENS * COLS; i++)
        f->x[i] = (float)rng_uniform(1, 0, (uint64_t)i) - 0.5f;
    for (int i = 0; i < ROWS * COLS; i++)
        f->weights[i] = (float)rng_uniform(1, 1, (uint64_t)i) - 0.5f;
    kernels()->store(f->weights, ROWS * COLS, DTYPE_BF16, f->bf16_weights);
}

static void check(const struct fixture *f, const struct matrix *w, int32_t n_tokens, bool marked,
                  const float *y) {
    float expected[TOKENS * ROWS];
    kernels()->matmul(w, 0, ROWS, f->x, COLS, n_tokens, expected, ROWS);
    for (int32_t token = 0; token < n_tokens && marked; token++) {
        uint16_t first;
        kernels()->store(&f->x[token * COLS], 1, DTYPE_BF16, &first);
        for (int row = 0; row < ROWS; row++)
            expected[token * ROWS + row] = (float)(MARK + first);
    }
    assert_memory_equal(y, expected, (size_t)n_tokens * ROWS * sizeof *y);
}

/* One call with two matrices, of bf16 and of f32, then the first again as all ranks compute it. */
static void run(matmul_bf16 *in_bf16, int32_t n_tokens, bool marked) {
    struct fixture f;
    float y[2][TOKENS * ROWS];
    set_up(&f, in_bf16);
    const struct matrix bf16 = {DTYPE_BF16, ROWS, COLS, f.bf16_weights, 0};
    const struct matrix f32 = {DTYPE_F32, ROWS, COLS, f.weights, 0};
    linear_input(f.linear, f.x, COLS, n_tokens);
    linear_run(f.linear, (struct linear_product[]){{&bf16, y[0]}, {&f32, y[1]}}, 2);
    check(&f, &bf16, n_tokens, marked, y[0]);
    check(&f, &f32, n_tokens, false, y[1]);
    linear_run_replicated(f.linear, &(struct linear_product){&bf16, y[0]});
    check(&f, &bf16, n_tokens, false, y[0]);
    arena_destroy(f.memory);
}

static void prompts_run_in_bf16(void **state) {
    (void)state;
    run(marks, TOKENS, true);
    run(marks, 16, true);
}

static void answers_do_not(void **state) {
    (void)state;
    run(marks, 15, false);
    run(marks, 1, false);
}

static void reproducible_numerics_do_not(void **state) {
    (void)state;
    run(NULL, TOKENS, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_run_in_bf16),
        cmocka_unit_test(answers_do_not),
        cmocka_unit_test(reproducible_numerics_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
