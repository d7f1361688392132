#include "modelfile/held_dtype.h"

#include <stdbool.h>

static double bytes_per_weight(enum dtype dtype) {
    const struct dtype_layout *layout = dtype_layout(dtype);
    return (double)layout->block_bytes / layout->block_elements;
}

/* Super-blocks are held whole around the part that is used, which may begin at any of their blocks. */
enum { CUT_ELEMENTS = 32 };

static bool fits(enum dtype dtype, int64_t column_unit) {
    const int block = dtype_layout(dtype)->block_elements;
    return column_unit % (block < CUT_ELEMENTS ? block : CUT_ELEMENTS) == 0;
}

enum dtype held_dtype(enum tensor_role role, enum dtype stored, enum dtype wanted, int64_t cols,
                      int64_t column_unit) {
    if (wanted != DTYPE_COUNT && role != TENSOR_ROUTER) {
        const enum dtype target = role == TENSOR_OUTPUT ? DTYPE_Q8_0 : wanted;
        if (fits(target, column_unit) && fits(target, cols) &&
            bytes_per_weight(target) < bytes_per_weight(stored))
            return target;
    }
    return fits(stored, column_unit) ? stored : DTYPE_F32;
}

int64_t held_bytes(enum dtype held, int64_t rows, int64_t col_begin, int64_t col_end) {
    const int64_t panel = dtype_layout(held)->block_elements > 1 ? HELD_PANEL_ROWS : 1;
    const int64_t cols = dtype_round_up(held, col_end) - dtype_round_down(held, col_begin);
    return (rows + panel - 1) / panel * panel * (int64_t)dtype_bytes(held, cols);
}
