/* coordinator/bench_model.h - what `bench` says of a model: kind, size, parameters.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

struct bench_model {
    char type[96];     /* "llama 1.24B F16 as q8_0": the type is that of most bytes */
    int64_t bytes;     /* of all tensors in the files */
    int64_t n_weights; /* likewise */
};

/* `weights`: what they are quantised to while loading; DTYPE_COUNT: nothing. */
NODISCARD enum status bench_model_read(const char *path, enum dtype weights, struct bench_model *model_out);
