#include "coordinator/tokenizer/splitter_impl.h"

#include <stdlib.h>
#include <string.h>

void splitter_free(struct splitter *splitter) {
    for (int i = 0; i < splitter->n_steps; i++)
        pattern_destroy(splitter->steps[i].pattern);
    splitter->n_steps = 0;
}

void word_list_free(struct word_list *list) {
    free(list->words);
    free(list->previous);
    bytes_free(&list->rewritten[0]);
    bytes_free(&list->rewritten[1]);
    *list = (struct word_list){0};
}

static enum status add_word(struct word_list *list, size_t start, size_t end) {
    if (start == end) return STATUS_OK;
    if (list->n == list->capacity) {
        const size_t larger = list->capacity ? 2 * list->capacity : 256;
        struct span *moved = realloc(list->words, larger * sizeof *moved);
        if (!moved) return FAIL(STATUS_NO_MEMORY, "out of memory: a text of more than %zu words", list->n);
        list->words = moved;
        list->capacity = larger;
    }
    list->words[list->n++] = (struct span){start, end};
    return STATUS_OK;
}

/* Makes the words found so far the input of the next step. */
static void take_words(struct word_list *list, struct span **words_out, size_t *n_out) {
    struct span *words = list->words;
    const size_t n = list->n, capacity = list->capacity;
    list->words = list->previous;
    list->capacity = list->previous_capacity;
    list->n = 0;
    list->previous = *words_out = words;
    list->previous_capacity = capacity;
    *n_out = n;
}

/* ---- splitting ---- */

/* The pieces of one word, matches and what is between them, arrive from left to right. */
struct cutting {
    struct word_list *list;
    enum split_behavior behavior;
    size_t first_word;   /* list->n before this word */
    bool last_was_match; /* of the piece before */
    bool match_waits;    /* merged with next: a match that waits for its neighbour */
    struct span waiting;
};

static enum status merge_with_previous(struct cutting *cut, struct span piece, bool joins) {
    struct word_list *list = cut->list;
    if (!joins || list->n == cut->first_word) return add_word(list, piece.start, piece.end);
    list->words[list->n - 1].end = piece.end;
    return STATUS_OK;
}

static enum status merge_with_next(struct cutting *cut, struct span piece, bool is_match) {
    if (cut->match_waits && !is_match) {
        cut->match_waits = false;
        return add_word(cut->list, cut->waiting.start, piece.end);
    }
    if (cut->match_waits) TRY(add_word(cut->list, cut->waiting.start, cut->waiting.end));
    cut->match_waits = is_match;
    cut->waiting = piece;
    return is_match ? STATUS_OK : add_word(cut->list, piece.start, piece.end);
}

static enum status put_piece(struct cutting *cut, struct span piece, bool is_match) {
    const bool last_was_match = cut->last_was_match;
    cut->last_was_match = is_match;
    switch (cut->behavior) {
    case SPLIT_REMOVED:
        return is_match ? STATUS_OK : add_word(cut->list, piece.start, piece.end);
    case SPLIT_ISOLATED:
        break;
    case SPLIT_CONTIGUOUS:
        return merge_with_previous(cut, piece, is_match == last_was_match);
    case SPLIT_MERGED_WITH_PREVIOUS:
        return merge_with_previous(cut, piece, is_match && !last_was_match);
    case SPLIT_MERGED_WITH_NEXT:
        return merge_with_next(cut, piece, is_match);
    }
    return add_word(cut->list, piece.start, piece.end);
}

static enum status split_word(const struct splitter_step *step, struct pattern_scratch *scratch,
                              struct span word, struct word_list *list) {
    struct pattern_search search =
        pattern_search_begin(step->pattern, scratch, list->text + word.start, word.end - word.start);
    struct cutting cut = {.list = list, .behavior = step->behavior, .first_word = list->n};
    size_t done = word.start;
    for (;;) {
        bool found;
        struct span match;
        TRY(pattern_search_next(&search, &found, &match));
        const size_t start = found ? word.start + match.start : word.end;
        if (start > done) TRY(put_piece(&cut, (struct span){done, start}, step->invert));
        if (!found) break;
        done = word.start + match.end;
        TRY(put_piece(&cut, (struct span){start, done}, !step->invert));
    }
    return cut.match_waits ? add_word(list, cut.waiting.start, cut.waiting.end) : STATUS_OK;
}

/* ---- marking where words begin ---- */

static bool begins_with(const char *text, size_t size, const char *prefix, size_t prefix_size) {
    return size >= prefix_size && memcmp(text, prefix, prefix_size) == 0;
}

static bool needs_mark(const struct splitter_step *step, const char *text, size_t size, bool starts_text) {
    if (step->scheme == PREFIX_NEVER || (step->scheme == PREFIX_FIRST && !starts_text)) return false;
    return !begins_with(text, size, step->mark, step->mark_size) && text[0] != ' ';
}

static enum status mark_word(const struct splitter_step *step, const char *text, size_t size,
                             bool starts_text, struct bytes *rewritten) {
    if (needs_mark(step, text, size, starts_text)) TRY(bytes_append(rewritten, step->mark, step->mark_size));
    while (size > 0) {
        const char *space = memchr(text, ' ', size);
        const size_t plain = space ? (size_t)(space - text) : size;
        TRY(bytes_append(rewritten, text, plain));
        if (!space) break;
        TRY(bytes_append(rewritten, step->mark, step->mark_size));
        text += plain + 1;
        size -= plain + 1;
    }
    return STATUS_OK;
}

static enum status mark_words(const struct splitter_step *step, const struct span *words, size_t n,
                              size_t limit, bool starts_text, struct word_list *list) {
    const char *text = list->text;
    struct bytes *rewritten = &list->rewritten[text == list->rewritten[0].data];
    bytes_clear(rewritten);
    for (size_t i = 0; i < n; i++) {
        const size_t start = rewritten->size;
        TRY(mark_word(step, text + words[i].start, words[i].end - words[i].start,
                      starts_text && words[i].start == 0, rewritten));
        TRY(add_word(list, start, rewritten->size));
        if (rewritten->size > limit)
            return FAIL(STATUS_BAD_INPUT, "the pre-tokenizer makes the text longer than %zu bytes", limit);
    }
    list->text = rewritten->data;
    return STATUS_OK;
}

enum status splitter_run(const struct splitter *splitter, struct pattern_scratch *scratch, const char *text,
                         size_t size, bool starts_text, struct word_list *list) {
    list->text = text;
    list->n = 0;
    TRY(add_word(list, 0, size));
    for (int s = 0; s < splitter->n_steps; s++) {
        const struct splitter_step *step = &splitter->steps[s];
        struct span *words;
        size_t n;
        take_words(list, &words, &n);
        if (step->kind == STEP_PREFIX)
            TRY(mark_words(step, words, n, pattern_text_limit(size), starts_text, list));
        for (size_t i = 0; i < n && step->kind == STEP_SPLIT; i++)
            TRY(split_word(step, scratch, words[i], list));
    }
    return STATUS_OK;
}
