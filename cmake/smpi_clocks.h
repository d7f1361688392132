/* cmake/smpi_clocks.h - the simulation's clock and naps in place of the system's, for every source of the
 * smpi preset. SimGrid's own smpi_helpers.h does more, but brings getopt.h and its struct option.
 *
 * Memory:  none.
 * Threads: main thread only.
 * Ranks:   local. */
#pragma once

#include <time.h>

int smpi_clock_gettime(clockid_t clock, struct timespec *now);
int smpi_nanosleep(const struct timespec *nap, struct timespec *left);

#define clock_gettime smpi_clock_gettime
#define nanosleep     smpi_nanosleep
