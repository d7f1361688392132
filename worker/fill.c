#include "worker/fill.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/rng.h"

enum { TABLE_VALUES = 1 << 16 }; /* a power of two: places in it are taken from the low bits of a hash */

/* The finaliser of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 14).
 */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* By Box and Muller, a pair at a time. */
static float *make_table(uint64_t seed, size_t n) {
    static const double two_pi = 6.283185307179586;
    float *table = malloc((n + 1) * sizeof *table);
    for (size_t i = 0; table && i < n; i += 2) {
        const double radius = sqrt(-2 * log1p(-rng_uniform(seed, 0, i)));
        const double angle = two_pi * rng_uniform(seed, 0, i + 1);
        table[i] = (float)(radius * cos(angle));
        table[i + 1] = (float)(radius * sin(angle));
    }
    return table;
}

static const float *row_at(const float *table, uint64_t stream, uint64_t row) {
    return table + mix(stream ^ row) % TABLE_VALUES;
}

enum status fill_kv_cache(struct kv_cache *cache, const struct fill_shape *shape,
                          const struct step_fill *fill) {
    float *table = make_table(fill->seed, TABLE_VALUES + (size_t)shape->head_dim);
    if (!table) return FAIL(STATUS_NO_MEMORY, "out of memory for random keys and values");
#pragma omp parallel for collapse(2)
    for (int32_t layer = 0; layer < shape->n_layers; layer++) {
        for (int32_t head = 0; head < shape->n_kv_heads_local; head++) {
            const uint64_t head_global = (uint64_t)(shape->first_kv_head + head);
            const uint64_t stream = mix(mix(mix(fill->seed) ^ (uint64_t)layer) ^ head_global);
            for (int64_t token = 0; token < fill->n_tokens; token++) {
                const float *key = row_at(table, stream, 2 * (uint64_t)token);
                kv_cache_append(cache, fill->slot, layer, head, token, key,
                                row_at(table, stream, 2 * (uint64_t)token + 1));
                if (shape->policy)
                    kv_policy_feed(shape->policy, omp_get_thread_num(), fill->slot, layer, token, key);
                probe_append(shape->probe, fill->slot, layer, head, token, key);
            }
            if (shape->heartbeat) heartbeat_count(shape->heartbeat);
        }
    }
    free(table);
    return STATUS_OK;
}
