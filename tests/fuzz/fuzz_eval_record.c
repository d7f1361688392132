/* A line of results: refused, or within bounds, and printed it can be read again as the same. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/eval_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct eval_record *record) {
    struct bytes line = {0}, again = {0};
    struct eval_record back;
    CHECK(eval_record_print(record, &line) == STATUS_OK);
    CHECK(memchr(line.data, '\n', line.size) == line.data + line.size - 1);
    CHECK(eval_record_parse(line.data, line.size, "fuzz:2", &back) == STATUS_OK);
    CHECK(eval_record_print(&back, &again) == STATUS_OK);
    CHECK(again.size == line.size && memcmp(again.data, line.data, line.size) == 0);
    eval_record_free(&back);
    bytes_free(&line);
    bytes_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct eval_record record;
    const enum status status = eval_record_parse((const char *)data, size, "fuzz:1", &record);
    CHECK(status == STATUS_OK || status == STATUS_BAD_INPUT);
    if (status != STATUS_OK) return 0;
    CHECK(record.problem >= 0 && record.sample >= 0 && record.n_generated >= 0 && record.kv_bytes >= 0);
    check_again(&record);
    eval_record_free(&record);
    return 0;
}
