/* tests/cluster/allreduce_terms.h - what each rank contributes to sums and minima in tests.
 *
 * Ranks: local; every rank knows every other's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Steele, Lea and Flood's SplitMix64: millions of terms are wanted. */
static inline uint64_t term_bits(uint64_t kind, int rank, size_t i) {
    uint64_t bits = (kind << 56 | (uint64_t)rank << 40 | i) * UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return bits ^ bits >> 31;
}

static inline int64_t term_i64(int rank, size_t i) {
    return (int64_t)(int32_t)term_bits(1, rank, i) * INT32_MAX / 64; /* 64 of them cannot overflow */
}

static inline float term_f32(int rank, size_t i) {
    return (float)((double)(term_bits(2, rank, i) >> 11) * 0x1p-52 - 1);
}

static inline uint32_t term_u32(int rank, size_t i) {
    const uint64_t bits = term_bits(3, rank, i);
    return (uint32_t)bits | (bits >> 32 & 1 ? UINT32_MAX : 0); /* half of them not proposed */
}
