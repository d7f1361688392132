/* kernels/packed_impl.h - single weights of a packed matrix, for the plain C that defines and tests. */
#pragma once

#include "kernels/half_impl.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"

enum { PACKED_SCALE_BYTES = PACKED_ROWS * 2 };

static inline const uint8_t *packed_record(const struct matrix *w, int64_t row, int64_t block) {
    const uint8_t *panel =
        (const uint8_t *)w->data + (size_t)(row / PACKED_ROWS) * packed_panel_bytes(w->dtype, w->cols);
    return panel + (size_t)block * packed_panel_bytes(w->dtype, QUANT_BLOCK);
}

static inline float packed_scale(const struct matrix *w, int64_t row, int64_t block) {
    return float_of_f16(read_u16(packed_record(w, row, block) + row % PACKED_ROWS * 2));
}

/* The integer that the scale multiplies. */
static inline int packed_value(const struct matrix *w, int64_t row, int64_t col) {
    const uint8_t *words =
        packed_record(w, row, col / QUANT_BLOCK) + PACKED_SCALE_BYTES + row % PACKED_ROWS * 4;
    const int64_t c = col % QUANT_BLOCK;
    if (w->dtype == DTYPE_Q8_0) return words[c / 4 * PACKED_ROWS * 4 + c % 4] - 128;
    const uint8_t byte = words[c % 16 / 4 * PACKED_ROWS * 4 + c % 4];
    return (c < 16 ? byte & 15 : byte >> 4) - 8;
}
