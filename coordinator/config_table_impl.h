/* coordinator/config_table_impl.h - what the tables of options, config_options_*.c, share. */
#pragma once

#include "coordinator/config_impl.h"

/* In the order of --help. */
extern const struct option_group config_model_options, config_input_options, config_chat_options,
    config_generation_options, config_timing_options, config_attention_options, config_engine_options,
    config_output_options, config_general_options;

enum {
    RUN = 1 << COMMAND_RUN,
    SCORE = 1 << COMMAND_SCORE,
    BENCH = 1 << COMMAND_BENCH,
    EVAL = 1 << COMMAND_EVAL,
    TOKENIZE = 1 << COMMAND_TOKENIZE,
    PLAN = 1 << COMMAND_PLAN,
    INSPECT = 1 << COMMAND_INSPECT,
    TRACE = 1 << COMMAND_TRACE,
    CALIBRATE = 1 << COMMAND_CALIBRATE,
    SCALE = 1 << COMMAND_SCALE,
    SIMULATE = 1 << COMMAND_SIMULATE,
    SUPERVISE = 1 << COMMAND_SUPERVISE,
    NONE = 1 << COMMAND_NONE,
    TIMING = BENCH | SCALE,
    ENGINE = RUN | SCORE | TIMING | TRACE | EVAL,
    ALL = RUN | SCORE | TIMING | TOKENIZE | PLAN | INSPECT | TRACE | CALIBRATE | EVAL | SIMULATE,
};

enum { MOST_OF_A_LIST = 256 };

#define FIELD(name)     .offset = offsetof(struct config, name)
#define COUNTED(name)   FIELD(name), .count_offset = offsetof(struct config, n_##name)
#define FROM_MODEL      .initial = "nan", .initial_doc = "the model's own"
#define MAX_TOKEN_COUNT 1073741824.0
