#include "coordinator/calibrate_report.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "coordinator/calibrate_sample.h"
#include "coordinator/json_print.h"

enum { BAR_CELLS = 32, PATH_SHOWN = 512 };

/* From 0 to 1, to an eighth of a cell. */
static enum status append_bar(double share, struct bytes *text) {
    static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int eighths = (int)lround(share * BAR_CELLS * 8);
    for (int i = 0; i < eighths / 8; i++)
        TRY(bytes_append_text(text, "█"));
    return bytes_append_text(text, parts[eighths % 8]);
}

static enum status append_layers(const struct layer_choice *choice, const char *separator,
                                 struct bytes *text) {
    for (int32_t i = 0; i < choice->n; i++)
        TRY(bytes_printf(text, "%s%d", i ? separator : "", choice->layers[i]));
    return STATUS_OK;
}

/* One row: a name of its own width, a recall, a bar. */
static enum status append_row(const char *name, double recall, struct bytes *text) {
    TRY(bytes_printf(text, "  %-8s %.4f  ", name, recall));
    TRY(append_bar(recall, text));
    return bytes_append_text(text, "\n");
}

/* How the set of the first select layer fades. */
static enum status append_fading(const struct calibration *calibration, struct bytes *text) {
    const int32_t n_layers = calibration->recalls.n_layers, first = calibration->first;
    TRY(bytes_printf(text, "\nThe set that layer %d chooses, at the layers behind it:\n", first));
    for (int32_t layer = first + 1; layer < n_layers; layer++) {
        char name[16];
        snprintf(name, sizeof name, "%d", layer);
        TRY(append_row(name, calibration->recalls.recall[(int64_t)first * n_layers + layer], text));
    }
    return STATUS_OK;
}

/* Every candidate for one re-selection. */
static enum status append_candidates(const struct calibration *calibration, struct bytes *text) {
    TRY(bytes_append_text(text, "\nWith one layer more that selects, over the layers that read a set:\n"));
    for (int32_t layer = calibration->first + 1; layer + 1 < calibration->recalls.n_layers; layer++) {
        struct layer_choice choice = {.n = 2, .layers = {calibration->first, layer}};
        char name[32];
        layer_choice_judge(&calibration->recalls, &choice);
        snprintf(name, sizeof name, "%d,%d", calibration->first, layer);
        TRY(append_row(name, choice.recall, text));
    }
    return STATUS_OK;
}

static enum status append_choice(const struct calibration *calibration, int32_t i, struct bytes *text) {
    const struct layer_choice *choice = &calibration->choices[i];
    TRY(bytes_printf(text, "%s %d    %.4f  ", i == calibration->recommended ? "*" : " ", choice->n,
                     choice->recall));
    if (choice->worst_layer >= 0)
        TRY(bytes_printf(text, "%.4f at %-4d", choice->worst, choice->worst_layer));
    else
        TRY(bytes_printf(text, "%-14s", "-"));
    TRY(bytes_printf(text, "  %2d of %-2d  ", choice->n_dense, calibration->recalls.n_layers));
    TRY(append_layers(choice, ",", text));
    return bytes_append_text(text, "\n");
}

enum status calibrate_report_text(const struct calibration *calibration, struct bytes *text) {
    TRY(bytes_printf(
        text,
        "Recall: the share of dense attention that a set of %d tokens covers, over %lld decode steps.\n",
        calibration->config->budget, (long long)calibration->n_steps));
    TRY(append_fading(calibration, text));
    TRY(append_candidates(calibration, text));
    TRY(bytes_append_text(text, "\nThe best choice of so many layers that select:\n"
                                "  n    recall  lowest          dense     layers\n"));
    for (int32_t i = 0; i < calibration->n_choices; i++)
        TRY(append_choice(calibration, i, text));
    TRY(bytes_printf(text, "\n* the fewest within %g of the best: --select-layers ",
                     calibration->config->within));
    TRY(append_layers(&calibration->choices[calibration->recommended], ",", text));
    return bytes_append_text(text, "\n");
}

/* NULL: out of memory, as with jansson's own. */
static json_t *choice_json(const struct layer_choice *choice) {
    json_t *layers = json_array();
    int failed = !layers;
    for (int32_t i = 0; i < choice->n; i++)
        failed |= json_array_append_new(layers, json_integer(choice->layers[i]));
    if (failed) {
        json_decref(layers);
        return NULL;
    }
    json_t *object = json_pack("{s:o, s:f, s:i}", "layers", layers, "recall", choice->recall, "dense_layers",
                               choice->n_dense);
    if (object && choice->worst_layer >= 0)
        failed = json_object_set_new(object, "lowest", json_real(choice->worst)) |
                 json_object_set_new(object, "lowest_layer", json_integer(choice->worst_layer));
    if (!failed) return object;
    json_decref(object);
    return NULL;
}

/* [n_layers] rows of what each layer's set covers at every layer; null before it. */
static json_t *matrix_json(const struct layer_recalls *recalls) {
    json_t *matrix = json_array();
    int failed = !matrix;
    for (int32_t chosen = 0; chosen < recalls->n_layers; chosen++) {
        json_t *row = json_array();
        for (int32_t read = 0; read < recalls->n_layers; read++)
            failed |= json_array_append_new(
                row, read < chosen ? json_null()
                                   : json_real(recalls->recall[(int64_t)chosen * recalls->n_layers + read]));
        failed |= json_array_append_new(matrix, row);
    }
    if (!failed) return matrix;
    json_decref(matrix);
    return NULL;
}

enum status calibrate_report_json(const struct calibration *calibration) {
    json_t *choices = json_array();
    for (int32_t i = 0; i < calibration->n_choices; i++)
        if (json_array_append_new(choices, choice_json(&calibration->choices[i])) != 0)
            return json_decref(choices), json_print(NULL, false);
    return json_print(json_pack("{s:i, s:I, s:I, s:o, s:o, s:o}", "budget", calibration->config->budget,
                                "steps", (json_int_t)calibration->n_steps, "texts",
                                (json_int_t)calibration->n_texts, "recommended",
                                choice_json(&calibration->choices[calibration->recommended]), "choices",
                                choices, "recall", matrix_json(&calibration->recalls)),
                      false);
}

static enum status append_source(const struct calibration *calibration, struct bytes *text) {
    const struct config *config = calibration->config;
    char shown[PATH_SHOWN];
    if (calibrate_sample_is_given(config))
        return bytes_printf(text, "%lld texts of %s", (long long)calibration->n_texts,
                            utf8_printable(config->input, strlen(config->input), sizeof shown, shown));
    return bytes_printf(text, "%lld answers of the model", (long long)calibration->n_texts);
}

enum status calibrate_report_yaml(const struct calibration *calibration, struct bytes *text) {
    const struct config *config = calibration->config;
    const struct layer_choice *choice = &calibration->choices[calibration->recommended];
    char shown[PATH_SHOWN];
    TRY(bytes_printf(
        text,
        "# By caucus calibrate, for %s: the layers that choose a set for those behind them.\n"
        "# With --budget %d --recent-ratio %g --sinks %d what is read covers %.4f of dense attention,\n"
        "# over %lld decode steps of ",
        utf8_printable(config->model, strlen(config->model), sizeof shown, shown), config->budget,
        config->recent_ratio, config->sinks, choice->recall, (long long)calibration->n_steps));
    TRY(append_source(calibration, text));
    TRY(bytes_printf(text, "; %d of %d layers are dense.\nselect-layers: [", choice->n_dense,
                     calibration->recalls.n_layers));
    TRY(append_layers(choice, ", ", text));
    return bytes_append_text(text, "]\n");
}
