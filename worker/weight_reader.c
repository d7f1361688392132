#include "worker/weight_reader.h"

#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "modelfile/held_dtype.h"

enum { SLICE_BYTES = 1 << 20, FAILURE_MAX = 512 };

/* One call of weight_read, for all threads. */
struct part {
    struct weight_reader *reader;
    const struct tensor_ref *tensor;
    struct shard_range rows, cols;
    struct shard_range read_cols; /* cols, widened to whole blocks of the file's type */
    struct shard_range held_cols; /* to those of the type that is held */
    enum dtype held;
    int64_t slice_rows; /* a multiple of PACKED_ROWS */
    uint8_t *data;

    enum status status; /* the first failure of any thread, with its sentence */
    char failure[FAILURE_MAX];
};

/* One thread's memory: a slice as it is in the file, a row as floats, a slice in ggml's blocks. */
struct slice_scratch {
    uint8_t *raw;
    float *row;
    uint8_t *blocks;
};

static struct shard_range widen(enum dtype dtype, struct shard_range cols) {
    return (struct shard_range){dtype_round_down(dtype, cols.begin), dtype_round_up(dtype, cols.end)};
}

_Static_assert((int)HELD_PANEL_ROWS == (int)PACKED_ROWS, "panels are counted as they are packed");

size_t weight_bytes(enum dtype dtype, int64_t rows, struct shard_range cols) {
    return (size_t)held_bytes(dtype, rows, cols.begin, cols.end);
}

static size_t held_row_bytes(const struct part *part) {
    return dtype_bytes(part->held, shard_range_size(part->held_cols));
}

static size_t raw_row_bytes(const struct part *part) {
    return dtype_bytes(part->tensor->dtype, shard_range_size(part->read_cols));
}

static enum status create_scratch(const struct part *part, struct slice_scratch *scratch) {
    const size_t rows = (size_t)part->slice_rows;
    scratch->raw = malloc(rows * raw_row_bytes(part));
    scratch->row = malloc((size_t)shard_range_size(part->read_cols) * sizeof(float));
    scratch->blocks = malloc(rows * held_row_bytes(part));
    if (scratch->raw && scratch->row && scratch->blocks) return STATUS_OK;
    return FAIL(STATUS_NO_MEMORY, "out of memory to read %s", part->tensor->name);
}

static void destroy_scratch(struct slice_scratch *scratch) {
    free(scratch->raw);
    free(scratch->row);
    free(scratch->blocks);
}

/* Row i of the raw slice in the type that is held, its own columns only. */
static void convert_row(const struct part *part, const struct slice_scratch *scratch, int64_t i,
                        void *target) {
    const int64_t cols = shard_range_size(part->cols);
    part->reader->kernels->load(scratch->raw + (size_t)i * raw_row_bytes(part), part->tensor->dtype,
                                shard_range_size(part->read_cols), scratch->row);
    const float *row = scratch->row + (part->cols.begin - part->read_cols.begin);
    if (packed_dtype(part->held))
        quantize_weights(row, cols, part->held, target);
    else
        memcpy(target, row, (size_t)cols * sizeof *row);
}

/* Rows [begin, begin + n) of the part. */
static enum status read_slice(struct part *part, const struct slice_scratch *scratch, int64_t begin,
                              int64_t n) {
    const int64_t cols = shard_range_size(part->held_cols), first = part->rows.begin + begin;
    const bool packed = packed_dtype(part->held), converted = part->held != part->tensor->dtype;
    uint8_t *target = part->data + weight_bytes(part->held, begin, part->cols);
    uint8_t *rows = packed ? scratch->blocks : target;
    uint8_t *raw = converted ? scratch->raw : rows;
    TRY(model_file_read(part->reader->file, part->tensor, first, first + n, part->read_cols.begin,
                        part->read_cols.end, raw));
    const size_t row_bytes = held_row_bytes(part);
    for (int64_t i = 0; i < n && converted; i++)
        convert_row(part, scratch, i, rows + (size_t)i * row_bytes);
    for (int64_t i = 0; i < n && packed; i += PACKED_ROWS)
        pack_panel(part->held, rows + (size_t)i * row_bytes, row_bytes,
                   n - i < PACKED_ROWS ? n - i : PACKED_ROWS, cols,
                   target + weight_bytes(part->held, i, part->cols));
    return STATUS_OK;
}

static void note_failure(struct part *part, enum status status) {
#pragma omp critical(weight_failure)
    if (part->status == STATUS_OK) {
        part->status = status;
        snprintf(part->failure, sizeof part->failure, "%s", status_message());
    }
}

/* The main thread shows how far all have come. */
static void count_read(struct weight_reader *reader, size_t bytes) {
    const uint64_t done = __atomic_add_fetch(&reader->bytes_read, bytes, __ATOMIC_RELAXED);
    heartbeat_count(reader->heartbeat);
    if (omp_get_thread_num() == 0) progress_update(&reader->progress, done);
}

/* This thread's rows: a contiguous part, as in the products that will use them. */
static void read_share(struct part *part) {
    const int64_t panels = packed_panels(shard_range_size(part->rows));
    const int64_t thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
    const int64_t begin = panels * thread / n_threads * PACKED_ROWS;
    int64_t end = panels * (thread + 1) / n_threads * PACKED_ROWS;
    if (end > shard_range_size(part->rows)) end = shard_range_size(part->rows);
    if (begin >= end) return;

    struct slice_scratch scratch = {NULL, NULL, NULL};
    enum status status = create_scratch(part, &scratch);
    for (int64_t row = begin; row < end && status == STATUS_OK; row += part->slice_rows) {
        const int64_t n = end - row < part->slice_rows ? end - row : part->slice_rows;
        status = read_slice(part, &scratch, row, n);
        count_read(part->reader, (size_t)n * raw_row_bytes(part));
    }
    if (status != STATUS_OK) note_failure(part, status);
    destroy_scratch(&scratch);
}

enum status weight_read(struct weight_reader *reader, const struct tensor_ref *tensor,
                        struct shard_range rows, struct shard_range cols, enum dtype held, void *data) {
    struct part part = {
        .reader = reader,
        .tensor = tensor,
        .rows = rows,
        .cols = cols,
        .read_cols = widen(tensor->dtype, cols),
        .held_cols = widen(held, cols),
        .held = held,
        .data = data,
    };
    const int64_t rows_of_slice = (int64_t)(SLICE_BYTES / (raw_row_bytes(&part) + 1));
    part.slice_rows = rows_of_slice / PACKED_ROWS * PACKED_ROWS + PACKED_ROWS;
#pragma omp parallel if (weight_bytes(held, shard_range_size(rows), cols) > SLICE_BYTES)
    read_share(&part);
    return part.status == STATUS_OK ? STATUS_OK : FAIL(part.status, "%s", part.failure);
}
