#include "coordinator/json_print.h"

#include <stdio.h>

enum status json_print(json_t *value, bool indented) {
    if (!value) return FAIL(STATUS_NO_MEMORY, "out of memory for the JSON output");
    const size_t layout = (indented ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(15);
    const int failed = json_dumpf(value, stdout, layout | JSON_ENCODE_ANY);
    json_decref(value);
    if (failed || fputc('\n', stdout) == EOF) return FAIL(STATUS_IO, "cannot write to standard output");
    return STATUS_OK;
}
