/* coordinator/eval_plot.h - pictures of eval's results, drawn by gnuplot: accuracy and length against budget,
 * KV bytes and time per token against context length, recall by layer.
 *
 * What the results say nothing about is not drawn.
 *
 * Memory:  nothing outlives a call.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_summary.h"

/* figure_check(folder) comes before. */
NODISCARD enum status eval_plot(const struct eval_summary *summary, const struct eval_results *results,
                                const char *folder);
