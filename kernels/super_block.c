#include <string.h>

#include "kernels/half_impl.h"
#include "kernels/packed_impl.h"
#include "kernels/super_block_impl.h"

/* Eight scales and eight mins in twelve bytes: the first four of each whole, with the high bits of the others
 * above them, then the low bits of the others. */
static void read_scales(const uint8_t *packed, struct super_block *block) {
    for (int i = 0; i < 4; i++) {
        block->scales[i] = packed[i] & 63;
        block->mins[i] = packed[i + 4] & 63;
        block->scales[i + 4] = (uint8_t)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        block->mins[i + 4] = (uint8_t)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

/* Every 32 bytes hold 64 columns: the low nibbles, then the high ones. */
static void read_nibbles(const uint8_t *nibbles, uint8_t *values) {
    for (int i = 0; i < SUPER_BLOCK; i += 64, nibbles += 32)
        for (int j = 0; j < 32; j++) {
            values[i + j] = nibbles[j] & 15;
            values[i + 32 + j] = nibbles[j] >> 4;
        }
}

/* Bit b of byte j belongs to column 32 b + j. */
static void add_fifth_bits(const uint8_t *bits, uint8_t *values) {
    for (int b = 0; b < 8; b++)
        for (int j = 0; j < 32; j++)
            values[32 * b + j] |= (uint8_t)((bits[j] >> b & 1) << 4);
}

/* 64 bytes of nibbles and 32 of high bits hold 128 columns, of which four that are 32 apart share a byte of
 * bits. */
static void read_six_bits(const uint8_t *nibbles, const uint8_t *bits, uint8_t *values) {
    for (int i = 0; i < SUPER_BLOCK; i += 128, nibbles += 64, bits += 32)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int j = 0; j < 32; j++) {
                const int nibble = nibbles[quarter % 2 * 32 + j] >> quarter / 2 * 4 & 15;
                values[i + quarter * 32 + j] = (uint8_t)(nibble | (bits[j] >> quarter * 2 & 3) << 4);
            }
}

void super_block_read(enum dtype dtype, const uint8_t *source, struct super_block *block) {
    if (dtype == DTYPE_Q6_K) {
        read_six_bits(source, source + 128, block->values);
        memcpy(block->scales, source + 192, sizeof block->scales);
        block->d = read_u16(source + 208);
        return;
    }
    block->d = read_u16(source);
    block->min_d = read_u16(source + 2);
    read_scales(source + 4, block);
    read_nibbles(source + (dtype == DTYPE_Q5_K ? 48 : 16), block->values);
    if (dtype == DTYPE_Q5_K) add_fifth_bits(source + 16, block->values);
}

static void load_six_bits(const struct super_block *block, float *x) {
    const float d = float_of_f16(block->d);
    for (int i = 0; i < SUPER_BLOCK; i++) {
        const float scale = d * (float)(int8_t)block->scales[i / 16];
        x[i] = scale * (float)(block->values[i] - 32);
    }
}

static void load_with_mins(const struct super_block *block, float *x) {
    const float d = float_of_f16(block->d), min_d = float_of_f16(block->min_d);
    for (int i = 0; i < SUPER_BLOCK; i++) {
        const float scale = d * (float)block->scales[i / 32], min = min_d * (float)block->mins[i / 32];
        x[i] = scale * (float)block->values[i] - min;
    }
}

void super_blocks_load(enum dtype dtype, const uint8_t *source, int64_t n, float *x) {
    struct super_block block;
    for (int64_t i = 0; i < n; i += SUPER_BLOCK, source += dtype_layout(dtype)->block_bytes) {
        super_block_read(dtype, source, &block);
        if (dtype == DTYPE_Q6_K)
            load_six_bits(&block, x + i);
        else
            load_with_mins(&block, x + i);
    }
}

/* Of two blocks whose high bits share a byte, the second has the upper half. */
static void pack_scales(const struct super_block *block, int64_t row, uint8_t *record) {
    uint8_t *low = record + K_SCALES_LOW + row, *high = record + K_SCALES_HIGH + row;
    for (int b = 0; b < SUPER_BLOCK / QUANT_BLOCK; b++) {
        const int scale = block->scales[b], min = block->mins[b];
        const int top = (scale >> 4 | min >> 4 << 2) << b % 2 * 4;
        low[b * PACKED_ROWS] = (uint8_t)((scale & 15) | (min & 15) << 4);
        high[b / 2 * PACKED_ROWS] = (uint8_t)(b % 2 ? high[b / 2 * PACKED_ROWS] | top : top);
    }
}

/* Four values at once: no shift below moves a bit into the next byte. */
static uint32_t word_of(const uint8_t *values) {
    uint32_t word;
    memcpy(&word, values, sizeof word);
    return word;
}

/* A block's planes of high bits: of n bits each, so that 8 / n words of columns share a plane … */
static void pack_planes(const uint8_t *values, int n, uint8_t *planes) {
    for (int p = 0; p < n; p++, values += QUANT_BLOCK / n) {
        uint32_t plane = 0;
        for (int g = 0; g < 8 / n; g++)
            plane |= (word_of(values + 4 * g) >> 4 & 0x03030303) << g * n;
        memcpy(planes + p * PACKED_WORD_BYTES, &plane, sizeof plane);
    }
}

/* … and its four words of nibbles. */
static void pack_nibbles(const uint8_t *values, uint8_t *words) {
    for (int g = 0; g < 4; g++, values += 4) {
        const uint32_t low = word_of(values) & 0x0f0f0f0f;
        const uint32_t word = low | (word_of(values + QUANT_BLOCK / 2) & 0x0f0f0f0f) << 4;
        memcpy(words + g * PACKED_WORD_BYTES, &word, sizeof word);
    }
}

void super_block_pack(enum dtype dtype, const uint8_t *source, int64_t row, uint8_t *record) {
    struct super_block block;
    super_block_read(dtype, source, &block);
    memcpy(record + row * 2, &block.d, 2);
    if (dtype == DTYPE_Q6_K) {
        for (int i = 0; i < 16; i++)
            record[Q6_K_SCALES + i * PACKED_ROWS + row] = block.scales[i];
    } else {
        memcpy(record + PACKED_SCALE_BYTES + row * 2, &block.min_d, 2);
        pack_scales(&block, row, record);
    }
    const int n_planes = packed_high_bits(dtype);
    uint8_t *planes = record + packed_head_bytes(dtype) + row * 4;
    for (int i = 0; i < SUPER_BLOCK; i += QUANT_BLOCK, planes += packed_block_bytes(dtype)) {
        pack_planes(block.values + i, n_planes, planes);
        pack_nibbles(block.values + i, planes + n_planes * PACKED_WORD_BYTES);
    }
}
