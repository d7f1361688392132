/* base/fingerprint.h - FNV-1a, 64 bits (Fowler, Noll, Vo): tells contents apart, but not forgeries.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FINGERPRINT_BEGIN UINT64_C(0xcbf29ce484222325)

/* The fingerprint of what was there before and these bytes. */
static inline uint64_t fingerprint_add(uint64_t fingerprint, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        fingerprint = (fingerprint ^ bytes[i]) * UINT64_C(0x100000001b3);
    return fingerprint;
}
