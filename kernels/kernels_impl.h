/* kernels/kernels_impl.h - the sets that kernels.c chooses from, and what is the same in all of them. */
#pragma once

#include "kernels/kernels.h"

/* Lanes of every sum; part of the definition of the results, whatever the machine's vectors are. */
enum { LANES = 16 };

extern const struct kernels kernels_ref;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;

/* Adds 16 lanes as the tree that kernels.h describes. The lanes are overwritten. */
static inline float lanes_sum(float lanes[LANES]) {
    for (int step = LANES / 2; step >= 1; step /= 2)
        for (int i = 0; i < step; i++)
            lanes[i] += lanes[i + step];
    return lanes[0];
}

/* The larger of two numbers; a NaN in `x` is passed over, as x86's maxps(x, max) does. */
static inline float max_of(float x, float max) {
    return x > max ? x : max;
}
