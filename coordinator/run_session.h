/* coordinator/run_session.h - what all ways of `caucus run` share: the model's texts, the scheduler, the
 * person at the terminal.
 *
 * Memory:  a session owns what it opens.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>

#include "coordinator/chat_format.h"
#include "coordinator/config.h"
#include "coordinator/console.h"
#include "coordinator/generation.h"
#include "coordinator/scheduler.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "modelfile/model_file.h"

struct run_session {
    const struct config *config;
    const struct engine *engine;
    struct model_file *model;
    struct tokenizer *tokenizer;
    enum chat_format format;
    struct scheduler *scheduler;
    struct console *console; /* NULL but while answering, or chatting */
    int32_t n_eos;           /* the model's end-of-sequence tokens, and its chat format's end of turn */
    int32_t eos_ids[MODEL_MAX_EOS + 1];
};

NODISCARD enum status run_session_open(const struct config *config, const struct engine *engine,
                                       struct run_session *session_out);
void run_session_close(struct run_session *session);

/* The options of the session's `stream`-th answer; the sink is left empty. */
struct generation_options run_session_options(const struct run_session *session, uint64_t stream);

/* One step. Ctrl-C meanwhile cancels all the generations given, those that wait for a slot too. */
NODISCARD enum status run_session_step(struct run_session *session, struct generation *const *generations,
                                       size_t n, bool *cancelled_out);

/* The closing line, where a person is looking or with -v. */
NODISCARD enum status run_session_report(const struct run_session *session);

/* chat_session.c: asks, answers, asks again until the input ends. */
NODISCARD enum status run_session_chat(struct run_session *session);
