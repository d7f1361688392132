/* kernels/half_impl.h - the 16-bit floats in plain C: exact to f32, to nearest even from it. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t read_u16(const void *source) {
    uint16_t value;
    memcpy(&value, source, sizeof value);
    return value;
}

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_bf16(uint16_t half) {
    return float_of_bits((uint32_t)half << 16);
}

static inline float float_of_f16(uint16_t half) {
    const uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | fraction << 13);
    const float magnitude =
        exponent ? ldexpf((float)(1024 + fraction), (int)exponent - 25) : ldexpf((float)fraction, -24);
    return float_of_bits(sign | bits_of_float(magnitude));
}

static inline uint16_t bf16_of_float(float value) {
    const uint32_t bits = bits_of_float(value);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline uint16_t f16_of_float(float value) {
    const uint32_t sign = bits_of_float(value) >> 16 & 0x8000;
    const float magnitude = fabsf(value);
    if (isnan(value)) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 65520) return (uint16_t)(sign | 0x7c00); /* halfway to 2^16: rounds to inf */
    if (magnitude < 0x1p-14f) /* subnormal: count units of 2^-24; 1024 of them are the first normal */
        return (uint16_t)(sign | (uint32_t)rintf(magnitude * 0x1p24f));
    const uint32_t bits = bits_of_float(magnitude) - ((127u - 15u) << 23);
    return (uint16_t)(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13);
}
