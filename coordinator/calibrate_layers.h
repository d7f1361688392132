/* coordinator/calibrate_layers.h - which layers should select, from how much their sets cover of the
 * attention of others.
 *
 * R[i, l] is what the set that layer i would choose covers at layer l (PROBE_MATRIX: recall or peak). With
 * select layers s1 < s2 < … the layers up to s1 and the select layers are dense, and a layer l between two of
 * them reads the set of the nearest before it. Given s1 and their number, the others that make the mean of R
 * over the layers that read a set largest are found by dynamic programming: what is best behind layer s
 * depends on s alone.
 *
 * Cost: O(n L^2).
 * Memory:  the caller's; a table while it runs.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include "base/status.h"
#include "cluster/engine.h"

/* R, of n_layers; what lies below the diagonal is not looked at. */
struct layer_shares {
    int32_t n_layers;
    const double *share; /* [n_layers, n_layers] means, 0 to 1 */
};

struct layer_choice {
    int32_t n;
    int32_t layers[ENGINE_MAX_SELECT_LAYERS]; /* ascending */
    double mean;                              /* mean over the layers that read a set; 1 where none does */
    int32_t n_dense;                          /* the other layers */
    int32_t worst_layer;                      /* where least is covered; -1: no layer reads a set */
    double worst;
};

/* Figures of given select layers. */
void layer_choice_judge(const struct layer_shares *shares, struct layer_choice *choice);

/* The best of n select layers, 1 … ENGINE_MAX_SELECT_LAYERS, the first of which is `first`; first + n <=
 * n_layers. Of equals the one with earlier layers. */
NODISCARD enum status layer_choice_best(const struct layer_shares *shares, int32_t first, int32_t n,
                                        struct layer_choice *choice_out);
