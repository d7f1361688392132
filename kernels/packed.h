/* kernels/packed.h - quantised weights in the order in which the integer kernels read them.
 *
 * A matrix is cut into panels of PACKED_ROWS rows, the last filled up with zeros, and a panel into records of
 * one of ggml's blocks of each row, one after the other. Of QUANT_BLOCK columns:
 *   scale [PACKED_ROWS]   f16, of each row's block
 *   q8_0: word [8][PACKED_ROWS], word g of a row = its columns 4g … 4g + 3, each byte weight + 128
 *   q4_0: word [4][PACKED_ROWS], the low nibbles of word g = columns 4g …, the high ones = columns 16 + 4g …,
 *         each nibble weight + 8
 * Of SUPER_BLOCK columns (kernels/super_block_impl.h has the formula of a weight):
 *   q4_k, q5_k: d [PACKED_ROWS], min_d [PACKED_ROWS] f16
 *               [8][PACKED_ROWS] bytes, the low 4 bits of each block's scale, and of its min above them
 *               [4][PACKED_ROWS] bytes, for two blocks each: the high 2 bits of scale, min, scale, min
 *   q6_k:       d [PACKED_ROWS] f16, scale [16][PACKED_ROWS] int8
 *   then for each of its eight blocks of QUANT_BLOCK columns, in the order in which they are read
 *     q5_k: word [PACKED_ROWS], bit g of its byte k = the fifth bit of column 4g + k
 *     q6_k: word [2][PACKED_ROWS], bits 2g of byte k of word p = the high bits of column 16p + 4g + k
 *     word [4][PACKED_ROWS], nibbles as in q4_0
 * So sixteen rows advance together through memory that is read once, from end to end, in the same number of
 * bytes as ggml's blocks.
 *
 * Memory:  nothing is allocated.
 * Threads: pure; different panels may be packed at the same time.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

enum { QUANT_BLOCK = 32, SUPER_BLOCK = 256, PACKED_ROWS = 16 };

/* Is it a type that is held packed? */
bool packed_dtype(enum dtype dtype);

int64_t packed_panels(int64_t rows);
/* cols: whole blocks of the type, here and below. */
size_t packed_panel_bytes(enum dtype dtype, int64_t cols);

/* rows: n_rows <= PACKED_ROWS rows in ggml's blocks, row_bytes apart -> one panel. */
void pack_panel(enum dtype dtype, const void *rows, size_t row_bytes, int64_t n_rows, int64_t cols,
                void *panel);

/* x [n] -> ggml's blocks of q8_0 or q4_0: q8_0 with scale = max|x| / 127, rounded to nearest; q4_0 with scale
 * = (the x of the largest magnitude) / -8. A block with a NaN, or whose scale f16 cannot hold, gets NaN as
 * its scale. */
void quantize_weights(const float *x, int64_t n, enum dtype dtype, void *blocks);
