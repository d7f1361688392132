/* --help from the table. */
#include "base/option_impl.h"

#include <string.h>

enum { HELP_COLUMNS = 100, DOC_COLUMN = 32, MAX_HEAD = 128, MAX_DOC = 1024 };

/* "  -m, --model PATH" */
static void format_head(const struct option *option, char head[MAX_HEAD]) {
    const bool begins_true =
        option->kind == OPTION_FLAG && option->initial && strcmp(option->initial, "true") == 0;
    char letter[8] = "    ";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(head, MAX_HEAD, "  %s--%s%s%s%s", letter, begins_true ? "no-" : "", option->name,
             option->metavar ? " " : "", option->metavar ? option->metavar : "");
}

/* The documentation with its choices and default behind it. */
static void format_doc(const struct option *option, char doc[MAX_DOC]) {
    size_t size = (size_t)snprintf(doc, MAX_DOC, "%s", option->doc);
    const char *separator = ": ";
    for (const struct option_choice *choice = option->choices; choice && choice->name; choice++) {
        size += (size_t)snprintf(doc + size, MAX_DOC - size, "%s%s", separator, choice->name);
        separator = ", ";
    }
    const char *initial = option->initial_doc ? option->initial_doc : option->initial;
    if (initial && option_takes_value(option))
        snprintf(doc + size, MAX_DOC - size, " (default: %s)", initial);
}

/* Bytes of the word at `text`; "(default: X" counts as one. */
static size_t word_size(const char *text) {
    static const char opening[] = "(default: ";
    const bool is_default = strncmp(text, opening, sizeof opening - 1) == 0;
    const size_t start = is_default ? sizeof opening - 1 : 0;
    return start + strcspn(text + start, " ");
}

/* Words from DOC_COLUMN on, broken before HELP_COLUMNS and indented to DOC_COLUMN. */
static void print_wrapped(const char *text, FILE *file) {
    size_t column = DOC_COLUMN;
    for (const char *word = text; *word;) {
        const size_t size = word_size(word);
        if (column > DOC_COLUMN && column + 1 + size > HELP_COLUMNS) {
            fprintf(file, "\n%*s", DOC_COLUMN, "");
            column = DOC_COLUMN;
        } else if (column > DOC_COLUMN) {
            fputc(' ', file);
            column++;
        }
        fwrite(word, 1, size, file);
        column += size;
        word += size + strspn(word + size, " ");
    }
    fputc('\n', file);
}

static void print_option(const struct option *option, FILE *file) {
    char head[MAX_HEAD], doc[MAX_DOC];
    format_head(option, head);
    format_doc(option, doc);
    if (strlen(head) + 2 > DOC_COLUMN)
        fprintf(file, "%s\n%*s", head, DOC_COLUMN, "");
    else
        fprintf(file, "%-*s", DOC_COLUMN, head);
    print_wrapped(doc, file);
}

void options_print_help(const struct option_table *table, int command, FILE *file) {
    for (size_t g = 0; g < table->n_groups; g++) {
        const struct option_group *group = table->groups[g];
        bool titled = false;
        for (size_t i = 0; i < group->n; i++) {
            if (!(group->options[i].commands & 1u << command)) continue;
            if (!titled) fprintf(file, "\n%s\n", group->name);
            titled = true;
            print_option(&group->options[i], file);
        }
    }
}
