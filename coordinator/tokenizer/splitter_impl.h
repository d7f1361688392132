/* coordinator/tokenizer/splitter_impl.h - the pre-tokenizer: cuts normalised text into the words that
 * the merges never cross.
 *
 * Memory:  steps own their patterns (freed by splitter_free); a word list belongs to one call.
 * Threads: read-only once filled; a word list is for one thread.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "coordinator/tokenizer/normalizer_impl.h"
#include "coordinator/tokenizer/pattern_impl.h"

/* What becomes of the matches (the pieces between them are always words). */
enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,   /* a word each */
    SPLIT_CONTIGUOUS, /* neighbouring matches together are one word */
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
};

enum prefix_scheme { PREFIX_ALWAYS, PREFIX_FIRST, PREFIX_NEVER };

struct splitter_step {
    enum { STEP_SPLIT, STEP_PREFIX } kind;
    /* STEP_SPLIT */
    struct pattern *pattern;
    enum split_behavior behavior;
    bool invert; /* matches and the pieces between them change places */
    /* STEP_PREFIX: spaces become `mark`, and each word (or the first of the text) begins with one */
    const char *mark;
    size_t mark_size;
    enum prefix_scheme scheme;
};

struct splitter {
    struct splitter_step steps[PIPELINE_MAX_STEPS];
    int n_steps;
};
void splitter_free(struct splitter *splitter);

struct word_list {
    const char *text;   /* what the words are spans of */
    struct span *words; /* [n], none empty */
    size_t n, capacity;
    /* private: working memory of splitter_run */
    struct span *previous;
    size_t previous_capacity;
    struct bytes rewritten[2];
};
void word_list_free(struct word_list *list);

/* The words of `text`, which must outlive their use. `starts_text`: nothing stands before it. */
NODISCARD enum status splitter_run(const struct splitter *splitter, struct pattern_scratch *scratch,
                                   const char *text, size_t size, bool starts_text, struct word_list *list);
