/* base/build_sources.h - which sources this program was built from.
 *
 * Memory:  constant.
 * Threads: any.
 * Ranks:   local; the same on every rank, or they run different programs. */
#pragma once

/* "sources " and a hash of all of them, in hexadecimal; written by the build. */
extern const char build_sources[];
