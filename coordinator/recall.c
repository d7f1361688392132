#include "coordinator/recall.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"

static size_t n_recalls(const struct step_probe *seen) {
    return (size_t)seen->n_sets * (size_t)seen->n_layers;
}

static enum status create(struct recall *recall, const struct step_probe *seen) {
    double *memory = calloc(n_recalls(seen) + (size_t)seen->n_layers, sizeof *memory);
    if (!memory) return FAIL(STATUS_NO_MEMORY, "out of memory for the recall of %d layers", seen->n_layers);
    recall->memory = memory;
    recall->seen = (struct step_probe){
        .n_layers = seen->n_layers,
        .n_sets = seen->n_sets,
        .recall = memory,
        .sparse = memory + n_recalls(seen),
    };
    return STATUS_OK;
}

enum status recall_add(struct recall *recall, const struct step_probe *seen) {
    if (!recall->memory) TRY(create(recall, seen));
    CHECK(recall->seen.n_layers == seen->n_layers && recall->seen.n_sets == seen->n_sets);
    const size_t n = n_recalls(seen);
    recall->seen.n_steps += seen->n_steps;
    for (size_t i = 0; i < n; i++)
        recall->memory[i] += seen->recall[i];
    for (size_t i = 0; i < (size_t)seen->n_layers; i++)
        recall->memory[n + i] += seen->sparse[i];
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

double recall_of_layer(const struct recall *recall, int32_t layer) {
    const struct step_probe *seen = &recall->seen;
    return seen->n_steps > 0 ? seen->recall[layer] / (double)seen->n_steps : NAN;
}

double recall_of_all_layers(const struct recall *recall) {
    double sum = 0;
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        sum += recall_of_layer(recall, layer);
    return recall->seen.n_steps > 0 ? sum / recall->seen.n_layers : NAN;
}

/* Every other reading covers exactly 1. */
double recall_of_sets(const struct recall *recall) {
    const struct step_probe *seen = &recall->seen;
    double covered = 0, n = 0;
    for (int32_t layer = 0; layer < seen->n_layers; layer++) {
        const double dense = (double)seen->n_steps - seen->sparse[layer];
        covered += seen->recall[layer] - dense;
        n += seen->sparse[layer];
    }
    return n > 0 ? covered / n : NAN;
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *recall_json(const struct recall *recall) {
    json_t *layers = json_array();
    int failed = !layers;
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        failed |= json_array_append_new(layers, number(recall_of_layer(recall, layer)));
    if (failed) {
        json_decref(layers);
        return NULL;
    }
    return json_pack("{s:I, s:o, s:o, s:o}", "steps", (json_int_t)recall->seen.n_steps, "layers", layers,
                     "mean", number(recall_of_all_layers(recall)), "sets", number(recall_of_sets(recall)));
}

enum status recall_line(const struct recall *recall, struct bytes *text) {
    if (recall->seen.n_steps == 0) return bytes_append_text(text, "recall: nothing was decoded");
    TRY(bytes_printf(text, "recall %.4f", recall_of_all_layers(recall)));
    if (isfinite(recall_of_sets(recall)))
        TRY(bytes_printf(text, " · where a set was read %.4f", recall_of_sets(recall)));
    TRY(bytes_append_text(text, " · by layer"));
    for (int32_t layer = 0; layer < recall->seen.n_layers; layer++)
        TRY(bytes_printf(text, " %.4f", recall_of_layer(recall, layer)));
    return STATUS_OK;
}
