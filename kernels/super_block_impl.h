/* kernels/super_block_impl.h - ggml's K types, in plain C for all sets: a super-block of 256 columns at a
 * time.
 *
 *   q4_k  d f16, min_d f16, 12 bytes of scales and mins, 128 bytes of nibbles
 *   q5_k  the same with 32 bytes of fifth bits before the nibbles
 *   q6_k  128 bytes of nibbles, 64 of bits 4 and 5, 16 scales int8, d f16
 *
 *   q4_k, q5_k: weight = (d * scale) * value - min_d * min;
 *               8 scales and mins of 6 bits, for 32 columns each
 *
 *   q6_k:       weight = (d * scale) * (value - 32);
 *               16 scales, for 16 columns each
 *
 * All products are exact in f32, so a weight is rounded at most once, by the subtraction. */
#pragma once

#include <stdint.h>

#include "base/dtype.h"
#include "kernels/packed.h"

struct super_block {
    uint16_t d, min_d;  /* f16 */
    uint8_t scales[16]; /* of q6_k: int8 */
    uint8_t mins[8];
    uint8_t values[SUPER_BLOCK];
};

void super_block_read(enum dtype dtype, const uint8_t *source, struct super_block *block);

/* n weights, a multiple of SUPER_BLOCK. */
void super_blocks_load(enum dtype dtype, const uint8_t *source, int64_t n, float *x);

/* Row `row` of a packed record (kernels/packed.h). */
void super_block_pack(enum dtype dtype, const uint8_t *source, int64_t row, uint8_t *record);
