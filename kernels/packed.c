#include "kernels/packed.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "kernels/kernels_impl.h"
#include "kernels/packed_impl.h"
#include "kernels/super_block_impl.h"

/* ggml's blocks: an f16 scale, then the values. */
enum { SCALE_BYTES = 2, WORD_BYTES = 4 };

bool packed_dtype(enum dtype dtype) {
    return dtype_layout(dtype)->block_elements > 1;
}

int64_t matrix_held_cols(const struct matrix *matrix) {
    return dtype_round_up(matrix->dtype, matrix->first_col + matrix->cols);
}

int64_t packed_panels(int64_t rows) {
    return (rows + PACKED_ROWS - 1) / PACKED_ROWS;
}

size_t packed_panel_bytes(enum dtype dtype, int64_t cols) {
    CHECK(packed_dtype(dtype));
    return PACKED_ROWS * dtype_bytes(dtype, cols);
}

/* A q8_0 block's word g with every byte's sign flipped: weight + 128. */
static void pack_q8_0(const uint8_t *block, uint8_t *words) {
    for (int g = 0; g < QUANT_BLOCK / 4; g++) {
        uint32_t word;
        memcpy(&word, block + SCALE_BYTES + g * WORD_BYTES, sizeof word);
        word ^= 0x80808080u;
        memcpy(words + (size_t)g * PACKED_ROWS * WORD_BYTES, &word, sizeof word);
    }
}

/* ggml's byte j holds columns j and j + 16 already. */
static void pack_q4_0(const uint8_t *block, uint8_t *words) {
    for (int g = 0; g < QUANT_BLOCK / 8; g++)
        memcpy(words + (size_t)g * PACKED_ROWS * WORD_BYTES, block + SCALE_BYTES + g * WORD_BYTES,
               WORD_BYTES);
}

static void pack_block(enum dtype dtype, const uint8_t *block, int64_t row, uint8_t *record) {
    if (packed_super_blocks(dtype)) {
        super_block_pack(dtype, block, row, record);
        return;
    }
    memcpy(record + row * SCALE_BYTES, block, SCALE_BYTES);
    uint8_t *words = record + PACKED_SCALE_BYTES + row * WORD_BYTES;
    if (dtype == DTYPE_Q8_0)
        pack_q8_0(block, words);
    else
        pack_q4_0(block, words);
}

void pack_panel(enum dtype dtype, const void *rows, size_t row_bytes, int64_t n_rows, int64_t cols,
                void *panel) {
    const size_t block_bytes = (size_t)dtype_layout(dtype)->block_bytes;
    const int64_t n_blocks = cols / dtype_layout(dtype)->block_elements;
    if (n_rows < PACKED_ROWS) memset(panel, 0, packed_panel_bytes(dtype, cols));
    uint8_t *record = panel;
    for (int64_t b = 0; b < n_blocks; b++, record += PACKED_ROWS * block_bytes)
        for (int64_t r = 0; r < n_rows; r++)
            pack_block(dtype, (const uint8_t *)rows + (size_t)r * row_bytes + (size_t)b * block_bytes, r,
                       record);
}

static float largest_by_magnitude(const float *x) {
    float largest = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        if (isnan(x[i])) return NAN;
        if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
    }
    return largest;
}

/* Writes the block's scale as f16; returns what to multiply its weights by, 0 where that is hopeless. */
static float begin_block(float scale, uint8_t *block) {
    const bool fits = fabsf(scale) < 65504;
    const uint16_t half = f16_of_float(fits ? scale : NAN);
    memcpy(block, &half, sizeof half);
    return fits && fabsf(scale) >= QUANT_MIN ? 1 / scale : 0;
}

static void quantize_q8_0(const float *x, uint8_t *block) {
    const float inverse = begin_block(fabsf(largest_by_magnitude(x)) / 127, block);
    for (int i = 0; i < QUANT_BLOCK; i++)
        block[SCALE_BYTES + i] = inverse != 0 ? (uint8_t)lrintf(x[i] * inverse) : 0;
}

/* At most 8 in magnitude come in, so the level is from 0 on; 16 would be the largest weight's mirror image.
 */
static uint8_t nibble_of(float x, float inverse) {
    const float level = x * inverse + 8.5f;
    return inverse == 0 ? 8 : level < 15 ? (uint8_t)level : 15;
}

static void quantize_q4_0(const float *x, uint8_t *block) {
    const float inverse = begin_block(largest_by_magnitude(x) / -8, block);
    for (int i = 0; i < QUANT_BLOCK / 2; i++)
        block[SCALE_BYTES + i] =
            (uint8_t)(nibble_of(x[i], inverse) | nibble_of(x[i + QUANT_BLOCK / 2], inverse) << 4);
}

void quantize_weights(const float *x, int64_t n, enum dtype dtype, void *blocks) {
    CHECK((dtype == DTYPE_Q8_0 || dtype == DTYPE_Q4_0) && n % QUANT_BLOCK == 0);
    uint8_t *block = blocks;
    for (int64_t i = 0; i < n; i += QUANT_BLOCK, block += dtype_layout(dtype)->block_bytes)
        if (dtype == DTYPE_Q8_0)
            quantize_q8_0(x + i, block);
        else
            quantize_q4_0(x + i, block);
}
