/* kernels/packed_impl.h - where things lie in a packed matrix, and single weights of it for the plain C that
 * defines and tests. Columns are the matrix's own, from 0. */
#pragma once

#include <stdbool.h>

#include "kernels/half_impl.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"

enum {
    PACKED_SCALE_BYTES = PACKED_ROWS * 2,
    PACKED_WORD_BYTES = PACKED_ROWS * 4,
    PACKED_NIBBLE_BYTES = 4 * PACKED_WORD_BYTES, /* of a block */

    /* In a record of super-blocks: scales and mins of q4_k and q5_k, scales of q6_k. */
    K_SCALES_LOW = 2 * PACKED_SCALE_BYTES,
    K_SCALES_HIGH = K_SCALES_LOW + 8 * PACKED_ROWS,
    K_WORDS = K_SCALES_HIGH + 4 * PACKED_ROWS,
    Q6_K_SCALES = PACKED_SCALE_BYTES,
    Q6_K_WORDS = Q6_K_SCALES + 16 * PACKED_ROWS,
};

static inline bool packed_super_blocks(enum dtype dtype) {
    return dtype == DTYPE_Q4_K || dtype == DTYPE_Q5_K || dtype == DTYPE_Q6_K;
}

static inline bool packed_has_mins(enum dtype dtype) {
    return dtype == DTYPE_Q4_K || dtype == DTYPE_Q5_K;
}

/* Bits of a value beyond its nibble. */
static inline int packed_high_bits(enum dtype dtype) {
    return dtype == DTYPE_Q5_K ? 1 : dtype == DTYPE_Q6_K ? 2 : 0;
}

/* A record is a head of scales, and blocks of words. */
static inline int packed_head_bytes(enum dtype dtype) {
    return dtype == DTYPE_Q6_K ? Q6_K_WORDS : packed_super_blocks(dtype) ? K_WORDS : PACKED_SCALE_BYTES;
}

static inline int packed_block_bytes(enum dtype dtype) {
    return dtype == DTYPE_Q8_0 ? 8 * PACKED_WORD_BYTES
                               : PACKED_NIBBLE_BYTES + packed_high_bits(dtype) * PACKED_WORD_BYTES;
}

static inline int packed_record_blocks(enum dtype dtype) {
    return packed_super_blocks(dtype) ? SUPER_BLOCK / QUANT_BLOCK : 1;
}

static inline size_t packed_record_bytes(enum dtype dtype) {
    return (size_t)(packed_head_bytes(dtype) + packed_record_blocks(dtype) * packed_block_bytes(dtype));
}

static inline size_t matrix_panel_bytes(const struct matrix *w) {
    return packed_panel_bytes(w->dtype, matrix_held_cols(w));
}

/* The record of a row's panel that holds a column. */
static inline const uint8_t *packed_record(const struct matrix *w, int64_t row, int64_t col) {
    const int64_t record_cols = packed_record_blocks(w->dtype) * QUANT_BLOCK;
    return (const uint8_t *)w->data + (size_t)(row / PACKED_ROWS) * matrix_panel_bytes(w) +
           (size_t)((w->first_col + col) / record_cols) * packed_record_bytes(w->dtype);
}

/* The column's block in its record. */
static inline int packed_block_of(const struct matrix *w, int64_t col) {
    return (int)((w->first_col + col) / QUANT_BLOCK % packed_record_blocks(w->dtype));
}

/* Columns that share a scale. */
static inline int packed_scale_cols(enum dtype dtype) {
    return dtype == DTYPE_Q6_K ? 16 : QUANT_BLOCK;
}

/* Six bits: a nibble of the low byte, and two bits of the high one from bit 4 * odd on. */
static inline int packed_six_bits(const uint8_t *record, int64_t r, int block, bool min) {
    const int low = record[K_SCALES_LOW + block * PACKED_ROWS + r] >> (min ? 4 : 0) & 15;
    const int high =
        record[K_SCALES_HIGH + block / 2 * PACKED_ROWS + r] >> (block % 2 * 4 + (min ? 2 : 0)) & 3;
    return low | high << 4;
}

static inline float packed_scale(const struct matrix *w, int64_t row, int64_t col) {
    const uint8_t *record = packed_record(w, row, col);
    const int64_t r = row % PACKED_ROWS;
    const float d = float_of_f16(read_u16(record + 2 * r));
    if (packed_has_mins(w->dtype))
        return d * (float)packed_six_bits(record, r, packed_block_of(w, col), false);
    if (w->dtype != DTYPE_Q6_K) return d;
    const int64_t sixteen = (w->first_col + col) % SUPER_BLOCK / 16;
    return d * (float)(int8_t)record[Q6_K_SCALES + sixteen * PACKED_ROWS + r];
}

/* What the weight is lowered by. */
static inline float packed_min(const struct matrix *w, int64_t row, int64_t col) {
    if (!packed_has_mins(w->dtype)) return 0;
    const uint8_t *record = packed_record(w, row, col);
    const int64_t r = row % PACKED_ROWS;
    const float min_d = float_of_f16(read_u16(record + PACKED_SCALE_BYTES + 2 * r));
    return min_d * (float)packed_six_bits(record, r, packed_block_of(w, col), true);
}

/* The integer that the scale multiplies. */
static inline int packed_value(const struct matrix *w, int64_t row, int64_t col) {
    const uint8_t *plane = packed_record(w, row, col) + packed_head_bytes(w->dtype) +
                           packed_block_of(w, col) * packed_block_bytes(w->dtype) + row % PACKED_ROWS * 4;
    const uint8_t *words = plane + packed_high_bits(w->dtype) * PACKED_WORD_BYTES;
    const int64_t c = col % QUANT_BLOCK;
    if (w->dtype == DTYPE_Q8_0) return words[c / 4 * PACKED_WORD_BYTES + c % 4] - 128;
    const uint8_t byte = words[c % 16 / 4 * PACKED_WORD_BYTES + c % 4];
    const int nibble = c < 16 ? byte & 15 : byte >> 4;
    switch (w->dtype) {
    case DTYPE_Q4_K:
        return nibble;
    case DTYPE_Q5_K:
        return nibble | (plane[c % 4] >> c / 4 & 1) << 4;
    case DTYPE_Q6_K:
        return (nibble | (plane[c / 16 * PACKED_WORD_BYTES + c % 4] >> c % 16 / 4 * 2 & 3) << 4) - 32;
    default:
        return nibble - 8;
    }
}
