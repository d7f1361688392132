/* kernels/simd_quant_block_impl.h - what a tile does with one block of columns: integer sums, then scales.
 *
 * n_tokens, n_panels and dtype are constants wherever these functions end up. */
#pragma once

#include "kernels/packed_impl.h"
#include "kernels/simd_target_impl.h"

/* One call: the same for all its tiles. */
struct quant_job {
    const struct matrix *w;
    const struct q8_rows *x;
    const struct target *target;
    int64_t row_end;
    int64_t n_blocks;         /* of a row */
    int64_t blocks_at_a_time; /* that make one product */
    int64_t first_block;      /* of the row, in the first record */
    size_t panel_bytes;
};

/* Where a block lies in the first panel of a tile. */
struct packed_block {
    const uint8_t *record;
    const uint8_t *words;
    size_t index; /* in the record */
};

INLINE struct packed_block packed_block_at(enum dtype dtype, const struct quant_job *job,
                                           const uint8_t *panel, int64_t b) {
    const size_t block = (size_t)(job->first_block + b), n = (size_t)packed_record_blocks(dtype);
    const uint8_t *record = panel + block / n * packed_record_bytes(dtype);
    const size_t index = block % n;
    return (struct packed_block){
        .record = record,
        .words = record + packed_head_bytes(dtype) + index * (size_t)packed_block_bytes(dtype),
        .index = index,
    };
}

/* Word g of the eight that a block has. */
INLINE bytes64 block_word(enum dtype dtype, const uint8_t *words, int g) {
    if (dtype == DTYPE_Q8_0) return b64_load(words + g * PACKED_WORD_BYTES);
    const int n = packed_high_bits(dtype);
    const bytes64 pair = b64_load(words + (n + g % 4) * PACKED_WORD_BYTES);
    const bytes64 nibbles = g < 4 ? b64_low_nibbles(pair) : b64_high_nibbles(pair);
    if (n == 0) return nibbles;
    const bytes64 plane = b64_load(words + g * n / 8 * PACKED_WORD_BYTES);
    return b64_with_bits(nibbles, plane, g * n % 8, n == 1 ? 0x10 : 0x30);
}

/* The start of a sum takes away what the values are stored too large by, for the token and block i. */
INLINE sums16 start_sum(enum dtype dtype, const struct q8_rows *x, int64_t i, int part) {
    switch (dtype) {
    case DTYPE_Q8_0:
        return s16_start_bytes(x->minus_sums + i);
    case DTYPE_Q4_0:
        return s16_start_nibbles(x->minus_sums + i);
    case DTYPE_Q6_K: {
        const int32_t first = x->minus_half_sums[i];
        return s16_set(32 * (part == 0 ? first : x->minus_sums[i] - first));
    }
    default: /* stored as they are */
        return s16_set(0);
    }
}

/* Columns that share a scale: a block, or one of its two parts. */
INLINE int block_parts(enum dtype dtype) {
    return QUANT_BLOCK / packed_scale_cols(dtype);
}

/* The integer sums of a part of block b. */
INLINE void part_sums(int n_tokens, int n_panels, enum dtype dtype, const struct quant_job *job,
                      const uint8_t *block_words, int64_t token, int64_t b, int part, sums16 *sums) {
    const struct q8_rows *x = job->x;
#pragma GCC unroll 8
    for (int i = 0; i < n_tokens * n_panels; i++)
        sums[i] = start_sum(dtype, x, (token + i / n_panels) * job->n_blocks + b, part);
    const int n_words = QUANT_BLOCK / 4 / block_parts(dtype);
#pragma GCC unroll 8
    for (int g = part * n_words; g < (part + 1) * n_words; g++) {
        bytes64 w[QUANT_PANELS];
#pragma GCC unroll 2
        for (int p = 0; p < n_panels; p++)
            w[p] = block_word(dtype, block_words + (size_t)p * job->panel_bytes, g);
#pragma GCC unroll 4
        for (int t = 0; t < n_tokens; t++) {
            const word16 four = w16_broadcast(x->values + (token + t) * x->cols + b * QUANT_BLOCK + g * 4);
#pragma GCC unroll 2
            for (int p = 0; p < n_panels; p++) {
                sums16 *sum = &sums[t * n_panels + p];
                *sum =
                    dtype == DTYPE_Q8_0 ? s16_add_bytes(*sum, w[p], four) : s16_add_nibbles(*sum, w[p], four);
            }
        }
    }
}

/* The scales of sixteen rows' parts; their mins, where the type has them. */
INLINE vec16 part_scales(enum dtype dtype, const struct packed_block *block, size_t panel, int part,
                         vec16 *mins) {
    const uint8_t *record = block->record + panel;
    const vec16 d = v16_load_f16(record);
    if (dtype == DTYPE_Q6_K)
        return v16_mul(d,
                       v16_load_i8(record + Q6_K_SCALES + (2 * block->index + (size_t)part) * PACKED_ROWS));
    if (!packed_has_mins(dtype)) return d;
    vec16 scales;
    v16_load_six_bits(record + K_SCALES_LOW + block->index * PACKED_ROWS,
                      record + K_SCALES_HIGH + block->index / 2 * PACKED_ROWS, (int)(block->index % 2) * 4,
                      &scales, mins);
    *mins = v16_mul(v16_load_f16(record + PACKED_SCALE_BYTES), *mins);
    return v16_mul(d, scales);
}

/* totals[t, p] += block b of the panel and those beside it. */
INLINE void tile_add_block(int n_tokens, int n_panels, enum dtype dtype, const struct quant_job *job,
                           const uint8_t *panel, int64_t token, int64_t b, vec16 *totals) {
    const struct packed_block block = packed_block_at(dtype, job, panel, b);
    sums16 sums[QUANT_TOKENS * QUANT_PANELS];
    vec16 mins[QUANT_PANELS];
#pragma GCC unroll 2
    for (int part = 0; part < block_parts(dtype); part++) {
        part_sums(n_tokens, n_panels, dtype, job, block.words, token, b, part, sums);
#pragma GCC unroll 2
        for (int p = 0; p < n_panels; p++) {
            const vec16 w_scale = part_scales(dtype, &block, (size_t)p * job->panel_bytes, part, &mins[p]);
#pragma GCC unroll 4
            for (int t = 0; t < n_tokens; t++) {
                const vec16 x_scale = v16_set(job->x->scales[(token + t) * job->n_blocks + b]);
                vec16 *total = &totals[t * n_panels + p];
                *total = v16_fma(s16_to_float(sums[t * n_panels + p]), v16_mul(w_scale, x_scale), *total);
            }
        }
    }
    if (!packed_has_mins(dtype)) return;
#pragma GCC unroll 4
    for (int t = 0; t < n_tokens; t++) {
        const int64_t i = (token + t) * job->n_blocks + b;
        const vec16 minus_sum = v16_set(job->x->scales[i] * (float)job->x->minus_sums[i]);
#pragma GCC unroll 2
        for (int p = 0; p < n_panels; p++)
            totals[t * n_panels + p] = v16_fma(mins[p], minus_sum, totals[t * n_panels + p]);
    }
}
