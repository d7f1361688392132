#include "coordinator/eval_answer.h"

#include <stdint.h>
#include <string.h>

#include "coordinator/eval_canonical.h"
#include "coordinator/eval_number.h"

/* [begin, end) of a text. */
struct span {
    const char *begin, *end;
};

/* ---- finding ---- */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trimmed(struct span span) {
    while (span.begin < span.end && is_space(*span.begin))
        span.begin++;
    while (span.end > span.begin && is_space(span.end[-1]))
        span.end--;
    return span;
}

/* Behind the next place of `mark`; NULL: there is none. */
static const char *after_next(struct span span, const char *mark) {
    const size_t size = strlen(mark);
    const char *at = memmem(span.begin, (size_t)(span.end - span.begin), mark, size);
    return at ? at + size : NULL;
}

static const char *after_last(struct span span, const char *mark) {
    const char *last = NULL;
    for (const char *at = after_next(span, mark); at; at = after_next((struct span){at, span.end}, mark))
        last = at;
    return last;
}

/* The brace that closes the one before `span`; NULL: none does. */
static const char *closing_brace(struct span span) {
    int64_t depth = 1;
    for (const char *at = span.begin; at < span.end; at++) {
        if (*at == '\\')
            at++; /* \{ is no brace */
        else if (*at == '{')
            depth++;
        else if (*at == '}' && --depth == 0)
            return at;
    }
    return NULL;
}

/* Each is looked at up to the next one only: if it were to close later, so would that one. */
static bool find_boxed(struct span text, struct span *found) {
    static const char mark[] = "\\boxed{";
    bool any = false;
    for (const char *at = after_next(text, mark); at;) {
        const char *next = after_next((struct span){at, text.end}, mark);
        const char *close = closing_brace((struct span){at, next ? next : text.end});
        if (close) *found = trimmed((struct span){at, close});
        any = any || close;
        at = next;
    }
    return any;
}

/* What is said behind the thoughts; of thoughts that never end, nothing. */
static struct span behind_thoughts(struct span text, bool thinking) {
    const char *thought = after_last(text, "</think>");
    if (thought) text.begin = thought;
    const bool open = after_next(text, "<think>") || (thinking && !thought);
    return trimmed(open ? (struct span){text.end, text.end} : text);
}

/* Only where the text ends with its line: a mark before that is a headline. */
static bool find_marked(struct span said, struct span *found) {
    const char *begin = after_last(said, "####");
    if (!begin || memchr(begin, '\n', (size_t)(said.end - begin))) return false;
    *found = trimmed((struct span){begin, said.end});
    return found->end > found->begin;
}

static bool find_last_line(struct span said, struct span *found) {
    const char *newline = memrchr(said.begin, '\n', (size_t)(said.end - said.begin));
    if (newline) said.begin = newline + 1;
    *found = trimmed(said);
    return found->end > found->begin;
}

struct eval_answer eval_answer_find(const char *text, size_t size, bool thinking) {
    const struct span whole = {text, text + size};
    struct span found;
    if (size == 0) return (struct eval_answer){0};
    const struct span said = behind_thoughts(whole, thinking);
    if (!find_boxed(whole, &found) && !find_marked(said, &found) && !find_last_line(said, &found))
        return (struct eval_answer){0};
    return (struct eval_answer){found.begin, (size_t)(found.end - found.begin)};
}

/* ---- comparing canonical forms ---- */

static size_t size_of(struct span span) {
    return (size_t)(span.end - span.begin);
}

static bool same_value(struct span a, struct span b) {
    struct eval_number x, y;
    if (eval_number_parse(a.begin, size_of(a), &x) && eval_number_parse(b.begin, size_of(b), &y))
        return x.numerator == y.numerator && x.denominator == y.denominator;
    return size_of(a) == size_of(b) && memcmp(a.begin, b.begin, size_of(a)) == 0;
}

/* Cuts the front off *rest, up to the first comma outside of brackets, which is dropped. */
static struct span cut_part(struct span *rest) {
    int64_t depth = 0;
    const char *at = rest->begin;
    for (; at < rest->end && (*at != ',' || depth > 0); at++)
        depth += (*at == '(' || *at == '[' || *at == '{') - (*at == ')' || *at == ']' || *at == '}');
    const struct span front = {rest->begin, at};
    rest->begin = at < rest->end ? at + 1 : rest->end;
    return front;
}

/* The same brackets are around both, or none: takes them away. */
static bool unwrap_both(struct span *a, struct span *b) {
    const char first = *a->begin, last = a->end[-1];
    if (first != *b->begin && (strchr("([{", first) || strchr("([{", *b->begin))) return false;
    if (!strchr("([{", first)) return true;
    if (size_of(*a) < 2 || size_of(*b) < 2 || last != b->end[-1] || !strchr(")]}", last)) return false;
    a->begin++, a->end--, b->begin++, b->end--;
    return true;
}

static bool same_parts(struct span a, struct span b) {
    if (size_of(a) == 0 || size_of(b) == 0 || !unwrap_both(&a, &b)) return false;
    while (a.begin < a.end && b.begin < b.end) {
        const struct span x = cut_part(&a), y = cut_part(&b);
        if (!same_value(x, y)) return false;
    }
    return a.begin == a.end && b.begin == b.end;
}

/* Behind the name that the only "=" gives the value; NULL: there is no such name. */
static const char *after_name(struct span text) {
    const char *equals = memchr(text.begin, '=', size_of(text));
    if (!equals || memchr(equals + 1, '=', (size_t)(text.end - equals - 1))) return NULL;
    return equals > text.begin && equals - text.begin <= 2 ? equals + 1 : NULL;
}

/* The name counts where both have one. */
static bool same_answer(struct span a, struct span b) {
    const char *value_a = after_name(a), *value_b = after_name(b);
    if (value_a && value_b && !same_value((struct span){a.begin, value_a}, (struct span){b.begin, value_b}))
        return false;
    if (value_a) a.begin = value_a;
    if (value_b) b.begin = value_b;
    return same_value(a, b) || same_parts(a, b);
}

enum status eval_answer_check(struct eval_answer answer, const char *expected, bool *right_out) {
    *right_out = false;
    if (!answer.text) return STATUS_OK;
    struct bytes given = {0}, wanted = {0};
    enum status status = eval_canonical(answer.text, answer.size, &given);
    if (status == STATUS_OK) status = eval_canonical(expected, strlen(expected), &wanted);
    if (status == STATUS_OK && given.size > 0 && wanted.size > 0)
        *right_out = same_answer((struct span){given.data, given.data + given.size},
                                 (struct span){wanted.data, wanted.data + wanted.size});
    bytes_free(&given);
    bytes_free(&wanted);
    return status;
}
