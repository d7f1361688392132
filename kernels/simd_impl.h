/* kernels/simd_impl.h - the body of a vector set. A file includes its vec16 header, then this, with
 * KERNELS_TABLE and KERNELS_NAME defined; the functions are compiled with that file's flags. */
#pragma once

#include "kernels/elementwise_impl.h"
#include "kernels/simd_attend_impl.h"
#include "kernels/simd_columns_impl.h"
#include "kernels/simd_matmul_impl.h"
#include "kernels/simd_quantized_impl.h"
#include "kernels/simd_select_impl.h"
#include "kernels/simd_vector_impl.h"

const struct kernels KERNELS_TABLE = {
    .name = KERNELS_NAME,
    .matmul = matmul,
    .matmul_exact = matmul_exact,
    .quantize = quantize,
    .matmul_quantized = matmul_quantized,
    .matmul_quantized_exact = matmul_quantized_exact,
    .rms_norm = rms_norm,
    .rope = rope,
    .silu_mul = silu_mul,
    .add = add,
    .add_exact = add_exact,
    .score = score,
    .turn_keys = turn_keys,
    .score_columns = score_columns,
    .attend_chunk = attend_chunk,
    .attend_merge = attend_merge,
    .exp_sum = exp_sum,
    .exp = exp_all,
    .words_of_scores = words_of_scores,
    .words_at_most = words_at_most,
    .load = load,
    .store = store,
};
