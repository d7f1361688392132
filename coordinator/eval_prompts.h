/* coordinator/eval_prompts.h - from problems to prompts in tokens.
 *
 * Memory:  the caller frees them with run_prompts_free.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_problem.h"
#include "coordinator/run_prompts.h"
#include "coordinator/run_session.h"

/* One prompt for each problem: its messages in the session's chat format, after --system where they have no
 * system message of their own, and with --prompt-suffix below the last. One that leaves no room in the
 * context: STATUS_BAD_INPUT. */
NODISCARD enum status eval_prompts_make(const struct run_session *session,
                                        const struct eval_problems *problems,
                                        struct run_prompts *prompts_out);
