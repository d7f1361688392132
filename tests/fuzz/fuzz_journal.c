/* A line of a journal: refused, or within bounds, and printed it can be read again as the same. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/journal_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct journal_line *line) {
    struct bytes text = {0};
    struct journal_line back;
    CHECK(journal_line_print(line, line->ids.ids, line->ids.n, &text) == STATUS_OK);
    CHECK(memchr(text.data, '\n', text.size) == text.data + text.size - 1);
    CHECK(journal_line_parse(text.data, text.size, "fuzz:2", &back) == STATUS_OK);
    CHECK(back.answer == line->answer && back.first == line->first && back.ids.n == line->ids.n);
    CHECK(memcmp(back.ids.ids, line->ids.ids, line->ids.n * sizeof *line->ids.ids) == 0);
    journal_line_free(&back);
    bytes_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct journal_line line;
    const enum status status = journal_line_parse((const char *)data, size, "fuzz:1", &line);
    CHECK(status == STATUS_OK || status == STATUS_BAD_INPUT);
    if (status != STATUS_OK) return 0;
    CHECK(line.first >= 0 && line.seconds >= 0 && line.ids.n > 0);
    for (size_t i = 0; i < line.ids.n; i++)
        CHECK(line.ids.ids[i] >= 0);
    check_again(&line);
    journal_line_free(&line);
    return 0;
}
