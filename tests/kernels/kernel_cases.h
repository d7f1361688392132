/* tests/kernels/kernel_cases.h - random inputs for the kernels, and how results are compared. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* A reproducible stream of random numbers. */
struct draw {
    uint64_t seed, index;
};

uint64_t draw_bits(struct draw *draw);
int64_t draw_between(struct draw *draw, int64_t low, int64_t high); /* both included */

/* What a random float looks like. */
enum flavour {
    FLAVOUR_PLAIN, /* evenly in [-1, 1) */
    FLAVOUR_WIDE, /* any exponent whose products stay finite, subnormals and zeros of both signs among them */
    FLAVOUR_SPECIAL, /* any bit pattern at all: infinities and NaNs too */
    FLAVOUR_COUNT
};

float draw_float(struct draw *draw, enum flavour flavour);
void draw_floats(struct draw *draw, enum flavour flavour, int64_t n, float *x);

/* n elements of `dtype`, n a multiple of its block. `data` needs no alignment. */
void draw_weights(struct draw *draw, enum flavour flavour, enum dtype dtype, int64_t n, uint8_t *data);

/* The types whose rows the products of floats take: those before this one. */
#define FLOAT_DTYPES DTYPE_Q8_0

/* malloc that ends the test instead of failing. */
void *must_have(size_t bytes);

/* Fails with `what` and the place unless both hold the same bits, or both a NaN. */
void assert_same_bits(const float *expected, const float *actual, int64_t n, const char *what);

/* Vector sets that this machine has beside ref: levels 1 to this. */
int vector_levels(void);
