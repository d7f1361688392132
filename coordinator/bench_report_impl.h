/* coordinator/bench_report_impl.h - what bench_report.c and bench_markdown.c share. */
#pragma once

#include "coordinator/bench_report.h"

enum { BENCH_NAME_MAX = 96 };

/* "pp512+tg128 @ d4096" */
void bench_test_name(const struct bench_test *test, char name[BENCH_NAME_MAX]);

void bench_markdown_begin(void);
void bench_markdown_record(const struct bench_record *record);
