#include "cluster/element_impl.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { VECTOR_BYTES = 64 };

/* An integer's lowest bytes come first, so that the others can be left out. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "messages have the bytes of little-endian machines");

/* All parts of a block, in their order. COMBINED says what becomes of `sum` when `value` is added to it. */
#define DEFINE_COMBINE(NAME, TYPE, COMBINED)                                                                 \
    static void NAME(const void *const *parts, int n_parts, size_t first, size_t n, void *out) {             \
        TYPE sums[ELEMENT_BLOCK];                                                                            \
        memcpy(sums, (const TYPE *)parts[0] + first, n * sizeof *sums);                                      \
        for (int part = 1; part < n_parts; part++) {                                                         \
            const TYPE *values = (const TYPE *)parts[part] + first;                                          \
            for (size_t i = 0; i < n; i++) {                                                                 \
                const TYPE sum = sums[i], value = values[i];                                                 \
                sums[i] = COMBINED;                                                                          \
            }                                                                                                \
        }                                                                                                    \
        memcpy(out, sums, n * sizeof *sums);                                                                 \
    }

DEFINE_COMBINE(combine_i64, int64_t, sum + value)
DEFINE_COMBINE(combine_f32, float, sum + value)
DEFINE_COMBINE(combine_minimum, uint32_t, value < sum ? value : sum)

static size_t pack_i64(const void *values, size_t n, void *message) {
    memcpy(message, values, n * sizeof(int64_t));
    return n * sizeof(int64_t);
}

static size_t pack_32(const void *values, size_t n, void *message) {
    memcpy(message, values, n * sizeof(uint32_t));
    return n * sizeof(uint32_t);
}

static void unpack_nothing(void *message, size_t message_bytes, size_t n) {
    (void)message, (void)message_bytes, (void)n;
}

/* Bytes that hold each of the values with its sign; 1…8. */
static size_t narrowest(const int64_t *values, size_t n) {
    uint64_t used = 0;
    for (size_t i = 0; i < n; i++)
        used |= (uint64_t)(values[i] < 0 ? ~values[i] : values[i]);
    return used ? (size_t)(64 - __builtin_clzll(used)) / 8 + 1 : 1;
}

/* Each is stored whole, and what is too much of it overwritten by the next. */
static size_t pack_narrow(const void *values, size_t n, void *message) {
    const int64_t *from = values;
    const size_t width = narrowest(from, n);
    for (size_t i = 0; i < n; i++)
        memcpy((unsigned char *)message + i * width, &from[i], sizeof *from);
    return n * width;
}

/* From the last to the first: no value is overwritten before it is read. */
static void unpack_narrow(void *message, size_t message_bytes, size_t n) {
    if (n == 0) return;
    unsigned char *bytes = message;
    const size_t width = message_bytes / n, unused_bits = 64 - 8 * width;
    for (size_t i = n; i-- > 0;) {
        uint64_t raw;
        memcpy(&raw, bytes + i * width, sizeof raw);
        const int64_t value = (int64_t)(raw << unused_bits) >> unused_bits;
        memcpy(bytes + i * sizeof value, &value, sizeof value);
    }
}

static uint16_t bf16_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static size_t pack_bf16(const void *values, size_t n, void *message) {
    uint16_t *halves = message;
    for (size_t i = 0; i < n; i++)
        halves[i] = bf16_of_float(((const float *)values)[i]);
    return n * sizeof *halves;
}

static void unpack_bf16(void *message, size_t message_bytes, size_t n) {
    (void)message_bytes;
    unsigned char *bytes = message;
    for (size_t i = n; i-- > 0;) {
        uint16_t half;
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        const uint32_t whole = (uint32_t)half << 16;
        memcpy(bytes + i * sizeof whole, &whole, sizeof whole);
    }
}

const struct element element_i64 = {8, false, combine_i64, pack_i64, unpack_nothing};
const struct element element_i64_narrow = {8, false, combine_i64, pack_narrow, unpack_narrow};
const struct element element_f32 = {4, false, combine_f32, pack_32, unpack_nothing};
const struct element element_f32_as_bf16 = {4, true, combine_f32, pack_bf16, unpack_bf16};
const struct element element_u32_minimum = {4, false, combine_minimum, pack_32, unpack_nothing};

size_t element_room(const struct element *element, size_t n) {
    const size_t bytes = n * element->bytes + sizeof(int64_t); /* pack_narrow stores whole ones */
    return (bytes + VECTOR_BYTES - 1) / VECTOR_BYTES * VECTOR_BYTES;
}

void element_combine(const struct element *element, const void *const *parts, int n_parts, size_t first,
                     size_t n, void *out) {
    for (size_t done = 0; done < n; done += ELEMENT_BLOCK) {
        const size_t block = n - done < ELEMENT_BLOCK ? n - done : ELEMENT_BLOCK;
        element->combine(parts, n_parts, first + done, block, (unsigned char *)out + done * element->bytes);
    }
}

int element_power_of_two(int n) {
    int power = 1;
    while (power <= n / 2)
        power *= 2;
    return power;
}

void element_add_as_tree(const struct element *element, void **parts, int n_parts, size_t n) {
    while (n_parts > 1) {
        const int power = element_power_of_two(n_parts);
        const int n_sums = n_parts > power ? power : n_parts / 2, n_pairs = n_parts - n_sums;
        for (int i = 0; i < n_pairs; i++) {
            element_combine(element, (const void *[]){parts[2 * i], parts[2 * i + 1]}, 2, 0, n, parts[2 * i]);
            parts[i] = parts[2 * i];
        }
        for (int i = n_pairs; i < n_sums; i++)
            parts[i] = parts[i + n_pairs];
        n_parts = n_sums;
    }
}
