#include "coordinator/eval_canonical.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "coordinator/eval_number.h"

enum {
    MAX_DEPTH = 64,  /* of braces that are looked at; deeper ones are copied */
    MAX_NUMBER = 64, /* bytes of a number that a unit may follow: looked at again at every space */
};

struct writer {
    const char *at, *end; /* what is left to read */
    struct bytes *out;
    int depth;
    struct {
        int8_t n_arguments; /* of a \frac or \sqrt before: as many groups are still to come */
        bool hidden;        /* the group's braces are left out */
    } groups[MAX_DEPTH + 1];
    bool hide_next; /* the next group's */
};

enum latex_kind { LATEX_COPY, LATEX_DROP, LATEX_UNWRAP, LATEX_FRACTION, LATEX_ROOT };

static const struct {
    const char *name;
    enum latex_kind kind;
} commands[] = {
    {"left", LATEX_DROP},         {"right", LATEX_DROP},
    {"displaystyle", LATEX_DROP}, {"quad", LATEX_DROP},
    {"degree", LATEX_DROP},       {"big", LATEX_DROP},
    {"Big", LATEX_DROP},          {"text", LATEX_UNWRAP},
    {"textbf", LATEX_UNWRAP},     {"mbox", LATEX_UNWRAP},
    {"mathrm", LATEX_UNWRAP},     {"mathbf", LATEX_UNWRAP},
    {"textrm", LATEX_UNWRAP},     {"textit", LATEX_UNWRAP},
    {"mathit", LATEX_UNWRAP},     {"operatorname", LATEX_UNWRAP},
    {"boxed", LATEX_UNWRAP},      {"frac", LATEX_FRACTION},
    {"dfrac", LATEX_FRACTION},    {"tfrac", LATEX_FRACTION},
    {"cfrac", LATEX_FRACTION},    {"sqrt", LATEX_ROOT},
};

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '~';
}

static bool begins_with(const char *at, const char *end, const char *text) {
    const size_t size = strlen(text);
    return (size_t)(end - at) >= size && memcmp(at, text, size) == 0;
}

static bool take(struct writer *writer, const char *text) {
    if (!begins_with(writer->at, writer->end, text)) return false;
    writer->at += strlen(text);
    return true;
}

static void skip_spaces(struct writer *writer) {
    while (writer->at < writer->end && is_space(*writer->at))
        writer->at++;
}

static const char *skip_any(const char *at, const char *end, const char *set) {
    while (at < end && *at != '\0' && strchr(set, *at))
        at++;
    return at;
}

static bool is_number(const struct bytes *out) {
    struct eval_number number;
    return out->size > 0 && out->size <= MAX_NUMBER && eval_number_parse(out->data, out->size, &number);
}

/* ---- units: words behind a number ---- */

/* " cents", "dollars per egg.", "cm^2": words of two letters or more, and powers of them. */
static bool are_words(const char *at, const char *end) {
    size_t n_letters = 0;
    for (; at < end; at++) {
        const bool power = n_letters >= 2 && begins_with(at, end, "^") && at + 1 < end && is_digit(at[1]);
        if (is_letter(*at))
            n_letters++;
        else if (n_letters == 1)
            return false;
        else if (power)
            at++;
        else if (is_space(*at) || *at == '.')
            n_letters = 0;
        else
            return false;
    }
    return n_letters != 1;
}

/* Words that are part of the value. */
static bool is_unit(const char *at, const char *end) {
    at = skip_any(at, end, " ");
    static const char *const others[] = {"pi", "and", "or"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *after = at + strlen(others[i]);
        if (begins_with(at, end, others[i]) && (after == end || !is_letter(*after))) return false;
    }
    return at < end && is_letter(*at);
}

/* Behind a space: skips what is left where that is nothing but the unit of a number. */
static void skip_words(struct writer *writer) {
    if (writer->depth == 0 && is_number(writer->out) && is_unit(writer->at, writer->end) &&
        are_words(writer->at, writer->end))
        writer->at = writer->end;
}

/* Behind \text: "{ cm}^2" after a number and before the end is left out. */
static bool skip_unit_group(struct writer *writer) {
    if (writer->depth > 0 || !is_number(writer->out)) return false;
    const char *close = memchr(writer->at, '}', (size_t)(writer->end - writer->at));
    if (!close || !is_unit(writer->at + 1, close)) return false;
    const char *after = close + 1;
    if (after < writer->end && *after == '^') after = skip_any(after + 1, writer->end, "{}0123456789");
    if (skip_any(after, writer->end, " .$") != writer->end) return false;
    writer->at = writer->end;
    return true;
}

/* ---- LaTeX ---- */

static int8_t *arguments(struct writer *writer) {
    return &writer->groups[writer->depth < MAX_DEPTH ? writer->depth : MAX_DEPTH].n_arguments;
}

/* One character or command: in braces where it is an argument, as \frac12 is. */
static enum status put(struct writer *writer, const char *text, size_t size) {
    int8_t *left = arguments(writer);
    if (*left == 0) return bytes_append(writer->out, text, size);
    (*left)--;
    TRY(bytes_append_text(writer->out, "{"));
    TRY(bytes_append(writer->out, text, size));
    return bytes_append_text(writer->out, "}");
}

static enum status open_group(struct writer *writer) {
    const bool hidden = writer->hide_next;
    int8_t *left = arguments(writer);
    if (*left > 0 && !hidden) (*left)--;
    writer->hide_next = false;
    writer->depth++;
    if (writer->depth <= MAX_DEPTH) {
        writer->groups[writer->depth].n_arguments = 0;
        writer->groups[writer->depth].hidden = hidden;
    }
    return hidden && writer->depth <= MAX_DEPTH ? STATUS_OK : bytes_append_text(writer->out, "{");
}

static enum status close_group(struct writer *writer) {
    const bool hidden =
        writer->depth > 0 && writer->depth <= MAX_DEPTH && writer->groups[writer->depth].hidden;
    if (writer->depth > 0) writer->depth--;
    return hidden ? STATUS_OK : bytes_append_text(writer->out, "}");
}

static enum latex_kind latex_kind(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strlen(commands[i].name) == size && memcmp(commands[i].name, name, size) == 0)
            return commands[i].kind;
    return LATEX_COPY;
}

/* \name, the reader behind the backslash. */
static enum status write_named(struct writer *writer) {
    const char *name = writer->at;
    while (writer->at < writer->end && is_letter(*writer->at))
        writer->at++;
    const size_t size = (size_t)(writer->at - name);
    switch (latex_kind(name, size)) {
    case LATEX_DROP:
        return STATUS_OK;
    case LATEX_UNWRAP:
        skip_spaces(writer);
        if (writer->at < writer->end && *writer->at == '{' && !skip_unit_group(writer))
            writer->hide_next = true;
        return STATUS_OK;
    case LATEX_FRACTION:
        TRY(put(writer, "\\frac", strlen("\\frac")));
        *arguments(writer) = 2;
        return STATUS_OK;
    case LATEX_ROOT:
        TRY(put(writer, "\\sqrt", strlen("\\sqrt")));
        skip_spaces(writer);
        if (writer->at < writer->end && *writer->at != '[') *arguments(writer) = 1;
        return STATUS_OK;
    case LATEX_COPY:
        break;
    }
    return put(writer, name - 1, size + 1);
}

static enum status write_command(struct writer *writer) {
    if (writer->at < writer->end && is_letter(*writer->at)) return write_named(writer);
    if (writer->at == writer->end) return STATUS_OK;
    const char c = *writer->at++;
    if (c == ' ' || c == ',' || c == ';' || c == ':') skip_words(writer); /* spaces of some width */
    if (c != '\0' && strchr(" ,;:!$%()[]", c)) return STATUS_OK;
    return put(writer, writer->at - 2, 2);
}

/* ^{2} is ^2, and ^\circ is nothing. */
static enum status write_script(struct writer *writer, char mark) {
    static const char *const degrees[] = {"\\circ", "{\\circ}", "{\\circ }"};
    skip_spaces(writer);
    for (size_t i = 0; mark == '^' && i < sizeof degrees / sizeof *degrees; i++)
        if (take(writer, degrees[i])) return STATUS_OK;
    TRY(bytes_append(writer->out, &mark, 1));
    const bool single = writer->end - writer->at >= 3 && writer->at[0] == '{' && writer->at[2] == '}' &&
                        writer->at[1] != '{' && writer->at[1] != '}' && writer->at[1] != '\\';
    if (!single) return STATUS_OK;
    TRY(bytes_append(writer->out, writer->at + 1, 1));
    writer->at += 3;
    return STATUS_OK;
}

static enum status write_next(struct writer *writer) {
    if (take(writer, "\u00B0")) return STATUS_OK;
    if (take(writer, "\u2212")) return put(writer, "-", 1);
    if (take(writer, "{,}")) return put(writer, ",", 1);
    const char c = *writer->at++;
    if (is_space(c)) {
        skip_words(writer);
        return STATUS_OK;
    }
    switch (c) {
    case '$':
    case '%':
        return STATUS_OK;
    case '\\':
        return write_command(writer);
    case '{':
        return open_group(writer);
    case '}':
        return close_group(writer);
    case '^':
    case '_':
        return write_script(writer, c);
    default:
        return put(writer, &c, 1);
    }
}

/* ---- the ends ---- */

/* Full stops and Markdown's stars at the ends. */
static void trim(struct bytes *out) {
    while (out->size > 0 && strchr(".;,*", out->data[out->size - 1]))
        out->data[--out->size] = '\0';
    bytes_drop_front(out, strspn(out->data, "*"));
}

/* "(C)", the letter of a choice. */
static void strip_choice(struct bytes *out) {
    char *text = out->data;
    if (out->size != 3 || text[0] != '(' || text[2] != ')' || !is_letter(text[1])) return;
    text[0] = text[1];
    text[1] = '\0';
    out->size = 1;
}

/* Of one number alone: in a list they separate. */
static void strip_commas(struct bytes *out) {
    struct eval_number number;
    if (!eval_number_parse(out->data, out->size, &number)) return;
    size_t kept = 0;
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] != ',') out->data[kept++] = out->data[i];
    out->data[kept] = '\0';
    out->size = kept;
}

enum status eval_canonical(const char *text, size_t size, struct bytes *canonical) {
    bytes_clear(canonical);
    TRY(bytes_append(canonical, "", 0));
    struct writer writer = {.at = text, .end = text + size, .out = canonical};
    while (writer.at < writer.end)
        TRY(write_next(&writer));
    trim(canonical);
    strip_choice(canonical);
    strip_commas(canonical);
    return STATUS_OK;
}
