/* Reading rectangles of tensors. A rank takes rows of some matrices and columns of others; the latter lie
 * scattered, one slice a row, and are read in bulk unless most of a row would be thrown away. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/file.h"
#include "modelfile/model_file_impl.h"

static const size_t BULK_BYTES = 4 << 20; /* read at once where slices are picked out of whole rows */
static const size_t PAGE_BYTES = 4096;    /* skipping less than this saves nothing */

/* A rectangle in bytes. */
struct slice {
    int descriptor;
    const char *path;
    uint64_t offset;    /* of row 0 of the tensor */
    size_t row_bytes;   /* of a whole row */
    size_t skip_bytes;  /* before the slice in each row */
    size_t slice_bytes; /* of the slice in each row */
};

static enum status read_rows_whole(const struct slice *slice, int64_t begin, int64_t end, void *data) {
    return file_read_at(slice->descriptor, slice->path, slice->offset + (uint64_t)begin * slice->row_bytes,
                        (size_t)(end - begin) * slice->row_bytes, data);
}

static enum status read_rows_singly(const struct slice *slice, int64_t begin, int64_t end,
                                    unsigned char *data) {
    for (int64_t row = begin; row < end; row++, data += slice->slice_bytes)
        TRY(file_read_at(slice->descriptor, slice->path,
                         slice->offset + (uint64_t)row * slice->row_bytes + slice->skip_bytes,
                         slice->slice_bytes, data));
    return STATUS_OK;
}

static enum status read_rows_bulk(const struct slice *slice, int64_t begin, int64_t end,
                                  unsigned char *data) {
    int64_t rows_at_once = (int64_t)(BULK_BYTES / slice->row_bytes);
    if (rows_at_once < 1) rows_at_once = 1;
    if (rows_at_once > end - begin) rows_at_once = end - begin;
    unsigned char *rows = malloc((size_t)rows_at_once * slice->row_bytes);
    if (!rows) return FAIL(STATUS_NO_MEMORY, "out of memory reading %s", slice->path);
    enum status status = STATUS_OK;
    while (begin < end && status == STATUS_OK) {
        const int64_t n = end - begin < rows_at_once ? end - begin : rows_at_once;
        status = read_rows_whole(slice, begin, begin + n, rows);
        for (int64_t i = 0; i < n && status == STATUS_OK; i++, data += slice->slice_bytes)
            memcpy(data, rows + (size_t)i * slice->row_bytes + slice->skip_bytes, slice->slice_bytes);
        begin += n;
    }
    free(rows);
    return status;
}

/* Rows in the order of the file. */
static enum status read_rows(const struct slice *slice, int64_t begin, int64_t end, void *data) {
    if (begin == end || slice->slice_bytes == 0) return STATUS_OK;
    const size_t gap = slice->row_bytes - slice->slice_bytes;
    if (gap == 0) return read_rows_whole(slice, begin, end, data);
    const bool bulk = gap <= PAGE_BYTES || gap <= slice->slice_bytes;
    return bulk ? read_rows_bulk(slice, begin, end, data) : read_rows_singly(slice, begin, end, data);
}

/* Rows in half-split order from a file in which each head's halves alternate: row half * D/2 + i of a
 * head of D rows is its row 2 i + half in the file. */
static enum status read_rows_interleaved(const struct slice *slice, int64_t head_rows, int64_t begin,
                                         int64_t end, unsigned char *data) {
    unsigned char *head = malloc((size_t)head_rows * slice->slice_bytes);
    if (!head) return FAIL(STATUS_NO_MEMORY, "out of memory reading %s", slice->path);
    enum status status = STATUS_OK;
    int64_t loaded = -1;
    for (int64_t row = begin; row < end; row++, data += slice->slice_bytes) {
        const int64_t head_index = row / head_rows, within = row % head_rows;
        const int64_t half = within / (head_rows / 2), i = within % (head_rows / 2);
        if (head_index != loaded) {
            status = read_rows(slice, head_index * head_rows, (head_index + 1) * head_rows, head);
            if (status != STATUS_OK) break;
            loaded = head_index;
        }
        memcpy(data, head + (size_t)(2 * i + half) * slice->slice_bytes, slice->slice_bytes);
    }
    free(head);
    return status;
}

enum status model_file_read(const struct model_file *model, const struct tensor_ref *tensor,
                            int64_t row_begin, int64_t row_end, int64_t col_begin, int64_t col_end,
                            void *data) {
    CHECK(0 <= row_begin && row_begin <= row_end && row_end <= tensor->rows);
    CHECK(0 <= col_begin && col_begin <= col_end && col_end <= tensor->cols);
    CHECK(tensor->file >= 0 && (size_t)tensor->file < model->n_files);
    struct slice slice = {.descriptor = model->files[tensor->file].descriptor,
                          .path = model->file_paths[tensor->file],
                          .offset = tensor->offset,
                          .row_bytes = dtype_bytes(tensor->dtype, tensor->cols),
                          .skip_bytes = dtype_bytes(tensor->dtype, col_begin),
                          .slice_bytes = dtype_bytes(tensor->dtype, col_end - col_begin)};
    if (tensor->interleaved_head_rows == 0) return read_rows(&slice, row_begin, row_end, data);
    if (row_begin == row_end || col_begin == col_end) return STATUS_OK;
    if (tensor->rows > 1)
        return read_rows_interleaved(&slice, tensor->interleaved_head_rows, row_begin, row_end, data);

    /* A bias: its elements are what the matrix has as rows. */
    slice.row_bytes = slice.slice_bytes = dtype_bytes(tensor->dtype, 1);
    slice.skip_bytes = 0;
    return read_rows_interleaved(&slice, tensor->interleaved_head_rows, col_begin, col_end, data);
}
