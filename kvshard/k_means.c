/* Cost: an iteration is n_vectors x n_centroids x dim multiply-adds, as a product of matrices. */
#include "kvshard/k_means_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

enum status k_means_create(struct arena *memory, const struct kernels *kernels, int64_t dim,
                           int64_t max_vectors, int64_t max_centroids, struct k_means *k_means_out) {
    struct k_means k_means = {
        .kernels = kernels, .dim = dim, .max_vectors = max_vectors, .max_centroids = max_centroids};
    CHECK(max_vectors % 16 == 0);
    TRY(ARENA_TAKE(memory, (size_t)(max_vectors * dim), &k_means.columns));
    TRY(ARENA_TAKE(memory, (size_t)(max_vectors * max_centroids), &k_means.products));
    TRY(ARENA_TAKE(memory, (size_t)max_vectors, &k_means.nearness));
    TRY(ARENA_TAKE(memory, (size_t)(max_centroids * dim), &k_means.sums));
    TRY(ARENA_TAKE(memory, (size_t)max_vectors, &k_means.rows));
    TRY(ARENA_TAKE(memory, (size_t)max_vectors, &k_means.before));
    TRY(ARENA_TAKE(memory, (size_t)max_vectors, &k_means.nearest));
    TRY(ARENA_TAKE(memory, (size_t)max_centroids, &k_means.counts));
    *k_means_out = k_means;
    return STATUS_OK;
}

/* The middle one of each equal part. */
static void place_centroids(const struct k_means *k_means, const float *vectors, int64_t n_vectors,
                            int64_t n_centroids, float *centroids) {
    for (int64_t j = 0; j < n_centroids; j++) {
        const int64_t middle = (2 * j + 1) * n_vectors / (2 * n_centroids);
        memcpy(centroids + j * k_means->dim, vectors + middle * k_means->dim,
               (size_t)k_means->dim * sizeof *centroids);
    }
}

static void turn_vectors(const struct k_means *k_means, const float *vectors, int64_t n_vectors) {
    for (int64_t i = 0; i < n_vectors; i++)
        k_means->rows[i] = vectors + i * k_means->dim;
    k_means->kernels->turn_keys(k_means->rows, DTYPE_F32, n_vectors, k_means->dim, k_means->columns);
}

/* Vectors that are nearer to the centroid than to those before it go over to it. The square of the distance
 * is |v|^2 - 2 (v.c - |c|^2 / 2), so nearness is what stands in the brackets. */
static void attract(const struct k_means *k_means, const float *centroid, int32_t number, int64_t n_vectors) {
    const void *const row = centroid;
    const float *products = k_means->products + number * k_means->max_vectors;
    float half_square;
    k_means->kernels->score(centroid, 1, &row, NULL, DTYPE_F32, 1, k_means->dim, 0.5f, &half_square, 1);
    for (int64_t i = 0; i < n_vectors; i++) {
        const float nearness = products[i] - half_square;
        const bool is_nearer = nearness > k_means->nearness[i];
        k_means->nearness[i] = is_nearer ? nearness : k_means->nearness[i];
        k_means->nearest[i] = is_nearer ? number : k_means->nearest[i];
    }
}

static void find_nearest(const struct k_means *k_means, const float *centroids, int64_t n_vectors,
                         int64_t n_centroids) {
    k_means->kernels->score_columns(centroids, n_centroids, k_means->columns, n_vectors, k_means->dim, 1,
                                    k_means->products, k_means->max_vectors);
    for (int64_t i = 0; i < n_vectors; i++) {
        k_means->nearness[i] = -INFINITY;
        k_means->nearest[i] = 0;
    }
    for (int32_t j = 0; j < n_centroids; j++)
        attract(k_means, centroids + j * k_means->dim, j, n_vectors);
}

static void move_centroids(const struct k_means *k_means, const float *vectors, int64_t n_vectors,
                           int64_t n_centroids, float *centroids) {
    const int64_t dim = k_means->dim;
    memset(k_means->sums, 0, (size_t)(n_centroids * dim) * sizeof *k_means->sums);
    memset(k_means->counts, 0, (size_t)n_centroids * sizeof *k_means->counts);
    for (int64_t i = 0; i < n_vectors; i++) {
        k_means->kernels->add(vectors + i * dim, dim, k_means->sums + k_means->nearest[i] * dim);
        k_means->counts[k_means->nearest[i]]++;
    }
    for (int64_t j = 0; j < n_centroids; j++)
        for (int64_t d = 0; d < dim && k_means->counts[j] > 0; d++)
            centroids[j * dim + d] = k_means->sums[j * dim + d] / (float)k_means->counts[j];
}

void k_means_run(const struct k_means *k_means, const float *vectors, int64_t n_vectors, int64_t n_centroids,
                 float *centroids_out) {
    CHECK(n_vectors <= k_means->max_vectors && n_centroids <= k_means->max_centroids);
    CHECK(n_centroids >= 1 && n_centroids <= n_vectors);
    const size_t bytes = (size_t)n_vectors * sizeof *k_means->nearest;
    turn_vectors(k_means, vectors, n_vectors);
    place_centroids(k_means, vectors, n_vectors, n_centroids, centroids_out);
    for (int iteration = 0; iteration < K_MEANS_ITERATIONS; iteration++) {
        find_nearest(k_means, centroids_out, n_vectors, n_centroids);
        if (iteration > 0 && memcmp(k_means->nearest, k_means->before, bytes) == 0) return;
        memcpy(k_means->before, k_means->nearest, bytes);
        move_centroids(k_means, vectors, n_vectors, n_centroids, centroids_out);
    }
}
