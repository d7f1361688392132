/* coordinator/scale_report.h - the table and the pictures of a study.
 *
 * Memory:  nothing outlives a call.
 * Threads: main thread only.
 * Ranks:   of the process that started them. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/scale_study.h"

/* The study is finished. */
NODISCARD enum status scale_report_print(const struct scale_study *study, enum bench_format format);

/* speedup, efficiency and shares; figure_check(folder) comes before. */
NODISCARD enum status scale_report_plot(const struct scale_study *study, const char *folder);
