/* `caucus calibrate`: which layers should choose the set, by how much of dense attention it covers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "coordinator/calibrate_report.h"
#include "coordinator/calibrate_sample.h"
#include "coordinator/commands.h"
#include "modelfile/model_file.h"

static bool writes_file(const struct config *config) {
    return config->output && strcmp(config->output, "-") != 0;
}

/* At least one layer is to read a set. */
static enum status check_layers(const struct config *config) {
    struct model_file *model;
    TRY(model_file_open(config->model, &model));
    const int32_t n_layers = model_file_spec(model)->n_layers;
    model_file_close(model);
    if (config->first_layer < n_layers - 1) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--first-layer %d leaves no layer to read what is chosen: the model has %d",
                config->first_layer, n_layers);
}

enum status command_calibrate_check(const struct config *config) {
    if (calibrate_sample_is_given(config) && config->prompts.n > 0)
        return FAIL(STATUS_BAD_INPUT, "--input and --prompt cannot be given together");
    if (calibrate_sample_is_given(config)) TRY(file_check_readable(config->input));
    if (writes_file(config)) TRY(file_check_writable(config->output));
    return check_layers(config);
}

/* Sums become means: peaks, then recalls. */
static double *means_of(const struct step_probe *seen) {
    const size_t n = (size_t)seen->n_layers * (size_t)seen->n_layers;
    double *means = calloc(2 * n, sizeof *means);
    for (size_t i = 0; means && i < n; i++) {
        means[i] = seen->peak[i] / (double)seen->n_steps;
        means[n + i] = seen->recall[i] / (double)seen->n_steps;
    }
    return means;
}

static enum status choose(struct calibration *calibration) {
    const struct config *config = calibration->config;
    const struct layer_shares *shares = &calibration->shares[config->by];
    const int32_t most = shares->n_layers - 1 - config->first_layer;
    calibration->n_choices = config->max_layers < most ? config->max_layers : most;
    double best = 0;
    for (int32_t i = 0; i < calibration->n_choices; i++) {
        struct layer_choice *choice = &calibration->choices[i];
        TRY(layer_choice_best(shares, config->first_layer, i + 1, choice));
        if (choice->mean > best) best = choice->mean;
    }
    while (calibration->choices[calibration->recommended].mean < best - config->within)
        calibration->recommended++;
    return STATUS_OK;
}

static enum status report(const struct calibration *calibration, struct bytes *text) {
    const struct config *config = calibration->config;
    if (config->json) {
        TRY(calibrate_report_json(calibration));
    } else {
        TRY(calibrate_report_text(calibration, text));
        if (fwrite(text->data, 1, text->size, stdout) != text->size)
            return FAIL(STATUS_IO, "cannot write the report: %s", strerror(errno));
    }
    if (fflush(stdout) != 0) return FAIL(STATUS_IO, "cannot write the report: %s", strerror(errno));
    if (!writes_file(config)) return STATUS_OK;
    bytes_clear(text);
    TRY(calibrate_report_yaml(calibration, text));
    return file_write(config->output, text);
}

static enum status choose_and_report(const struct config *config, const struct calibrate_sample *sample) {
    const struct step_probe *seen = &sample->recall.seen;
    const int32_t n_layers = seen->n_layers;
    double *means = means_of(seen);
    if (!means) return FAIL(STATUS_NO_MEMORY, "out of memory for the recall of %d layers", seen->n_layers);
    struct calibration calibration = {
        .config = config,
        .shares = {[CALIBRATE_PEAK] = {n_layers, means},
                   [CALIBRATE_RECALL] = {n_layers, means + (int64_t)n_layers * n_layers}},
        .n_texts = sample->n_texts,
        .n_steps = seen->n_steps,
    };
    struct bytes text = {0};
    enum status status = choose(&calibration);
    if (status == STATUS_OK) status = report(&calibration, &text);
    bytes_free(&text);
    free(means);
    return status;
}

enum status command_calibrate(const struct config *config, const struct engine *engine) {
    struct calibrate_sample sample;
    TRY(calibrate_sample_run(config, engine, &sample));
    const enum status status = choose_and_report(config, &sample);
    calibrate_sample_free(&sample);
    return status;
}
