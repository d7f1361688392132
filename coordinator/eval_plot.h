/* coordinator/eval_plot.h - pictures of eval's results, drawn by gnuplot: accuracy and length against budget,
 * KV bytes and time per token against context length, recall by layer.
 *
 * Each figure NAME is NAME.dat, NAME.gp, NAME.svg and NAME.png in one folder; the .gp can be changed and run
 * again there. What the results say nothing about is not drawn.
 *
 * Memory:  nothing outlives a call.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_summary.h"

/* Is gnuplot installed? */
NODISCARD enum status eval_plot_check(void);

/* Makes the folder where it is missing. */
NODISCARD enum status eval_plot(const struct eval_summary *summary, const struct eval_results *results,
                                const char *folder);
