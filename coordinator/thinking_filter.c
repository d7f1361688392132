#include "coordinator/thinking_filter.h"

#include <string.h>

static const char open_tag[] = "<think>", close_tag[] = "</think>";
enum { OPEN_SIZE = sizeof open_tag - 1, CLOSE_SIZE = sizeof close_tag - 1 };

#define DIM   "\033[2m"
#define RESET "\033[0m"

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool thinking_prompt_opens(const char *prompt, size_t size) {
    while (size && is_space(prompt[size - 1]))
        size--;
    return size >= OPEN_SIZE && memcmp(prompt + size - OPEN_SIZE, open_tag, OPEN_SIZE) == 0;
}

struct thinking_filter thinking_filter_begin(enum thinking_style style, bool is_inside) {
    return (struct thinking_filter){.style = style, .state = is_inside ? THINKING_INSIDE : THINKING_BEFORE};
}

static void enter(struct thinking_filter *filter, int state) {
    filter->state = state;
    filter->n_matched = 0;
}

static enum status show_thought(struct thinking_filter *filter, const char *text, size_t size,
                                struct bytes *shown) {
    if (filter->style == THINKING_HIDDEN || size == 0) return STATUS_OK;
    if (filter->style == THINKING_DIMMED && !filter->is_dimmed) {
        TRY(bytes_append_text(shown, DIM));
        filter->is_dimmed = true;
    }
    return bytes_append(shown, text, size);
}

static enum status set_back(struct thinking_filter *filter, struct bytes *shown) {
    if (!filter->is_dimmed) return STATUS_OK;
    filter->is_dimmed = false;
    return bytes_append_text(shown, RESET);
}

/* Each of these takes some of the text, or none and changes the state. */

static enum status push_before(struct thinking_filter *filter, const char *text, struct bytes *shown,
                               size_t *used) {
    if (*text == open_tag[filter->n_matched]) {
        *used = 1;
        if (++filter->n_matched < OPEN_SIZE) return STATUS_OK;
        enter(filter, THINKING_INSIDE);
        return show_thought(filter, open_tag, OPEN_SIZE, shown);
    }
    if (filter->n_matched == 0 && is_space(*text)) {
        *used = 1;
        return bytes_append(shown, text, 1);
    }
    TRY(bytes_append(shown, open_tag, filter->n_matched));
    enter(filter, THINKING_ANSWER);
    return STATUS_OK;
}

static enum status push_inside(struct thinking_filter *filter, const char *text, size_t size,
                               struct bytes *shown, size_t *used) {
    size_t n = 0;
    while (n < size && filter->n_matched < CLOSE_SIZE) {
        if (text[n] == close_tag[filter->n_matched])
            filter->n_matched++;
        else
            filter->n_matched = text[n] == close_tag[0]; /* which stands nowhere else in the tag */
        n++;
    }
    *used = n;
    TRY(show_thought(filter, text, n, shown));
    if (filter->n_matched < CLOSE_SIZE) return STATUS_OK;
    enter(filter, filter->style == THINKING_HIDDEN ? THINKING_SEPARATOR : THINKING_ANSWER);
    return set_back(filter, shown);
}

enum status thinking_filter_push(struct thinking_filter *filter, const char *text, size_t size,
                                 struct bytes *shown) {
    while (size) {
        size_t used = 0;
        switch (filter->state) {
        case THINKING_BEFORE:
            TRY(push_before(filter, text, shown, &used));
            break;
        case THINKING_INSIDE:
            TRY(push_inside(filter, text, size, shown, &used));
            break;
        case THINKING_SEPARATOR:
            if (*text == '\n' || *text == '\r')
                used = 1;
            else
                enter(filter, THINKING_ANSWER);
            break;
        case THINKING_ANSWER:
            return bytes_append(shown, text, size);
        }
        text += used;
        size -= used;
    }
    return STATUS_OK;
}

enum status thinking_filter_finish(struct thinking_filter *filter, struct bytes *shown) {
    const size_t n_waiting = filter->state == THINKING_BEFORE ? filter->n_matched : 0;
    enter(filter, THINKING_ANSWER);
    TRY(bytes_append(shown, open_tag, n_waiting));
    return set_back(filter, shown);
}
