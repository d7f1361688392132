/* coordinator/tokenizer/normalizer_impl.h - what is done to the text before it is split into words.
 *
 * Memory:  steps own their patterns (freed by normalizer_free); texts live in the tokenizer's arena.
 * Threads: read-only once filled.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "coordinator/tokenizer/pattern_impl.h"

enum { PIPELINE_MAX_STEPS = 16, PIPELINE_MAX_CONTENT = 256 };

struct normalizer_step {
    enum { NORMALIZE_NFC, NORMALIZE_PREPEND, NORMALIZE_REPLACE } kind;
    struct pattern *pattern; /* replace */
    const char *content;     /* prepend, replace */
    size_t content_size;
};

struct normalizer {
    struct normalizer_step steps[PIPELINE_MAX_STEPS];
    int n_steps;
};
void normalizer_free(struct normalizer *normalizer);

/* Normalises `text` in place, with `spare` as working memory. Empty text stays empty. */
NODISCARD enum status normalizer_run(const struct normalizer *normalizer, struct pattern_scratch *scratch,
                                     struct bytes *text, struct bytes *spare);
