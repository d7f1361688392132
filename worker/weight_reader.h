/* worker/weight_reader.h - a part of a matrix from the file into memory: read, converted, packed.
 *
 * The threads of the rank share the rows: each reads slices of its own, so that reading, conversion and the
 * first touch of the memory happen where the rows will be used.
 *
 * Memory:  about two slices of scratch per thread while reading.
 * Threads: main thread; OpenMP inside.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/progress.h"
#include "base/status.h"
#include "cluster/heartbeat.h"
#include "cluster/shard_map.h"
#include "kernels/kernels.h"
#include "modelfile/model_file.h"

struct weight_reader {
    const struct model_file *file;
    const struct kernels *kernels;
    uint64_t bytes_read;
    struct progress progress;
    struct heartbeat *heartbeat; /* counts slices */
};

/* Bytes of so many rows and these columns of a tensor as `dtype`, as kernels want them. */
size_t weight_bytes(enum dtype dtype, int64_t rows, struct shard_range cols);

/* Rows and columns of a tensor, as `held` (modelfile/held_dtype.h), into `data` of weight_bytes. Column
 * bounds are multiples of the block of `held`, or of QUANT_BLOCK within its super-blocks, which are held
 * whole. */
NODISCARD enum status weight_read(struct weight_reader *reader, const struct tensor_ref *tensor,
                                  struct shard_range rows, struct shard_range cols, enum dtype held,
                                  void *data);
