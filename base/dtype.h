/* base/dtype.h - the element types of weights and KV pages.
 *
 * A quantised type stores a row as blocks of `block_elements` values in `block_bytes` bytes
 * (ggml's layouts: Q8_0 is f16 scale + 32 int8; Q4_0 is f16 scale + 16 bytes, low nibbles first; the K types
 * are super-blocks of 256 with a scale for every 32 or 16 of them, see kernels/super_block_impl.h).
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q8_0,
    DTYPE_Q4_0,
    DTYPE_Q4_K,
    DTYPE_Q5_K,
    DTYPE_Q6_K,
    DTYPE_COUNT
};

struct dtype_layout {
    const char *name;   /* "f32", …, as on the command line */
    int block_elements; /* 1 for the float types */
    int block_bytes;
};

const struct dtype_layout *dtype_layout(enum dtype dtype);

/* Bytes of `n_elements` consecutive values, a multiple of the block. */
size_t dtype_bytes(enum dtype dtype, int64_t n_elements);

/* The last multiple of the type's block up to n, and the first from n on. */
int64_t dtype_round_down(enum dtype dtype, int64_t n);
int64_t dtype_round_up(enum dtype dtype, int64_t n);
