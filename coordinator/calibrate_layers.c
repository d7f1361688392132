#include "coordinator/calibrate_layers.h"

#include <stdlib.h>

#include "base/check.h"

static double share_at(const struct layer_shares *shares, int32_t chosen, int32_t read) {
    return shares->share[(int64_t)chosen * shares->n_layers + read];
}

void layer_choice_judge(const struct layer_shares *shares, struct layer_choice *choice) {
    CHECK(choice->n > 0);
    double sum = 0;
    int32_t n_reading = 0;
    choice->worst_layer = -1;
    choice->worst = 1;
    for (int32_t i = 0; i < choice->n; i++) {
        const int32_t end = i + 1 < choice->n ? choice->layers[i + 1] : shares->n_layers;
        for (int32_t layer = choice->layers[i] + 1; layer < end; layer++) {
            const double share = share_at(shares, choice->layers[i], layer);
            sum += share;
            n_reading++;
            if (choice->worst_layer >= 0 && share >= choice->worst) continue;
            choice->worst_layer = layer;
            choice->worst = share;
        }
    }
    choice->mean = n_reading > 0 ? sum / n_reading : 1;
    choice->n_dense = shares->n_layers - n_reading;
}

/* Entry [m, s]: the largest sum over the layers behind s, where s selects and m more do; and the next of
 * these. */
struct entry {
    double sum;
    int32_t next;
};

/* The row for m from the one for m - 1. The sets of s are read up to the next select layer e. */
static void fill_row(const struct layer_shares *shares, int32_t m, const struct entry *fewer,
                     struct entry *row) {
    const int32_t n_layers = shares->n_layers;
    for (int32_t s = 0; s < n_layers; s++) {
        row[s] = (struct entry){-1, -1}; /* impossible: too few layers are left */
        double read = 0;
        for (int32_t e = s + 1; e <= n_layers; read += e < n_layers ? share_at(shares, s, e) : 0, e++) {
            const bool possible = m > 0 ? e < n_layers && fewer[e].sum >= 0 : e == n_layers;
            if (!possible) continue;
            const double sum = read + (m > 0 ? fewer[e].sum : 0);
            if (sum > row[s].sum) row[s] = (struct entry){sum, e};
        }
    }
}

enum status layer_choice_best(const struct layer_shares *shares, int32_t first, int32_t n,
                              struct layer_choice *choice_out) {
    const int32_t n_layers = shares->n_layers;
    CHECK(n >= 1 && n <= ENGINE_MAX_SELECT_LAYERS && first >= 0 && first + n <= n_layers);
    struct entry *table = calloc((size_t)n * (size_t)n_layers, sizeof *table);
    if (!table) return FAIL(STATUS_NO_MEMORY, "out of memory to choose among %d layers", n_layers);
    for (int32_t m = 0; m < n; m++)
        fill_row(shares, m, m > 0 ? table + (int64_t)(m - 1) * n_layers : NULL,
                 table + (int64_t)m * n_layers);
    struct layer_choice choice = {.n = n, .layers = {first}};
    for (int32_t i = 1; i < n; i++)
        choice.layers[i] = table[(int64_t)(n - i) * n_layers + choice.layers[i - 1]].next;
    free(table);
    layer_choice_judge(shares, &choice);
    *choice_out = choice;
    return STATUS_OK;
}
