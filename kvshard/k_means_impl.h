/* kvshard/k_means_impl.h - groups vectors that lie close together (Lloyd 1957).
 *
 * Deterministic: it begins with evenly spaced vectors as centroids; a vector goes to the nearest centroid,
 * the lower one of a tie; a centroid becomes the mean of its vectors, added in ascending order; one without
 * vectors stays where it is. It ends after K_MEANS_ITERATIONS, or when nothing changes.
 *
 * Memory:  scratch is made once from an arena.
 * Threads: one at a time per scratch.
 * Ranks:   local; the same bits on every machine. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "kernels/kernels.h"

enum { K_MEANS_ITERATIONS = 10 };

struct k_means {
    const struct kernels *kernels;
    int64_t dim, max_vectors, max_centroids;
    float *columns;    /* the vectors turned on their side, [max_vectors / 16, dim, 16] */
    float *products;   /* [max_centroids, max_vectors] */
    float *nearness;   /* [max_vectors] of the nearest centroid so far */
    float *sums;       /* [max_centroids, dim] */
    const void **rows; /* [max_vectors] */
    int32_t *before;   /* [max_vectors] what `nearest` was an iteration ago */
    /* What came out of it. */
    int32_t *nearest; /* [n_vectors] */
    int32_t *counts;  /* [n_centroids] vectors of each */
};

/* max_vectors: a multiple of 16. */
NODISCARD enum status k_means_create(struct arena *memory, const struct kernels *kernels, int64_t dim,
                                     int64_t max_vectors, int64_t max_centroids, struct k_means *k_means_out);

/* vectors [n_vectors, dim], 1 <= n_centroids <= n_vectors; centroids_out [n_centroids, dim]. A NaN is near
 * nothing, and its vector goes to centroid 0. */
void k_means_run(const struct k_means *k_means, const float *vectors, int64_t n_vectors, int64_t n_centroids,
                 float *centroids_out);
