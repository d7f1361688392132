/* One option's value: from its text to its field. */
#include "base/option_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/integer_range.h"
#include "base/utf8.h"

/* What every parser below is given. */
struct value {
    const char *text;
    const char *label;
    const struct option *option;
    bool limited;
};

bool option_takes_value(const struct option *option) {
    return option->kind != OPTION_FLAG && option->kind != OPTION_COUNT;
}

enum status option_parse_bool(const char *value, const char *label, bool *value_out) {
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        for (int truth = 0; truth < 2; truth++) {
            if (strcmp(value, words[i][truth]) != 0) continue;
            *value_out = truth;
            return STATUS_OK;
        }
    }
    return FAIL(STATUS_BAD_INPUT, "%s: '%s' is neither true nor false", label, value);
}

static double largest(const struct option *option) {
    const bool is_int32 = option->kind == OPTION_INT32 || option->kind == OPTION_INT32_VECTOR;
    return is_int32 && option->max > INT32_MAX ? INT32_MAX : option->max;
}

static enum status check_limits(const struct value *value, double number) {
    const double min = value->option->min, max = largest(value->option);
    if (!value->limited || (number >= min && number <= max)) return STATUS_OK;
    if (isinf(max))
        return FAIL(STATUS_BAD_INPUT, "%s: %s is out of range; it must be at least %.15g", value->label,
                    value->text, min);
    return FAIL(STATUS_BAD_INPUT, "%s: %s is out of range; it must be from %.15g to %.15g", value->label,
                value->text, min, max);
}

/* A decimal integer that ends at `end`, which is a NUL or the comma of a list. */
static enum status parse_integer(const struct value *value, const char *begin, const char *end,
                                 int64_t *number_out) {
    char *stop = NULL;
    const char *digits = *begin == '-' ? begin + 1 : begin;
    errno = 0;
    const long long number = strtoll(begin, &stop, 10);
    if (*digits < '0' || *digits > '9' || stop != end)
        return FAIL(STATUS_BAD_INPUT, "%s: '%s' is not a whole number", value->label, value->text);
    if (errno) return check_limits(value, number < 0 ? -INFINITY : INFINITY);
    TRY(check_limits(value, (double)number));
    *number_out = number;
    return STATUS_OK;
}

static enum status parse_int32(const struct value *value, int32_t *field) {
    int64_t number = 0;
    TRY(parse_integer(value, value->text, value->text + strlen(value->text), &number));
    *field = (int32_t)number;
    return STATUS_OK;
}

static enum status parse_int64(const struct value *value, int64_t *field) {
    int64_t number = 0;
    TRY(parse_integer(value, value->text, value->text + strlen(value->text), &number));
    *field = number;
    return STATUS_OK;
}

static enum status parse_uint64(const struct value *value, uint64_t *field) {
    char *stop = NULL;
    errno = 0;
    const unsigned long long number = strtoull(value->text, &stop, 10);
    if (*value->text < '0' || *value->text > '9' || *stop || errno)
        return FAIL(STATUS_BAD_INPUT, "%s: '%s' is not a whole number from 0 to 2^64 - 1", value->label,
                    value->text);
    *field = number;
    return STATUS_OK;
}

static enum status parse_float(const struct value *value, double *field) {
    char *stop = NULL;
    const double number = strtod(value->text, &stop);
    const bool is_number = stop != value->text && !*stop;
    if (!is_number || (value->limited && !isfinite(number)))
        return FAIL(STATUS_BAD_INPUT, "%s: '%s' is not a number", value->label, value->text);
    TRY(check_limits(value, number));
    *field = number;
    return STATUS_OK;
}

static enum status parse_choice(const struct value *value, int *field) {
    struct bytes names = {0};
    for (const struct option_choice *choice = value->option->choices; choice->name; choice++) {
        if (strcmp(choice->name, value->text) == 0) {
            *field = choice->value;
            bytes_free(&names);
            return STATUS_OK;
        }
        const enum status status = bytes_printf(&names, "%s%s", names.size ? ", " : "", choice->name);
        if (status != STATUS_OK) break; /* the sentence below names fewer */
    }
    const enum status status = FAIL(STATUS_BAD_INPUT, "%s: '%s' is none of %s", value->label, value->text,
                                    names.data ? names.data : "its choices");
    bytes_free(&names);
    return status;
}

static enum status check_text(const struct value *value) {
    const size_t size = strlen(value->text);
    if (value->option->kind != OPTION_PATH && !utf8_is_valid(value->text, size))
        return FAIL(STATUS_BAD_INPUT, "%s: the text is not valid UTF-8", value->label);
    if ((double)size < value->option->min)
        return FAIL(STATUS_BAD_INPUT, "%s: the value is empty", value->label);
    if (value->option->max > 0 && (double)size > value->option->max)
        return FAIL(STATUS_BAD_INPUT, "%s: the value has %zu bytes; at most %.0f are allowed", value->label,
                    size, value->option->max);
    return STATUS_OK;
}

static enum status parse_text(struct arena *arena, const struct value *value, const char **field) {
    TRY(check_text(value));
    char *copy;
    const size_t size = strlen(value->text) + 1;
    TRY(ARENA_TAKE(arena, size, &copy));
    memcpy(copy, value->text, size);
    *field = copy;
    return STATUS_OK;
}

/* Doubles the room of `*items`, `item_bytes` each, when its n items fill it: when n is a power of two. */
static enum status make_room(struct arena *arena, size_t item_bytes, size_t n, void **items) {
    if (n & (n - 1)) return STATUS_OK;
    void *larger;
    TRY(arena_take(arena, n ? 2 * n : 1, item_bytes, &larger));
    if (n) memcpy(larger, *items, n * item_bytes);
    *items = larger;
    return STATUS_OK;
}

static enum status append_text(struct arena *arena, const struct value *value, struct text_list *list) {
    const char *text;
    TRY(parse_text(arena, value, &text));
    void *items = list->items;
    TRY(make_room(arena, sizeof *list->items, list->n, &items));
    list->items = items;
    list->items[list->n++] = text;
    return STATUS_OK;
}

static enum status fail_too_many(const struct value *value) {
    return FAIL(STATUS_BAD_INPUT, "%s: more than %d numbers", value->label, (int)value->option->capacity);
}

static enum status append_int32(const struct value *value, int64_t number, int32_t *vector, int32_t *n) {
    if (*n == value->option->capacity) return fail_too_many(value);
    vector[(*n)++] = (int32_t)number;
    return STATUS_OK;
}

static enum status append_int64(struct arena *arena, int64_t number, int64_t **list, size_t *n) {
    void *items = *list;
    TRY(make_room(arena, sizeof **list, *n, &items));
    *list = items;
    (*list)[(*n)++] = number;
    return STATUS_OK;
}

/* One part of a list of ranges. */
static enum status append_range(struct arena *arena, const struct value *value, const char *begin,
                                size_t size, int64_t **list, size_t *n) {
    struct integer_range range;
    if (!integer_range_parse(begin, size, &range))
        return FAIL(STATUS_BAD_INPUT,
                    "%s: '%s' is no list of whole numbers and ranges (1-4, 0-100+25, 512-4096*2)",
                    value->label, value->text);
    TRY(check_limits(value, (double)range.first));
    TRY(check_limits(value, (double)range.last));
    int64_t number = range.first;
    do {
        if (*n == (size_t)value->option->capacity) return fail_too_many(value);
        TRY(append_int64(arena, number, list, n));
    } while (integer_range_next(&range, &number));
    return STATUS_OK;
}

static enum status append_part(struct arena *arena, const struct value *value, const char *begin,
                               const char *end, void *field, void *count) {
    if (value->option->kind == OPTION_INT64_RANGES)
        return append_range(arena, value, begin, (size_t)(end - begin), field, count);
    int64_t number = 0;
    TRY(parse_integer(value, begin, end, &number));
    if (value->option->kind == OPTION_INT32_VECTOR) return append_int32(value, number, field, count);
    return append_int64(arena, number, field, count);
}

static enum status append_integers(struct arena *arena, const struct value *value, void *field, void *count) {
    for (const char *begin = value->text;;) {
        const char *comma = strchrnul(begin, ',');
        TRY(append_part(arena, value, begin, comma, field, count));
        if (!*comma) return STATUS_OK;
        begin = comma + 1;
    }
}

static enum status parse_flag(const struct value *value, bool *field) {
    *field = true;
    return value->text ? option_parse_bool(value->text, value->label, field) : STATUS_OK;
}

static enum status parse_count(const struct value *value, int32_t *field) {
    if (value->text) return parse_int32(value, field);
    if (*field < largest(value->option)) (*field)++;
    return STATUS_OK;
}

enum status option_value_parse(struct options *options, const struct option *option, const char *text,
                               const char *label, bool limited) {
    const struct value value = {.text = text, .label = label, .option = option, .limited = limited};
    void *field = (char *)options->target + option->offset;
    void *count = (char *)options->target + option->count_offset;
    switch (option->kind) {
    case OPTION_FLAG:
        return parse_flag(&value, field);
    case OPTION_COUNT:
        return parse_count(&value, field);
    case OPTION_INT32:
        return parse_int32(&value, field);
    case OPTION_INT64:
        return parse_int64(&value, field);
    case OPTION_UINT64:
        return parse_uint64(&value, field);
    case OPTION_FLOAT:
        return parse_float(&value, field);
    case OPTION_TEXT:
    case OPTION_PATH:
        return parse_text(options->arena, &value, field);
    case OPTION_CHOICE:
        return parse_choice(&value, field);
    case OPTION_TEXT_LIST:
        return append_text(options->arena, &value, field);
    case OPTION_INT32_VECTOR:
    case OPTION_INT64_LIST:
    case OPTION_INT64_RANGES:
        return append_integers(options->arena, &value, field, count);
    }
    return FAIL(STATUS_INTERNAL, "%s: an option of no known kind", label);
}

void option_value_clear(struct options *options, const struct option *option) {
    void *field = (char *)options->target + option->offset;
    void *count = (char *)options->target + option->count_offset;
    if (option->kind == OPTION_COUNT) *(int32_t *)field = 0;
    if (option->kind == OPTION_TEXT_LIST) *(struct text_list *)field = (struct text_list){0};
    if (option->kind == OPTION_INT32_VECTOR) *(int32_t *)count = 0;
    if (option->kind == OPTION_INT64_LIST || option->kind == OPTION_INT64_RANGES) *(size_t *)count = 0;
}
