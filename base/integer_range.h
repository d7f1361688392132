/* base/integer_range.h - "512", "1-4", "512-4096*2" or "0-100+25": some whole numbers in few characters, as
 * llama-bench writes them.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct integer_range {
    int64_t first, last; /* 0 <= first <= last */
    int64_t step;        /* added, at least 1, or */
    bool multiplies;     /* a factor, at least 2; first is at least 1 */
};

/* All of text [size]. False where it is none of the forms, or a number of it is above INT64_MAX. */
bool integer_range_parse(const char *text, size_t size, struct integer_range *range_out);

/* Moves *value, `first` at the beginning, to the next number; false where there is none. */
bool integer_range_next(const struct integer_range *range, int64_t *value);
