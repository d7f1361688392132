#include "coordinator/calibrate_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

static const struct layer_shares *shares_of(const struct calibration *calibration) {
    return &calibration->shares[calibration->config->by];
}

/* A choice by the other measure, or the same. */
static struct layer_choice judged_by(const struct calibration *calibration, const struct layer_choice *choice,
                                     enum calibrate_by by) {
    struct layer_choice judged = *choice;
    layer_choice_judge(&calibration->shares[by], &judged);
    return judged;
}

static double share_at(const struct calibration *calibration, enum calibrate_by by, int32_t chosen,
                       int32_t read) {
    const struct layer_shares *shares = &calibration->shares[by];
    return shares->share[(int64_t)chosen * shares->n_layers + read];
}

/* Rows of a table, and how long the bars are. */
struct row {
    char name[24];
    double shares[CALIBRATE_MEASURES];
};

/* A bar shows what is missed by the measure that counts, beside the largest such. */
static enum status append_rows(const struct row *rows, int32_t n, enum calibrate_by by, struct bytes *text) {
    double most = 0;
    for (int32_t i = 0; i < n; i++)
        most = fmax(most, 1 - rows[i].shares[by]);
    for (int32_t i = 0; i < n; i++) {
        TRY(bytes_printf(text, "  %-8s %.4f  %.4f  ", rows[i].name, rows[i].shares[CALIBRATE_PEAK],
                         rows[i].shares[CALIBRATE_RECALL]));
        TRY(append_bar(most > 0 ? (1 - rows[i].shares[by]) / most : 0, text));
        TRY(bytes_append_text(text, "\n"));
    }
    return STATUS_OK;
}

/* How the set of the first select layer fades: at layer first + 1 + i. */
static struct row fading_row(const struct calibration *calibration, int32_t i) {
    const int32_t first = calibration->config->first_layer, layer = first + 1 + i;
    struct row row = {.shares = {share_at(calibration, CALIBRATE_PEAK, first, layer),
                                 share_at(calibration, CALIBRATE_RECALL, first, layer)}};
    snprintf(row.name, sizeof row.name, "%d", layer);
    return row;
}

/* A candidate for one re-selection: layer first + 1 + i. */
static struct row candidate_row(const struct calibration *calibration, int32_t i) {
    const int32_t first = calibration->config->first_layer, layer = first + 1 + i;
    const struct layer_choice choice = {.n = 2, .layers = {first, layer}};
    struct row row = {.shares = {judged_by(calibration, &choice, CALIBRATE_PEAK).mean,
                                 judged_by(calibration, &choice, CALIBRATE_RECALL).mean}};
    snprintf(row.name, sizeof row.name, "%d,%d", first, layer);
    return row;
}

static enum status append_table(const struct calibration *calibration,
                                struct row (*make)(const struct calibration *calibration, int32_t i),
                                struct bytes *text) {
    const int32_t n = shares_of(calibration)->n_layers - 1 - calibration->config->first_layer;
    struct row *rows = calloc((size_t)n, sizeof *rows);
    if (!rows) return FAIL(STATUS_NO_MEMORY, "out of memory for a table of %d rows", n);
    for (int32_t i = 0; i < n; i++)
        rows[i] = make(calibration, i);
    const enum status status = append_rows(rows, n, calibration->config->by, text);
    free(rows);
    return status;
}

static enum status append_choice(const struct calibration *calibration, int32_t i, struct bytes *text) {
    const struct layer_choice *choice = &calibration->choices[i];
    const struct layer_choice peak = judged_by(calibration, choice, CALIBRATE_PEAK),
                              recall = judged_by(calibration, choice, CALIBRATE_RECALL);
    TRY(bytes_printf(text, "%s %-2d  %.4f  ", i == calibration->recommended ? "*" : " ", choice->n,
                     peak.mean));
    TRY(bytes_printf(text, "%.4f at %-4d  %.4f  %2d of %-2d  ", peak.worst, peak.worst_layer, recall.mean,
                     choice->n_dense, shares_of(calibration)->n_layers));
    TRY(append_layers(choice, ",", text));
    return bytes_append_text(text, "\n");
}

enum status calibrate_report_text(const struct calibration *calibration, struct bytes *text) {
    const struct config *config = calibration->config;
    TRY(bytes_printf(
        text,
        "What a set of %d tokens covers of dense attention, over %lld decode steps.\n"
        "recall: the share that falls on it; peak: 1 less the largest share of a token outside.\n",
        config->budget, (long long)calibration->n_steps));
    TRY(bytes_printf(text,
                     "\nThe set that layer %d chooses, at the layers behind it; bars: what it misses\n"
                     "  layer    peak    recall\n",
                     config->first_layer));
    TRY(append_table(calibration, fading_row, text));
    TRY(bytes_append_text(text, "\nWith one layer more that selects, over the layers that read a set\n"
                                "  layers   peak    recall\n"));
    TRY(append_table(calibration, candidate_row, text));
    TRY(bytes_printf(text,
                     "\nThe best choice, by %s, of so many layers that select:\n"
                     "  n   peak    lowest          recall  dense     layers\n",
                     config->by == CALIBRATE_PEAK ? "peak" : "recall"));
    for (int32_t i = 0; i < calibration->n_choices; i++)
        TRY(append_choice(calibration, i, text));
    TRY(bytes_printf(text, "\n* the fewest within %g of the best: --select-layers ", config->within));
    TRY(append_layers(&calibration->choices[calibration->recommended], ",", text));
    return bytes_append_text(text, "\n");
}

/* Here and below NULL is out of memory, as with jansson's own. */
static json_t *choice_json(const struct calibration *calibration, const struct layer_choice *choice) {
    json_t *layers = json_array();
    int failed = !layers;
    for (int32_t i = 0; i < choice->n; i++)
        failed |= json_array_append_new(layers, json_integer(choice->layers[i]));
    if (failed) {
        json_decref(layers);
        return NULL;
    }
    const struct layer_choice peak = judged_by(calibration, choice, CALIBRATE_PEAK),
                              recall = judged_by(calibration, choice, CALIBRATE_RECALL);
    return json_pack("{s:o, s:f, s:f, s:f, s:f, s:i}", "layers", layers, "peak", peak.mean, "peak_lowest",
                     peak.worst, "recall", recall.mean, "recall_lowest", recall.worst, "dense_layers",
                     choice->n_dense);
}

static json_t *choices_json(const struct calibration *calibration) {
    json_t *choices = json_array();
    int failed = !choices;
    for (int32_t i = 0; i < calibration->n_choices; i++)
        failed |= json_array_append_new(choices, choice_json(calibration, &calibration->choices[i]));
    if (!failed) return choices;
    json_decref(choices);
    return NULL;
}

/* [n_layers] rows of what each layer's set covers at every layer; null before it. */
static json_t *matrix_json(const struct calibration *calibration, enum calibrate_by by) {
    const int32_t n_layers = calibration->shares[by].n_layers;
    json_t *matrix = json_array();
    int failed = !matrix;
    for (int32_t chosen = 0; chosen < n_layers; chosen++) {
        json_t *row = json_array();
        for (int32_t read = 0; read < n_layers; read++)
            failed |= json_array_append_new(
                row, read < chosen ? json_null() : json_real(share_at(calibration, by, chosen, read)));
        failed |= json_array_append_new(matrix, row);
    }
    if (!failed) return matrix;
    json_decref(matrix);
    return NULL;
}

enum status calibrate_report_json(const struct calibration *calibration) {
    return json_print(
        json_pack("{s:i, s:I, s:I, s:o, s:o, s:o, s:o}", "budget", calibration->config->budget, "steps",
                  (json_int_t)calibration->n_steps, "texts", (json_int_t)calibration->n_texts, "recommended",
                  choice_json(calibration, &calibration->choices[calibration->recommended]), "choices",
                  choices_json(calibration), "peak", matrix_json(calibration, CALIBRATE_PEAK), "recall",
                  matrix_json(calibration, CALIBRATE_RECALL)),
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
        "# With --budget %d --recent-ratio %g --sinks %d what is read covers %.4f of dense attention, "
        "peak %.4f,\n# over %lld decode steps of ",
        utf8_printable(config->model, strlen(config->model), sizeof shown, shown), config->budget,
        config->recent_ratio, config->sinks, judged_by(calibration, choice, CALIBRATE_RECALL).mean,
        judged_by(calibration, choice, CALIBRATE_PEAK).mean, (long long)calibration->n_steps));
    TRY(append_source(calibration, text));
    TRY(bytes_printf(text, "; %d of %d layers are dense.\nselect-layers: [", choice->n_dense,
                     shares_of(calibration)->n_layers));
    TRY(append_layers(choice, ", ", text));
    return bytes_append_text(text, "]\n");
}
