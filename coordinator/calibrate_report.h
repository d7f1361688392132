/* coordinator/calibrate_report.h - what `caucus calibrate` found, for a person, for programs and for
 * --config.
 *
 * Memory:  appends to the caller's bytes.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/calibrate_layers.h"
#include "coordinator/config.h"

struct calibration {
    const struct config *config;
    struct layer_shares shares[CALIBRATE_MEASURES];
    int64_t n_texts, n_steps;
    int32_t n_choices; /* at least 1 */
    /* The best of 1, 2, … select layers by what the configuration says. */
    struct layer_choice choices[ENGINE_MAX_SELECT_LAYERS];
    int32_t recommended; /* index */
};

NODISCARD enum status calibrate_report_text(const struct calibration *calibration, struct bytes *text);
NODISCARD enum status calibrate_report_json(const struct calibration *calibration);

/* A file for --config: the recommended layers, and how they were found. */
NODISCARD enum status calibrate_report_yaml(const struct calibration *calibration, struct bytes *text);
