/* base/rng.h - Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC11): the same key and counter give the same number, whatever was drawn before.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; equal arguments give equal numbers everywhere. */
#pragma once

#include <stdint.h>

/* Four 32-bit words for the 64-bit key and the 128-bit counter. */
void rng_philox(uint64_t key, const uint32_t counter[4], uint32_t words_out[4]);

/* A double in [0, 1) with 53 random bits, the `index`-th of `stream` under `seed`. */
double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index);
