/* base/process_memory.h - what this process occupies.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

/* Bytes of this process that are in memory, shared ones included; 0 where the system does not say. */
int64_t process_resident_bytes(void);
