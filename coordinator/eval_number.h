/* coordinator/eval_number.h - numbers as answers are written, held exactly.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In lowest terms, denominator > 0: equal numbers are equal in both fields. */
struct eval_number {
    int64_t numerator;
    int64_t denominator;
};

/* The whole text as one number: 1000, 1,000.0, -.5, 1/2, \frac{-1}{2}, 1\frac{1}{2}. Without spaces, as
 * eval_canonical leaves it. False for anything else, and for what 64 bits do not hold. */
bool eval_number_parse(const char *text, size_t size, struct eval_number *number_out);
