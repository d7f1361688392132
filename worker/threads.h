/* worker/threads.h - when the OpenMP threads of a rank are worth waking.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Is this much work more than waking the threads costs? For `#pragma omp parallel if(…)`. */
static inline bool threads_worthwhile(int64_t multiply_adds) {
    return multiply_adds >= 16384;
}
