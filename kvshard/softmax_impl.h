/* kvshard/softmax_impl.h - scores become weights.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; the same bits on every machine. */
#pragma once

#include <stdint.h>

#include "kernels/kernels.h"

/* weights[i] = exp(score i) / sum of exp, n >= 1; weights_out may be scores. Broken scores cannot spread: NaN
 * counts as the least number, an infinity as the number next to it. Weights are 0 to 1, never NaN, never -0.
 */
void softmax_weights(const struct kernels *kernels, const float *scores, int64_t n, float *weights_out);
