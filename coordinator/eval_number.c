#include "coordinator/eval_number.h"

#include <string.h>

/* What is left to read. */
struct reader {
    const char *at, *end;
};

static bool take_text(struct reader *reader, const char *text) {
    const size_t size = strlen(text);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, text, size) != 0) return false;
    reader->at += size;
    return true;
}

static bool is_digit(const struct reader *reader) {
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static int digits_ahead(const struct reader *reader, int most) {
    struct reader ahead = *reader;
    while (is_digit(&ahead) && ahead.at - reader->at < most)
        ahead.at++;
    return (int)(ahead.at - reader->at);
}

static bool add_digit(struct reader *reader, int64_t *value) {
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, *reader->at++ - '0', value);
}

static bool take_digits(struct reader *reader, int64_t *value) {
    while (is_digit(reader))
        if (!add_digit(reader, value)) return false;
    return true;
}

/* A comma between thousands: three digits follow, and not a fourth. */
static bool take_comma(struct reader *reader) {
    struct reader ahead = *reader;
    if (!take_text(&ahead, ",") || digits_ahead(&ahead, 4) != 3) return false;
    *reader = ahead;
    return true;
}

/* 1000, 1,000 */
static bool take_whole(struct reader *reader, int64_t *value) {
    const int first = digits_ahead(reader, 4);
    if (!take_digits(reader, value)) return false;
    while (first >= 1 && first <= 3 && take_comma(reader))
        if (!take_digits(reader, value)) return false;
    return true;
}

/* A whole part, digits behind a point, or both; no sign. */
static bool take_decimal(struct reader *reader, struct eval_number *number) {
    const bool has_whole = is_digit(reader);
    *number = (struct eval_number){0, 1};
    if (!take_whole(reader, &number->numerator)) return false;
    if (!take_text(reader, ".")) return has_whole;
    if (!is_digit(reader)) return has_whole;
    while (is_digit(reader))
        if (!add_digit(reader, &number->numerator) ||
            __builtin_mul_overflow(number->denominator, 10, &number->denominator))
            return false;
    return true;
}

static bool take_signed(struct reader *reader, struct eval_number *number) {
    const bool negative = take_text(reader, "-");
    if (!negative) take_text(reader, "+");
    if (!take_decimal(reader, number)) return false;
    if (negative) number->numerator = -number->numerator;
    return true;
}

static bool divide(struct eval_number above, struct eval_number below, struct eval_number *quotient) {
    if (below.numerator == 0) return false;
    if (__builtin_mul_overflow(above.numerator, below.denominator, &quotient->numerator)) return false;
    if (__builtin_mul_overflow(above.denominator, below.numerator, &quotient->denominator)) return false;
    if (quotient->denominator > 0) return true;
    if (quotient->numerator == INT64_MIN || quotient->denominator == INT64_MIN) return false;
    quotient->numerator = -quotient->numerator;
    quotient->denominator = -quotient->denominator;
    return true;
}

static bool add(struct eval_number whole, struct eval_number part, struct eval_number *sum) {
    if (whole.denominator != 1) return false;
    sum->denominator = part.denominator;
    return !__builtin_mul_overflow(whole.numerator, part.denominator, &sum->numerator) &&
           !__builtin_add_overflow(sum->numerator, part.numerator, &sum->numerator);
}

/* What follows \frac */
static bool take_fraction(struct reader *reader, struct eval_number *number) {
    struct eval_number above, below;
    return take_text(reader, "{") && take_signed(reader, &above) && take_text(reader, "}{") &&
           take_signed(reader, &below) && take_text(reader, "}") && divide(above, below, number);
}

static bool take_magnitude(struct reader *reader, struct eval_number *number) {
    struct eval_number first, second;
    if (take_text(reader, "\\frac")) return take_fraction(reader, number);
    if (!take_decimal(reader, &first)) return false;
    *number = first;
    if (take_text(reader, "/")) return take_decimal(reader, &second) && divide(first, second, number);
    if (take_text(reader, "\\frac")) return take_fraction(reader, &second) && add(first, second, number);
    return true;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

bool eval_number_parse(const char *text, size_t size, struct eval_number *number_out) {
    struct reader reader = {text, text + size};
    struct eval_number number;
    const bool negative = take_text(&reader, "-");
    if (!negative) take_text(&reader, "+");
    if (!take_magnitude(&reader, &number) || reader.at != reader.end) return false;
    if (number.numerator == INT64_MIN) return false; /* it has no opposite */
    const int64_t divisor = greatest_common_divisor(number.numerator, number.denominator);
    number_out->numerator = (negative ? -number.numerator : number.numerator) / divisor;
    number_out->denominator = number.denominator / divisor;
    return true;
}
