#include "kernel_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"

uint64_t draw_bits(struct draw *draw) {
    uint32_t words[4];
    const uint32_t counter[4] = {(uint32_t)draw->index, (uint32_t)(draw->index >> 32), 0, 0};
    draw->index++;
    rng_philox(draw->seed, counter, words);
    return (uint64_t)words[0] << 32 | words[1];
}

int64_t draw_between(struct draw *draw, int64_t low, int64_t high) {
    return low + (int64_t)(draw_bits(draw) % (uint64_t)(high - low + 1));
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float draw_float(struct draw *draw, enum flavour flavour) {
    const uint64_t bits = draw_bits(draw);
    if (flavour == FLAVOUR_PLAIN) return (float)(int32_t)bits * 0x1p-31f;
    const uint32_t kind = (uint32_t)(bits >> 32) % 16, sign = (uint32_t)bits & 0x80000000u;
    if (kind == 0) return float_of_bits(sign);
    if (kind == 1) return float_of_bits(sign | ((uint32_t)bits & 0x7fffff)); /* subnormal */
    if (flavour == FLAVOUR_SPECIAL)
        return kind == 2 ? float_of_bits(sign | 0x7f800000u) : float_of_bits((uint32_t)bits);
    const uint32_t exponent = 1 + (uint32_t)(bits >> 40) % 180; /* up to 2^53 */
    return float_of_bits(sign | exponent << 23 | ((uint32_t)bits & 0x7fffff));
}

void draw_floats(struct draw *draw, enum flavour flavour, int64_t n, float *x) {
    for (int64_t i = 0; i < n; i++)
        x[i] = draw_float(draw, flavour);
}

static uint16_t draw_half(struct draw *draw, enum flavour flavour, enum dtype dtype) {
    const uint64_t bits = draw_bits(draw);
    if (dtype == DTYPE_BF16) return (uint16_t)(bits_of_float(draw_float(draw, flavour)) >> 16);
    if (flavour == FLAVOUR_SPECIAL) return (uint16_t)bits;
    const uint32_t high = (uint32_t)(bits >> 32);
    const uint32_t exponent = flavour == FLAVOUR_PLAIN ? 8 + high % 7 : high % 31;
    return (uint16_t)((bits & 0x83ff) | exponent << 10);
}

/* Scales of a block, or the value itself. */
static int n_halves(enum dtype dtype) {
    return dtype == DTYPE_Q4_K || dtype == DTYPE_Q5_K ? 2 : 1;
}

void draw_weights(struct draw *draw, enum flavour flavour, enum dtype dtype, int64_t n, uint8_t *data) {
    const struct dtype_layout *layout = dtype_layout(dtype);
    for (int64_t block = 0; block < n / layout->block_elements; block++, data += layout->block_bytes) {
        if (dtype == DTYPE_F32) {
            const float value = draw_float(draw, flavour);
            memcpy(data, &value, sizeof value);
            continue;
        }
        for (int i = 0; i < layout->block_bytes; i++)
            data[i] = (uint8_t)draw_bits(draw);
        for (int i = 0; i < n_halves(dtype); i++) {
            const uint16_t half = draw_half(draw, flavour, dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F16);
            memcpy(data + (dtype == DTYPE_Q6_K ? 208 : 2 * i), &half, sizeof half);
        }
    }
}

void *must_have(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

void assert_same_bits(const float *expected, const float *actual, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++) {
        if (bits_of_float(expected[i]) == bits_of_float(actual[i])) continue;
        if (isnan(expected[i]) && isnan(actual[i])) continue;
        fail_msg("%s: element %lld is %a, not %a", what, (long long)i, actual[i], expected[i]);
    }
}

int vector_levels(void) {
    return kernels_best_level();
}
