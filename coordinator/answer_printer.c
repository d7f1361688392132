#include "coordinator/answer_printer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/terminal.h"
#include "coordinator/thinking_filter.h"

struct answer_printer {
    struct thinking_filter filter;
    struct bytes styled; /* scratch */
};

static enum thinking_style style_of(const struct config *config) {
    if (!config->thinking_output) return THINKING_HIDDEN;
    return terminal_is_terminal(1) ? THINKING_DIMMED : THINKING_PLAIN;
}

enum status answer_printer_create(const struct config *config, bool thinking,
                                  struct answer_printer **printer_out) {
    struct answer_printer *printer = calloc(1, sizeof *printer);
    if (!printer) return FAIL(STATUS_NO_MEMORY, "out of memory for an answer");
    printer->filter = thinking_filter_begin(style_of(config), thinking);
    *printer_out = printer;
    return STATUS_OK;
}

void answer_printer_destroy(struct answer_printer *printer) {
    if (!printer) return;
    bytes_free(&printer->styled);
    free(printer);
}

static enum status write_styled(const struct answer_printer *printer) {
    if (printer->styled.size == 0) return STATUS_OK;
    if (fwrite(printer->styled.data, 1, printer->styled.size, stdout) != printer->styled.size ||
        fflush(stdout) != 0)
        return FAIL(STATUS_IO, "cannot write the answer: %s", strerror(errno));
    return STATUS_OK;
}

static enum status write_text(void *self, const char *text, size_t size) {
    struct answer_printer *printer = self;
    bytes_clear(&printer->styled);
    TRY(thinking_filter_push(&printer->filter, text, size, &printer->styled));
    return write_styled(printer);
}

struct text_sink answer_printer_sink(struct answer_printer *printer) {
    return (struct text_sink){.self = printer, .write = write_text};
}

enum status answer_printer_finish(struct answer_printer *printer) {
    bytes_clear(&printer->styled);
    TRY(thinking_filter_finish(&printer->filter, &printer->styled));
    TRY(bytes_append_text(&printer->styled, "\n"));
    return write_styled(printer);
}
