#include "coordinator/recall.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"

/* Of recalls, and of peaks. */
static size_t n_shares(const struct step_probe *seen) {
    return (size_t)seen->n_sets * (size_t)seen->n_layers;
}

static enum status create(struct recall *recall, const struct step_probe *seen) {
    const size_t n = n_shares(seen);
    double *memory = calloc(2 * n + (size_t)seen->n_layers, sizeof *memory);
    if (!memory) return FAIL(STATUS_NO_MEMORY, "out of memory for the recall of %d layers", seen->n_layers);
    recall->memory = memory;
    recall->seen = (struct step_probe){
        .n_layers = seen->n_layers,
        .n_sets = seen->n_sets,
        .recall = memory,
        .peak = memory + n,
        .sparse = memory + 2 * n,
    };
    return STATUS_OK;
}

static void add(const double *from, size_t n, double *to) {
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

enum status recall_add(struct recall *recall, const struct step_probe *seen) {
    if (!recall->memory) TRY(create(recall, seen));
    CHECK(recall->seen.n_layers == seen->n_layers && recall->seen.n_sets == seen->n_sets);
    const size_t n = n_shares(seen);
    recall->seen.n_steps += seen->n_steps;
    add(seen->recall, n, recall->memory);
    add(seen->peak, n, recall->memory + n);
    add(seen->sparse, (size_t)seen->n_layers, recall->memory + 2 * n);
    return STATUS_OK;
}

enum status recall_take(struct recall *recall, const struct engine *engine, int32_t slot) {
    if (!engine->probe) return STATUS_OK;
    const struct step_probe *seen;
    TRY(engine->probe(engine->self, slot, &seen));
    return recall_add(recall, seen);
}

void recall_free(struct recall *recall) {
    free(recall->memory);
    *recall = (struct recall){0};
}

static double mean_of_layer(const struct recall *recall, const double *shares, int32_t layer) {
    const int64_t n = recall->seen.n_steps;
    return n > 0 ? shares[layer] / (double)n : NAN;
}

double recall_of_layer(const struct recall *recall, int32_t layer) {
    return mean_of_layer(recall, recall->seen.recall, layer);
}

double recall_of_all_layers(const struct recall *recall) {
    double sum = 0;
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        sum += recall_of_layer(recall, layer);
    return recall->seen.n_steps > 0 ? sum / recall->seen.n_layers : NAN;
}

/* Every other reading counts exactly 1. */
static double mean_of_sets(const struct recall *recall, const double *shares) {
    const struct step_probe *seen = &recall->seen;
    double sum = 0, n = 0;
    for (int32_t layer = 0; layer < seen->n_layers; layer++) {
        const double dense = (double)seen->n_steps - seen->sparse[layer];
        sum += shares[layer] - dense;
        n += seen->sparse[layer];
    }
    return n > 0 ? sum / n : NAN;
}

double recall_of_sets(const struct recall *recall) {
    return mean_of_sets(recall, recall->seen.recall);
}

double recall_peak_of_sets(const struct recall *recall) {
    return mean_of_sets(recall, recall->seen.peak);
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *layers_json(const struct recall *recall, const double *shares) {
    json_t *layers = json_array();
    int failed = !layers;
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        failed |= json_array_append_new(layers, number(mean_of_layer(recall, shares, layer)));
    if (!failed) return layers;
    json_decref(layers);
    return NULL;
}

json_t *recall_json(const struct recall *recall) {
    const struct step_probe *seen = &recall->seen;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "steps", (json_int_t)seen->n_steps, "layers",
                     layers_json(recall, seen->recall), "mean", number(recall_of_all_layers(recall)), "sets",
                     number(recall_of_sets(recall)), "peaks", layers_json(recall, seen->peak), "peak",
                     number(recall_peak_of_sets(recall)));
}

enum status recall_line(const struct recall *recall, struct bytes *text) {
    if (recall->seen.n_steps == 0) return bytes_append_text(text, "recall: nothing was decoded");
    TRY(bytes_printf(text, "recall %.4f", recall_of_all_layers(recall)));
    if (isfinite(recall_of_sets(recall)))
        TRY(bytes_printf(text, " · where a set was read %.4f, peak %.4f", recall_of_sets(recall),
                         recall_peak_of_sets(recall)));
    TRY(bytes_append_text(text, " · by layer"));
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        TRY(bytes_printf(text, " %.4f", recall_of_layer(recall, layer)));
    return STATUS_OK;
}
