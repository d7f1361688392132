/* coordinator/trace_record.h - writes down what each decode step of one answer attends to.
 *
 * Memory:  a recorder borrows configuration, engine and tokenizer.
 * Threads: main thread only.
 * Ranks:   rank 0; every record asks all ranks. */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "cluster/engine.h"
#include "coordinator/config.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "modelfile/model_file.h"

struct trace_recorder;

struct trace_source {
    const struct config *config; /* --output, --trace-every, and what the header tells */
    const struct engine *engine;
    const struct model_file *model;
    const struct tokenizer *tokenizer;
};

/* Can sets of so many layers and KV heads be told? Else STATUS_BAD_INPUT. */
NODISCARD enum status trace_record_check(const struct model_spec *spec);

/* Begins the file. From now on the ranks note their sets. */
NODISCARD enum status trace_recorder_create(const struct trace_source *source, const int32_t *prompt,
                                            size_t n_prompt, struct trace_recorder **recorder_out);

/* After the decode step that computed `token`: every --trace-every-th is recorded. */
NODISCARD enum status trace_recorder_step(struct trace_recorder *recorder, int32_t token);
NODISCARD enum status trace_recorder_close(struct trace_recorder *recorder);
void trace_recorder_destroy(struct trace_recorder *recorder); /* NULL is allowed */
