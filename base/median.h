/* base/median.h - the middle one of measured times.
 *
 * Memory:  sorts the caller's values in place.
 * Threads: any.
 * Ranks:   local. */
#pragma once

/* The upper of the two where n is even; n >= 1. */
double median_of(double *values, int n);
