#include "coordinator/journal_line.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/line_file.h"

static const double MAX_SECONDS = 1e12;
static const char HEX_DIGITS[] = "0123456789abcdef";

enum status journal_line_print(const struct journal_line *line, const int32_t *ids, size_t n,
                               struct bytes *text) {
    TRY(bytes_printf(text, "{\"answer\":\"%016" PRIx64 "\",\"first\":%lld,\"seconds\":%.6f,\"ids\":[",
                     line->answer, (long long)line->first, line->seconds));
    for (size_t i = 0; i < n; i++)
        TRY(bytes_printf(text, "%s%d", i > 0 ? "," : "", (int)ids[i]));
    return bytes_append_text(text, "]}\n");
}

static bool read_answer(const json_t *value, uint64_t *answer_out) {
    const char *digits = json_string_value(value);
    if (!digits || strlen(digits) != 16 || strspn(digits, HEX_DIGITS) != 16) return false;
    *answer_out = strtoull(digits, NULL, 16);
    return true;
}

static bool read_first(const json_t *value, int64_t *first_out) {
    *first_out = json_integer_value(value);
    return json_is_integer(value) && *first_out >= 0 && *first_out <= INT32_MAX;
}

static bool read_seconds(const json_t *value, double *seconds_out) {
    *seconds_out = json_number_value(value);
    return json_is_number(value) && *seconds_out >= 0 && *seconds_out <= MAX_SECONDS;
}

/* Sets *valid_out where all are token ids. */
static enum status read_ids(const json_t *array, struct token_list *ids, bool *valid_out) {
    *valid_out = json_array_size(array) > 0;
    for (size_t i = 0; *valid_out && i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        const json_int_t id = json_integer_value(value);
        *valid_out = json_is_integer(value) && id >= 0 && id <= INT32_MAX;
        if (*valid_out) TRY(token_list_append(ids, (int32_t)id));
    }
    return STATUS_OK;
}

static enum status read_line(const json_t *object, const char *name, struct journal_line *line) {
    bool valid = read_answer(json_object_get(object, "answer"), &line->answer) &&
                 read_first(json_object_get(object, "first"), &line->first) &&
                 read_seconds(json_object_get(object, "seconds"), &line->seconds);
    if (valid) TRY(read_ids(json_object_get(object, "ids"), &line->ids, &valid));
    return valid ? STATUS_OK : FAIL(STATUS_BAD_INPUT, "%s: this is no line of a journal", name);
}

enum status journal_line_parse(const char *text, size_t size, const char *name,
                               struct journal_line *line_out) {
    json_t *object;
    struct journal_line line = {0};
    TRY(line_parse(text, size, name, &object));
    const enum status status = read_line(object, name, &line);
    json_decref(object);
    if (status != STATUS_OK) {
        journal_line_free(&line);
        return status;
    }
    *line_out = line;
    return STATUS_OK;
}

void journal_line_free(struct journal_line *line) {
    token_list_free(&line->ids);
    *line = (struct journal_line){0};
}
