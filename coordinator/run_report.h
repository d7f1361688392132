/* coordinator/run_report.h - what `caucus run` says at the end: a line for people, an object for programs.
 *
 * Memory:  appends to the caller's bytes.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/generation.h"
#include "coordinator/scheduler.h"

/* "prefill … tok/s · decode … tok/s · compute … ms sync … ms select … ms · attended K of N": the three times
 * are per decode step. No newline. */
NODISCARD enum status run_report_line(const struct scheduler_totals *totals, struct bytes *text);

/* One JSON object on one line: "prompt_ids", "generated_ids", "text", "finish_reason", "logprobs" where asked
 * for, and "times" of the whole run. */
NODISCARD enum status run_report_json(const struct generation *generation,
                                      const struct scheduler_totals *totals, struct bytes *text);
