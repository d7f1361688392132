#include "base/integer_range.h"

struct cursor {
    const char *at, *end;
};

/* Decimal digits, at least one. */
static bool take_number(struct cursor *cursor, int64_t *number_out) {
    int64_t number = 0;
    const char *begin = cursor->at;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *cursor->at - '0', &number))
            return false;
    *number_out = number;
    return cursor->at > begin;
}

static bool take_character(struct cursor *cursor, char wanted) {
    if (cursor->at == cursor->end || *cursor->at != wanted) return false;
    cursor->at++;
    return true;
}

static bool take_step(struct cursor *cursor, struct integer_range *range) {
    range->multiplies = take_character(cursor, '*');
    if (!range->multiplies && !take_character(cursor, '+')) return cursor->at == cursor->end;
    if (!take_number(cursor, &range->step)) return false;
    return range->multiplies ? range->step >= 2 && range->first >= 1 : range->step >= 1;
}

bool integer_range_parse(const char *text, size_t size, struct integer_range *range_out) {
    struct cursor cursor = {text, text + size};
    struct integer_range range = {.step = 1};
    if (!take_number(&cursor, &range.first)) return false;
    range.last = range.first;
    if (take_character(&cursor, '-')) {
        if (!take_number(&cursor, &range.last) || range.last < range.first) return false;
        if (!take_step(&cursor, &range)) return false;
    }
    if (cursor.at != cursor.end) return false;
    *range_out = range;
    return true;
}

bool integer_range_next(const struct integer_range *range, int64_t *value) {
    int64_t next;
    const bool overflows = range->multiplies ? __builtin_mul_overflow(*value, range->step, &next)
                                             : __builtin_add_overflow(*value, range->step, &next);
    if (overflows || next > range->last) return false;
    *value = next;
    return true;
}
