/* base/edit_distance.h - how far apart two words are, for "did you mean".
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and swaps of
 * neighbours, one each. Words over EDIT_DISTANCE_MAX_WORD bytes are infinitely far: SIZE_MAX. */
enum { EDIT_DISTANCE_MAX_WORD = 63 };
size_t edit_distance(const char *a, const char *b);

/* Is `b` near enough to `a` to be what was meant? At most one edit for every three bytes of the longer. */
bool edit_distance_is_near(const char *a, const char *b);
