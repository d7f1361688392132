/* cluster/element_impl.h - what is added over ranks, and how it is written where it travels between hosts.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct element {
    size_t bytes;
    bool rounds; /* pack loses bits */

    /* out[i] := parts[0][first + i] + parts[1][first + i] + …, in this order, i < n <= ELEMENT_BLOCK; `out`
     * may be one of these places. For a minimum, the smallest of them. */
    void (*combine)(const void *const *parts, int n_parts, size_t first, size_t n, void *out);

    /* Writes n values as a message, of which it returns the bytes. Room: element_room. */
    size_t (*pack)(const void *values, size_t n, void *message);

    /* Turns such a message, of so many bytes, back into n values in the same place. */
    void (*unpack)(void *message, size_t message_bytes, size_t n);
};

enum { ELEMENT_BLOCK = 512 }; /* an accumulator stays in the first-level cache */

extern const struct element element_i64;
extern const struct element element_i64_narrow; /* travels in as few bytes as the largest needs */
extern const struct element element_f32;
extern const struct element element_f32_as_bf16; /* travels rounded, to nearest, ties to even */
extern const struct element element_u32_minimum;

/* Bytes where n values can be packed and unpacked; a multiple of the widest vector. */
size_t element_room(const struct element *element, size_t n);

/* Elements [first, first + n) of all parts to `out`. */
void element_combine(const struct element *element, const void *const *parts, int n_parts, size_t first,
                     size_t n, void *out);

/* The sum of n_parts parts, in place: *parts[0] in the end. Neighbours are added in pairs, and the sums of
 * pairs; where they are no power of two, the first few are paired before, so that they become one. The order
 * of recursive doubling, for everybody who shall have its bits (docs/numerics.md). Both change: parts and
 * what they point to. */
void element_add_as_tree(const struct element *element, void **parts, int n_parts, size_t n);

/* The largest power of two that is no larger; n >= 1. */
int element_power_of_two(int n);
