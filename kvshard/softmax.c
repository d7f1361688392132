#include "kvshard/softmax_impl.h"

#include <float.h>

static float bounded(float score) {
    const float low = score > -FLT_MAX ? score : -FLT_MAX; /* NaN is not greater */
    return low < FLT_MAX ? low : FLT_MAX;
}

void softmax_weights(const struct kernels *kernels, const float *scores, int64_t n, float *weights_out) {
    float max, sum;
    for (int64_t i = 0; i < n; i++)
        weights_out[i] = bounded(scores[i]);
    kernels->exp_sum(weights_out, n, 1, &max, &sum);
    for (int64_t i = 0; i < n; i++)
        weights_out[i] -= max;
    kernels->exp(weights_out, n, weights_out);
    for (int64_t i = 0; i < n; i++)
        weights_out[i] /= sum;
}
