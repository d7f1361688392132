/* cluster/shares.h - uneven ranks: how much each gets of what is dealt.
 *
 * A share is a whole number that counts only beside the others': 3,2,1 gives the first rank half. Blocks are
 * dealt whole, so a rank has its part to one block more or less, and never leaves its place in the order.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local arithmetic; the same on every rank that has the same shares. */
#pragma once

#include <stdint.h>

#include "base/status.h"

enum { SHARES_MAX_RANKS = 1024, SHARES_LARGEST = 1000000 };

struct shares {
    int32_t n; /* ranks; 0: all alike */
    int32_t of[SHARES_MAX_RANKS];
};

/* "3,2,1" from 1 to SHARES_LARGEST each; anything else: STATUS_BAD_INPUT. */
NODISCARD enum status shares_parse(const char *text, struct shares *shares_out);

/* In proportion to what was measured, or all alike where all are within a tenth of their mean: a difference
 * that the next measurement would not show again. rates [n], above 0; more than SHARES_MAX_RANKS: alike. */
struct shares shares_from_rates(const double *rates, int32_t n);

/* The first of the blocks dealt to `rank` of ranks [begin, end), and where end's would begin, all of them.
 * Each gets at least `least` blocks, of which there must be enough. shares->n > 0. */
int64_t shares_first_block(const struct shares *shares, int32_t begin, int32_t end, int32_t rank,
                           int64_t n_blocks, int64_t least);
