#include "kvshard/key_redundancy_impl.h"

#include <math.h>
#include <string.h>

#include "base/numbers.h"
#include "kvshard/softmax_impl.h"

enum { LANES = 16, ROWS_AT_ONCE = 128, COSINES_AT_ONCE = 16 };

#define ALIKE 0.5f

struct redundancy_scratch {
    float *keys;    /* [context_length, head_dim] of length 1 */
    float *columns; /* the same on their side, [context_length / 16, head_dim, 16] */
    float *cosines; /* [COSINES_AT_ONCE, stride of the list] */
};

/* Scores are written up to the next multiple of LANES. */
static int64_t stride_of(int64_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

enum status key_redundancy_create(const struct kv_policy_config *config, struct arena *memory,
                                  struct key_redundancy *redundancy_out) {
    struct key_redundancy redundancy = {
        .kernels = config->kernels, .cache = config->cache, .head_dim = config->head_dim};
    const size_t n = (size_t)stride_of(config->context_length), dim = (size_t)config->head_dim;
    TRY(ARENA_TAKE(memory, (size_t)config->n_threads, &redundancy.scratch));
    for (int32_t i = 0; i < config->n_threads; i++) {
        TRY(ARENA_TAKE(memory, n * dim, &redundancy.scratch[i].keys));
        TRY(ARENA_TAKE(memory, n * dim, &redundancy.scratch[i].columns));
        TRY(ARENA_TAKE(memory, n * COSINES_AT_ONCE, &redundancy.scratch[i].cosines));
    }
    *redundancy_out = redundancy;
    return STATUS_OK;
}

static void make_length_one(float *key, int64_t dim) {
    double square = 0;
    for (int64_t d = 0; d < dim; d++)
        square += (double)key[d] * key[d];
    const double length = sqrt(square);
    const bool has_direction = length > 0 && isfinite(length);
    for (int64_t d = 0; d < dim; d++)
        key[d] = has_direction ? (float)(key[d] / length) : 0;
}

/* The keys of entries [begin, begin + n), as rows and on their side; begin is a multiple of LANES. */
static void load_keys(const struct key_redundancy *redundancy, const struct key_list *list, int64_t begin,
                      int64_t n) {
    const struct redundancy_scratch *scratch = &redundancy->scratch[list->thread];
    const int64_t dim = redundancy->head_dim;
    const void *keys[ROWS_AT_ONCE], *values[ROWS_AT_ONCE];
    kv_cache_rows(redundancy->cache, list->slot, list->layer, list->kv_head,
                  list->rows ? list->rows + begin : NULL, begin, n, keys, values);
    for (int64_t i = 0; i < n; i++) {
        float *key = scratch->keys + (begin + i) * dim;
        redundancy->kernels->load(keys[i], kv_cache_dtype(redundancy->cache), dim, key);
        make_length_one(key, dim);
        keys[i] = key;
    }
    redundancy->kernels->turn_keys(keys, DTYPE_F32, n, dim, scratch->columns + begin * dim);
}

/* A key's cosines [n] with all, its own taken out, and that of the last one that is like it. */
static void forgive_last(float *cosines, int64_t n, int64_t own) {
    cosines[own] = 0;
    for (int64_t j = n - 1; j >= 0; j--)
        if (cosines[j] > ALIKE) {
            cosines[j] = 0;
            return;
        }
}

static void add_cosines(const struct key_redundancy *redundancy, const struct redundancy_scratch *scratch,
                        int64_t begin, int64_t n_rows, int64_t n, float *sums) {
    const int64_t dim = redundancy->head_dim, stride = stride_of(n);
    redundancy->kernels->score_columns(scratch->keys + begin * dim, n_rows, scratch->columns, n, dim, 1,
                                       scratch->cosines, stride);
    for (int64_t i = 0; i < n_rows; i++) {
        float *cosines = scratch->cosines + i * stride;
        forgive_last(cosines, n, begin + i);
        redundancy->kernels->add(cosines, n, sums);
    }
}

void key_redundancy_find(const struct key_redundancy *redundancy, const struct key_list *list,
                         float *redundancy_out) {
    const struct redundancy_scratch *scratch = &redundancy->scratch[list->thread];
    const int64_t n = list->n;
    for (int64_t i = 0; i < n; i += ROWS_AT_ONCE)
        load_keys(redundancy, list, i, smaller_i64(n - i, ROWS_AT_ONCE));
    memset(redundancy_out, 0, (size_t)n * sizeof *redundancy_out);
    for (int64_t i = 0; i < n; i += COSINES_AT_ONCE)
        add_cosines(redundancy, scratch, i, smaller_i64(n - i, COSINES_AT_ONCE), n, redundancy_out);
    for (int64_t i = 0; i < n; i++)
        redundancy_out[i] /= (float)n;
    softmax_weights(redundancy->kernels, redundancy_out, n, redundancy_out);
}
