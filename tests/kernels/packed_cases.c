#include "tests/kernels/packed_cases.h"

#include <stdlib.h>

#include "kernels/packed_impl.h"

const enum dtype packed_types[N_PACKED_TYPES] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};

int64_t block_of(enum dtype dtype) {
    return dtype_layout(dtype)->block_elements;
}

/* The scales and mins of q4_k and q5_k, as eight numbers of 6 bits each in twelve bytes. */
static int six_bits_of(const uint8_t *packed, int i, bool min) {
    const int place = min ? i + 4 : i;
    if (i < 4) return packed[place] % 64;
    return (min ? packed[i + 4] / 16 : packed[i + 4] % 16) + packed[place - 4] / 64 * 16;
}

float k_weight(enum dtype dtype, const uint8_t *block, int i) {
    if (dtype == DTYPE_Q6_K) {
        const int half = i / 128, j = i % 128, byte = block[half * 64 + j % 64];
        const int high = block[128 + half * 32 + j % 32] / (1 << j / 32 * 2) % 4;
        const int value = (j < 64 ? byte % 16 : byte / 16) + 16 * high - 32;
        const float scale = float_of_f16(read_u16(block + 208)) * (float)(int8_t)block[192 + i / 16];
        return scale * (float)value;
    }
    const uint8_t *nibbles = block + (dtype == DTYPE_Q5_K ? 48 : 16);
    const int byte = nibbles[i / 64 * 32 + i % 32];
    int value = i % 64 < 32 ? byte % 16 : byte / 16;
    if (dtype == DTYPE_Q5_K) value += 16 * (block[16 + i % 32] / (1 << i / 32) % 2);
    const float scale = float_of_f16(read_u16(block)) * (float)six_bits_of(block + 4, i / 32, false);
    const float min = float_of_f16(read_u16(block + 2)) * (float)six_bits_of(block + 4, i / 32, true);
    return scale * (float)value - min;
}

struct matrix pack_blocks(enum dtype dtype, const uint8_t *blocks, int64_t rows, int64_t first_col,
                          int64_t cols) {
    struct matrix w = {dtype, rows, cols, NULL, first_col};
    const int64_t held = matrix_held_cols(&w);
    const size_t panel_bytes = packed_panel_bytes(dtype, held), row_bytes = dtype_bytes(dtype, held);
    uint8_t *panels = must_have((size_t)packed_panels(rows) * panel_bytes);
    for (int64_t p = 0; p < packed_panels(rows); p++) {
        const int64_t left = rows - p * PACKED_ROWS;
        pack_panel(dtype, blocks + (size_t)(p * PACKED_ROWS) * row_bytes, row_bytes,
                   left < PACKED_ROWS ? left : PACKED_ROWS, held, panels + (size_t)p * panel_bytes);
    }
    w.data = panels;
    return w;
}

struct q8_rows new_q8_rows(int64_t n, int64_t cols) {
    return (struct q8_rows){
        .cols = cols,
        .values = must_have((size_t)(n * cols)),
        .scales = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(float)),
        .minus_sums = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(int32_t)),
        .minus_half_sums = must_have((size_t)(n * cols / QUANT_BLOCK) * sizeof(int32_t)),
    };
}

void free_q8_rows(struct q8_rows *rows) {
    free(rows->values);
    free(rows->scales);
    free(rows->minus_sums);
    free(rows->minus_half_sums);
}

int64_t draw_first_col(struct draw *draw, enum dtype dtype) {
    return QUANT_BLOCK * draw_between(draw, 0, block_of(dtype) / QUANT_BLOCK - 1);
}

struct product_case product_create(struct draw *draw, enum dtype dtype, enum flavour flavour, int64_t rows,
                                   int64_t first_col, int64_t cols, int64_t n_tokens) {
    struct product_case c = {.n_tokens = n_tokens, .x = new_q8_rows(n_tokens, cols)};
    const struct matrix shape = {dtype, rows, cols, NULL, first_col};
    const int64_t held = matrix_held_cols(&shape);
    c.blocks = must_have(dtype_bytes(dtype, rows * held));
    draw_weights(draw, flavour, dtype, rows * held, c.blocks);
    c.w = pack_blocks(dtype, c.blocks, rows, first_col, cols);
    c.x_floats = must_have((size_t)(n_tokens * cols) * sizeof(float));
    draw_floats(draw, flavour, n_tokens * cols, c.x_floats);
    for (int64_t token = 0; token < n_tokens; token++)
        kernels_at_level(0)->quantize(c.x_floats + token * cols, token, &c.x);
    return c;
}

void product_free(struct product_case *c) {
    free((void *)(uintptr_t)c->w.data);
    free(c->blocks);
    free(c->x_floats);
    free_q8_rows(&c->x);
}
