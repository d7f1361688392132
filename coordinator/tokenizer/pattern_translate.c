/* Oniguruma (as the tokenizers library configures it) against PCRE2 with UTF and UCP:
 *
 *   \s \S      Oniguruma: the property White_Space. PCRE2 adds U+180E.
 *   \w \W      Oniguruma: letters, marks, numbers, connectors. PCRE2 leaves marks and connectors out.
 *   \v         one character (VT) there, a class here.
 *   \uHHHH     not known here.
 *   ^ $        match at every line there: compiled with PCRE2_MULTILINE.
 *   {n,m}+     repeats the interval there, is possessive here: refused.
 *   {,m} (?m) [a[b]] [a&&b] and rarer escapes: mean other things: refused.
 *
 * The same in both: \p{…}, (?i:…), look-around, atomic groups, possessive ?+ *+ ++. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/pattern_impl.h"

struct translation {
    const char *source;
    const char *at; /* what comes next */
    const char *where;
    struct bytes *out;
    bool in_class;
};

static enum status refuse(const struct translation *t, const char *what) {
    return FAIL(STATUS_BAD_INPUT,
                "%s: the regular expression \"%.200s\" uses %s (at byte %zu), which is not supported",
                t->where, t->source, what, (size_t)(t->at - t->source));
}

static enum status put(struct translation *t, const char *text, size_t consumed) {
    t->at += consumed;
    return bytes_append_text(t->out, text);
}

static enum status copy(struct translation *t, size_t size) {
    TRY(bytes_append(t->out, t->at, size));
    t->at += size;
    return STATUS_OK;
}

/* \p{…} and \x{…} up to the brace; \xHH and \pL as they stand. */
static enum status copy_braced(struct translation *t) {
    if (t->at[2] != '{') return copy(t, 2);
    const char *end = strchr(t->at, '}');
    return end ? copy(t, (size_t)(end - t->at) + 1) : refuse(t, "an open brace");
}

static enum status put_code_point(struct translation *t) {
    char digits[5] = {0};
    strncpy(digits, t->at + 2, 4);
    if (strspn(digits, "0123456789abcdefABCDEF") != 4) return refuse(t, "\\u without four digits");
    TRY(bytes_printf(t->out, "\\x{%s}", digits));
    t->at += 6;
    return STATUS_OK;
}

#define WORD_CHARACTERS "\\p{Alphabetic}\\p{M}\\p{N}\\p{Pc}"

static enum status translate_escape(struct translation *t) {
    const unsigned char escaped = (unsigned char)t->at[1];
    switch (escaped) {
    case '\0':
        return refuse(t, "a backslash at the end");
    case 's':
        return put(t, "\\p{White_Space}", 2);
    case 'S':
        return put(t, "\\P{White_Space}", 2);
    case 'w':
        return put(t, t->in_class ? WORD_CHARACTERS : "[" WORD_CHARACTERS "]", 2);
    case 'W':
        return t->in_class ? refuse(t, "\\W inside a class") : put(t, "[^" WORD_CHARACTERS "]", 2);
    case 'v':
        return put(t, "\\x0B", 2);
    case 'u':
        return put_code_point(t);
    case 'p':
    case 'P':
    case 'x':
        return copy_braced(t);
    default:
        break;
    }
    const bool alphanumeric = (escaped >= '0' && escaped <= '9') || (escaped >= 'A' && escaped <= 'Z') ||
                              (escaped >= 'a' && escaped <= 'z');
    if (alphanumeric && !strchr("dDbBnrtfaeAzZ", escaped)) return refuse(t, "a rare escape");
    return copy(t, 2);
}

/* "[" inside a class: only [:name:] means the same in both. */
static enum status translate_inner_bracket(struct translation *t) {
    const char *end = t->at[1] == ':' ? strstr(t->at, ":]") : NULL;
    return end ? copy(t, (size_t)(end - t->at) + 2) : refuse(t, "a class inside a class");
}

static enum status translate_in_class(struct translation *t) {
    if (*t->at == '[') return translate_inner_bracket(t);
    if (t->at[0] == '&' && t->at[1] == '&') return refuse(t, "an intersection of classes");
    if (*t->at == ']') t->in_class = false;
    return copy(t, 1);
}

/* "[", "[^", and a "]" that comes first and so is a member. */
static enum status open_class(struct translation *t) {
    t->in_class = true;
    TRY(copy(t, t->at[1] == '^' ? 2 : 1));
    return *t->at == ']' ? put(t, "\\]", 1) : STATUS_OK;
}

/* What may follow "(": groups and look-around, and an i switched on or off. */
static enum status open_group(struct translation *t) {
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:"};
    if (t->at[1] == '*') return refuse(t, "a verb");
    if (t->at[1] != '?') return copy(t, 1);
    if (strncmp(t->at, "(?i)", 4) == 0 && t->at == t->source) return copy(t, 4);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(t->at, known[i], strlen(known[i])) == 0) return copy(t, strlen(known[i]));
    return refuse(t, "a rare kind of group");
}

static enum status translate_interval(struct translation *t) {
    const size_t size = 1 + strspn(t->at + 1, "0123456789,");
    if (t->at[size] != '}') return copy(t, 1); /* not an interval: both take it literally */
    if (t->at[1] == ',') return refuse(t, "an interval without a lower bound");
    if (t->at[size + 1] == '+') return refuse(t, "a repeated interval");
    return copy(t, size + 1);
}

static enum status translate_next(struct translation *t) {
    if (*t->at == '\\') return translate_escape(t);
    if (t->in_class) return translate_in_class(t);
    if (*t->at == '[') return open_class(t);
    if (*t->at == '(') return open_group(t);
    if (*t->at == '{') return translate_interval(t);
    return copy(t, 1);
}

enum status pattern_translate(const char *source, const char *where, struct bytes *translated) {
    struct translation t = {.source = source, .at = source, .where = where, .out = translated};
    TRY(bytes_append_text(translated, ""));
    while (*t.at)
        TRY(translate_next(&t));
    return STATUS_OK;
}
