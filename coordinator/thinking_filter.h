/* coordinator/thinking_filter.h - streamed text of a reasoning model, its thoughts told from its answer.
 *
 * A thought is one block <think> … </think> that opens the text, white space aside, or was opened by the
 * prompt already. A tag anywhere else is part of the answer: a model may write about them. Text may be cut
 * into pushes anywhere; comes after the stop matcher.
 *
 * Memory:  plain data; text is appended to the caller's bytes.
 * Threads: one at a time per filter.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

enum thinking_style {
    THINKING_PLAIN,  /* as it came */
    THINKING_DIMMED, /* the block and its tags between ESC[2m and ESC[0m, for a terminal */
    THINKING_HIDDEN, /* neither the block nor the line ends that separate the answer from it */
};

struct thinking_filter {
    enum thinking_style style;
    enum {
        THINKING_BEFORE,    /* nothing but white space so far, perhaps the beginning of <think> */
        THINKING_INSIDE,    /* of the block */
        THINKING_SEPARATOR, /* line ends after a hidden block */
        THINKING_ANSWER,
    } state;
    size_t n_matched; /* bytes of the tag that the state waits for */
    bool is_dimmed;   /* the terminal is to be set back */
};

/* Does the prompt end in an opened block, as the generation prompts of some formats do? */
bool thinking_prompt_opens(const char *prompt, size_t size);

struct thinking_filter thinking_filter_begin(enum thinking_style style, bool is_inside);

/* Appends what is to be shown. */
NODISCARD enum status thinking_filter_push(struct thinking_filter *filter, const char *text, size_t size,
                                           struct bytes *shown);

/* The text has ended, or was interrupted: appends what waited and sets the terminal back. */
NODISCARD enum status thinking_filter_finish(struct thinking_filter *filter, struct bytes *shown);
