/* coordinator/generation.h - one answer in the making: prompt in, tokens and text out.
 *
 * Memory:  a generation owns its tokens and text; it borrows tokenizer and options.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/config.h"
#include "coordinator/recall.h"
#include "coordinator/sampler.h"
#include "coordinator/scheduler.h"
#include "coordinator/tokenizer/tokenizer.h"

enum finish_reason {
    FINISH_NONE,      /* still running */
    FINISH_STOP,      /* an end-of-sequence token or a stop string */
    FINISH_LENGTH,    /* --max-tokens, or the context is full */
    FINISH_CANCELLED, /* Ctrl-C */
};

/* Where text goes as it becomes certain. */
struct text_sink {
    void *self;
    enum status (*write)(void *self, const char *text, size_t size);
};

/* The first tokens of an answer that an earlier program began, so that this one goes on with it. The ids are
 * looked at by generation_create only. */
struct known_tokens {
    const int32_t *ids; /* [n] */
    int32_t n;
    const char *source; /* where they come from, for sentences */
    bool are_read; /* in chunks, as a prompt is; else decoded again one by one, as the policy wants them */
    int32_t
        stop_every;   /* a chunk that is read ends where so many tokens divide the context, too; 0: nowhere */
    bool are_trusted; /* else each is held against what is drawn in its place */
};

struct generation_options {
    struct sampler_config sampler;
    int32_t max_tokens;    /* at least 1; -1: until the context is full */
    int64_t n_filled;      /* random keys and values before the prompt, made from the sampler's seed */
    int32_t correct_every; /* so many decoded tokens are computed again, densely; 0: none */
    int32_t n_eos;
    const int32_t *eos_ids; /* [n_eos]; none where end-of-sequence is to be ignored */
    struct text_list stop;
    int32_t n_logprobs;    /* best N beside each token; -1: none */
    struct text_sink sink; /* write NULL: none */
    struct known_tokens known;
};

struct generation;

/* Takes the prompt's ids over. The first n_cached of them, never all, are in the slot already. An empty
 * prompt, one that leaves no room in the context, options out of range or known tokens that cannot be:
 * STATUS_BAD_INPUT. The text of known tokens goes out at once; where they end the answer, it is finished, and
 * nothing for a scheduler. */
NODISCARD enum status generation_create(const struct generation_options *options, const struct engine *engine,
                                        const struct tokenizer *tokenizer, struct token_list *prompt,
                                        int32_t n_cached, struct generation **generation_out);
void generation_destroy(struct generation *generation); /* NULL is allowed */

/* For scheduler_add. */
struct sequence *generation_sequence(struct generation *generation);

/* Ends the answer where it is. */
NODISCARD enum status generation_cancel(struct generation *generation);

enum finish_reason generation_finish_reason(const struct generation *generation);
const char *finish_reason_name(enum finish_reason reason);

/* What there is so far. */
struct generation_view {
    const int32_t *prompt; /* [n_prompt] */
    int32_t n_prompt;
    const int32_t *generated; /* [n_generated], the end-of-sequence token included */
    int32_t n_generated;
    const char *text; /* NUL-terminated; without the stop string */
    size_t text_size;
    const float *logprobs;           /* [n_generated]; not there unless asked for */
    const struct sampled_token *top; /* [n_generated, n_top] the likeliest, best first; token -1: none */
    int32_t n_top;                   /* as generation_options.n_logprobs; -1: not asked for */
    int32_t n_computed;              /* tokens whose keys and values the slot holds */
    int64_t n_fetches;               /* rows of logits that sampling needed whole */
    const struct recall *recall;     /* of a finished answer; NULL: nothing was probed */
};
struct generation_view generation_view(const struct generation *generation);
