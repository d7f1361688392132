/* tests/kernels/packed_cases.h - random matrices of packed weights, and the activations to multiply them
 * with. */
#pragma once

#include "tests/kernels/kernel_cases.h"

enum { N_PACKED_TYPES = 5 };
extern const enum dtype packed_types[N_PACKED_TYPES];

struct product_case {
    struct matrix w;
    uint8_t *blocks; /* the same in ggml's order: all columns that the matrix holds */
    struct q8_rows x;
    float *x_floats;
    int64_t n_tokens;
};

int64_t block_of(enum dtype dtype);

/* Weight i of a super-block, element by element. */
float k_weight(enum dtype dtype, const uint8_t *block, int i);

/* Rows of ggml's blocks as the kernels want them; free its data. */
struct matrix pack_blocks(enum dtype dtype, const uint8_t *blocks, int64_t rows, int64_t first_col,
                          int64_t cols);

struct q8_rows new_q8_rows(int64_t n, int64_t cols);
void free_q8_rows(struct q8_rows *rows);

/* Where a part begins in its first super-block. */
int64_t draw_first_col(struct draw *draw, enum dtype dtype);

struct product_case product_create(struct draw *draw, enum dtype dtype, enum flavour flavour, int64_t rows,
                                   int64_t first_col, int64_t cols, int64_t n_tokens);
void product_free(struct product_case *c);
