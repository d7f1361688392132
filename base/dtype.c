#include "base/dtype.h"

#include "base/check.h"

const struct dtype_layout *dtype_layout(enum dtype dtype) {
    static const struct dtype_layout layouts[DTYPE_COUNT] = {
        [DTYPE_F32] = {"f32", 1, 4},       [DTYPE_F16] = {"f16", 1, 2},
        [DTYPE_BF16] = {"bf16", 1, 2},     [DTYPE_Q8_0] = {"q8_0", 32, 34},
        [DTYPE_Q4_0] = {"q4_0", 32, 18},   [DTYPE_Q4_K] = {"q4_k", 256, 144},
        [DTYPE_Q5_K] = {"q5_k", 256, 176}, [DTYPE_Q6_K] = {"q6_k", 256, 210},
    };
    CHECK(dtype >= 0 && dtype < DTYPE_COUNT);
    return &layouts[dtype];
}

size_t dtype_bytes(enum dtype dtype, int64_t n_elements) {
    const struct dtype_layout *layout = dtype_layout(dtype);
    CHECK(n_elements >= 0 && n_elements % layout->block_elements == 0);
    return (size_t)(n_elements / layout->block_elements) * (size_t)layout->block_bytes;
}

int64_t dtype_round_down(enum dtype dtype, int64_t n) {
    return n - n % dtype_layout(dtype)->block_elements;
}

int64_t dtype_round_up(enum dtype dtype, int64_t n) {
    return dtype_round_down(dtype, n + dtype_layout(dtype)->block_elements - 1);
}
