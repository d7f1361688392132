/* One option's value: from its field to text that would set it. */
#include "base/option_impl.h"

#include <inttypes.h>

#include "base/bytes.h"

static enum status print_texts(const struct text_list *list, struct bytes *text) {
    for (size_t i = 0; i < list->n; i++)
        TRY(bytes_printf(text, "%s%s", i > 0 ? "," : "", list->items[i]));
    return STATUS_OK;
}

static enum status print_int32s(const int32_t *numbers, int32_t n, struct bytes *text) {
    for (int32_t i = 0; i < n; i++)
        TRY(bytes_printf(text, "%s%" PRId32, i > 0 ? "," : "", numbers[i]));
    return STATUS_OK;
}

static enum status print_int64s(const int64_t *numbers, size_t n, struct bytes *text) {
    for (size_t i = 0; i < n; i++)
        TRY(bytes_printf(text, "%s%" PRId64, i > 0 ? "," : "", numbers[i]));
    return STATUS_OK;
}

static enum status print_choice(const struct option *option, int value, struct bytes *text) {
    const struct option_choice *choice = option->choices;
    while (choice->name && choice->value != value)
        choice++;
    return bytes_append_text(text, choice->name ? choice->name : "");
}

static enum status print_text(const char *value, struct bytes *text) {
    return bytes_append_text(text, value ? value : "");
}

enum status option_value_print(const struct option *option, const void *target, struct bytes *text) {
    const char *field = (const char *)target + option->offset;
    const void *count = (const char *)target + option->count_offset;
    switch (option->kind) {
    case OPTION_FLAG:
        return bytes_append_text(text, *(const bool *)field ? "true" : "false");
    case OPTION_COUNT:
    case OPTION_INT32:
        return print_int32s((const void *)field, 1, text);
    case OPTION_INT64:
        return print_int64s((const void *)field, 1, text);
    case OPTION_UINT64:
        return bytes_printf(text, "%" PRIu64, *(const uint64_t *)(const void *)field);
    case OPTION_FLOAT:
        return bytes_printf(text, "%.15g", *(const double *)(const void *)field);
    case OPTION_TEXT:
    case OPTION_PATH:
        return print_text(*(const char *const *)(const void *)field, text);
    case OPTION_CHOICE:
        return print_choice(option, *(const int *)(const void *)field, text);
    case OPTION_TEXT_LIST:
        return print_texts((const void *)field, text);
    case OPTION_INT32_VECTOR:
        return print_int32s((const void *)field, *(const int32_t *)count, text);
    case OPTION_INT64_LIST:
    case OPTION_INT64_RANGES:
        return print_int64s(*(const int64_t *const *)(const void *)field, *(const size_t *)count, text);
    }
    return STATUS_OK;
}
