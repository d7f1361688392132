#include "coordinator/supervised_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/numbers.h"

static const size_t MAX_SHOWN_BYTES = (size_t)64 << 20;

struct supervised_output {
    int source;         /* of the attempt's output; -1: its end has come */
    struct bytes shown; /* the newest output that was passed on, … */
    size_t n_written;   /* … so much of it on standard output already */
    size_t n_same;      /* bytes of the attempt that are the same so far */
    bool is_cut;        /* `shown` lacks a beginning, which was too long to keep */
    enum status status; /* of reading and passing on, … */
    int error;          /* … and of the write that failed */
};

enum status supervised_output_create(struct supervised_output **output_out) {
    *output_out = NULL;
    if (isatty(STDOUT_FILENO)) return STATUS_OK;
    *output_out = malloc(sizeof **output_out);
    if (!*output_out) return FAIL(STATUS_NO_MEMORY, "out of memory for the command's output");
    **output_out = (struct supervised_output){.source = -1};
    return STATUS_OK;
}

static void end_source(struct supervised_output *output) {
    if (output->source >= 0) close(output->source);
    output->source = -1;
}

void supervised_output_destroy(struct supervised_output *output) {
    if (!output) return;
    end_source(output);
    bytes_free(&output->shown);
    free(output);
}

static void forget(struct supervised_output *output) {
    fprintf(stderr, "caucus: what was printed is too long to be kept: all of it follows again\n");
    bytes_clear(&output->shown);
    output->n_written = 0;
    output->is_cut = false;
}

enum status supervised_output_begin(struct supervised_output *output, int *end_out) {
    int ends[2];
    *end_out = -1;
    if (!output) return STATUS_OK;
    end_source(output);
    if (pipe2(ends, O_CLOEXEC) != 0) return FAIL(STATUS_IO, "cannot open a pipe: %s", strerror(errno));
    output->source = ends[0];
    output->n_same = 0;
    *end_out = ends[1];
    if (output->is_cut) forget(output);
    return STATUS_OK;
}

/* Nothing is read before the last has been written: a reader who takes his time holds the command up, too. */
void supervised_output_prepare(const struct supervised_output *output,
                               struct pollfd polled[SUPERVISED_OUTPUT_POLLS]) {
    const bool waits = output && output->n_written < output->shown.size;
    polled[0] = (struct pollfd){.fd = output && !waits ? output->source : -1, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = waits ? STDOUT_FILENO : -1, .events = POLLOUT};
}

static size_t count_same(const char *a, const char *b, size_t n) {
    size_t same = 0;
    while (same < n && a[same] == b[same])
        same++;
    return same;
}

/* Drops from the text what was passed on by earlier attempts. */
static size_t compare(struct supervised_output *output, const char *text, size_t size) {
    struct bytes *shown = &output->shown;
    const size_t left = shown->size - output->n_same;
    const size_t n = size < left ? size : left;
    const size_t same = count_same(shown->data + output->n_same, text, n);
    output->n_same += same;
    if (same == n) return n;
    fprintf(stderr, "caucus: the command prints something else than before: all of it follows\n");
    shown->size = output->n_same;
    output->n_written = 0;
    return same;
}

static enum status take(struct supervised_output *output, const char *text, size_t size) {
    const size_t n_known = output->n_same < output->shown.size ? compare(output, text, size) : 0;
    if (n_known == size) return STATUS_OK;
    if (output->n_written > MAX_SHOWN_BYTES) {
        bytes_clear(&output->shown);
        output->n_written = output->n_same = 0;
        output->is_cut = true;
    }
    TRY(bytes_append(&output->shown, text + n_known, size - n_known));
    output->n_same = output->shown.size;
    return STATUS_OK;
}

static void read_piece(struct supervised_output *output) {
    char piece[1 << 16];
    const ssize_t size = read(output->source, piece, sizeof piece);
    if (size > 0) output->status = take(output, piece, (size_t)size);
    if (size == 0 || (size < 0 && errno != EINTR) || output->status != STATUS_OK) end_source(output);
}

/* So little that a pipe which can be written to takes it at once. What cannot be written any more the command
 * is told by its pipe. */
static void write_piece(struct supervised_output *output) {
    const size_t left = output->shown.size - output->n_written;
    const ssize_t size = write(STDOUT_FILENO, output->shown.data + output->n_written,
                               (size_t)smaller_i64((int64_t)left, PIPE_BUF));
    if (size > 0) output->n_written += (size_t)size;
    if (size >= 0 || errno == EINTR || errno == EAGAIN) return;
    output->error = errno;
    output->n_written = output->shown.size;
    end_source(output);
}

void supervised_output_advance(struct supervised_output *output,
                               const struct pollfd polled[SUPERVISED_OUTPUT_POLLS]) {
    if (!output) return;
    if (polled[0].revents && output->source >= 0) read_piece(output);
    if (polled[1].revents) write_piece(output);
}

bool supervised_output_is_done(const struct supervised_output *output) {
    return !output || (output->source < 0 && output->n_written == output->shown.size);
}

enum status supervised_output_check(const struct supervised_output *output) {
    if (!output) return STATUS_OK;
    if (output->error) return FAIL(STATUS_IO, "cannot write standard output: %s", strerror(output->error));
    return output->status;
}
