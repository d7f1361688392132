#include "worker/rope.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586476925286766559;

/* Llama 3.1: long waves are slowed by `factor`, short ones kept, those between blended. */
static double llama3_frequency(const struct rope_spec *spec, double frequency) {
    const double wavelength = TWO_PI / frequency;
    if (wavelength < spec->original_context / spec->high_freq_factor) return frequency;
    if (wavelength > spec->original_context / spec->low_freq_factor) return frequency / spec->factor;
    const double smooth = (spec->original_context / wavelength - spec->low_freq_factor) /
                          (spec->high_freq_factor - spec->low_freq_factor);
    return (1 - smooth) * frequency / spec->factor + smooth * frequency;
}

/* YaRN (arXiv 2309.00071): the dimension at which a wave turns `rotations` times in the original context. */
static double yarn_dimension(const struct rope_spec *spec, int32_t head_dim, double rotations) {
    return head_dim * log(spec->original_context / (rotations * TWO_PI)) / (2 * log(spec->theta));
}

static double yarn_frequency(const struct rope_spec *spec, int32_t head_dim, int32_t pair, double frequency) {
    double low = yarn_dimension(spec, head_dim, spec->beta_fast);
    double high = yarn_dimension(spec, head_dim, spec->beta_slow);
    if (spec->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, head_dim - 1);
    if (low == high) high += 0.001; /* transformers' guard against a division by zero */
    const double ramp = fmin(fmax((pair - low) / (high - low), 0), 1);
    return frequency / spec->factor * ramp + frequency * (1 - ramp);
}

static double frequency_of(const struct rope_spec *spec, int32_t head_dim, int32_t pair) {
    const double plain = pow(spec->theta, -2.0 * pair / head_dim);
    switch (spec->scaling) {
    case ROPE_LINEAR:
        return plain / spec->factor;
    case ROPE_LLAMA3:
        return llama3_frequency(spec, plain);
    case ROPE_YARN:
        return yarn_frequency(spec, head_dim, pair, plain);
    case ROPE_PLAIN:
    case ROPE_FACTORS: /* the divisors do the rest */
        break;
    }
    return plain;
}

enum status rope_create(const struct rope_spec *spec, int32_t head_dim, const float *divisors,
                        struct arena *memory, struct rope *rope_out) {
    double *frequencies;
    TRY(ARENA_TAKE(memory, (size_t)head_dim / 2, &frequencies));
    for (int32_t pair = 0; pair < head_dim / 2; pair++) {
        frequencies[pair] = frequency_of(spec, head_dim, pair);
        if (divisors) frequencies[pair] /= (double)divisors[pair];
    }
    const double factor = spec->scaling == ROPE_YARN ? spec->attention_factor : 1;
    *rope_out = (struct rope){.head_dim = head_dim, .attention_factor = factor, .frequencies = frequencies};
    return STATUS_OK;
}

void rope_angles(const struct rope *rope, int64_t position, float *cos_sin) {
    const int32_t half = rope->head_dim / 2;
    for (int32_t pair = 0; pair < half; pair++) {
        const double angle = (double)position * rope->frequencies[pair];
        cos_sin[pair] = (float)(cos(angle) * rope->attention_factor);
        cos_sin[half + pair] = (float)(sin(angle) * rope->attention_factor);
    }
}
