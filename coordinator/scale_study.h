/* coordinator/scale_study.h - what `scale` measured: the same tests on several numbers of ranks.
 *
 * Memory:  rows grow as records come; scale_study_free gives them back.
 * Threads: any.
 * Ranks:   of the process that starts them, which is none. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "coordinator/bench_plan.h"
#include "coordinator/config.h"

/* What is compared across ranks. */
struct scale_case {
    char policy[ENGINE_NAME_MAX];
    int32_t budget;         /* 0: the policy has none */
    struct bench_test test; /* n_depth: for each rank where the study is weak */
    int32_t n_threads;      /* as asked for; 0: each number of ranks has its own */
};

enum { SCALE_MAX_ROUNDS = 10000 };

/* One case on one number of ranks. Times in milliseconds per token, means of all rounds. */
struct scale_row {
    struct scale_case what;
    int32_t n_ranks;
    int32_t n_threads; /* of each rank */
    double *rates;     /* [n_rates] tokens per second, one of each round, ascending after finish */
    int32_t n_rates;
    double compute_ms, sync_ms, select_ms, sample_ms;

    double rate;       /* the median */
    double speed_up;   /* over the fewest ranks that were measured; weak: of as much more to do */
    double efficiency; /* speed_up over how many times as many ranks there are */
};

struct scale_study {
    bool weak;
    struct scale_row *rows; /* [n]; those of a case one after the other, ascending ranks after finish */
    size_t n;
};
void scale_study_free(struct scale_study *study);

/* A record of `bench -o jsonl` on so many ranks. `config` is what was asked for. Lacks a field, or has one of
 * another kind: STATUS_BAD_INPUT. */
NODISCARD enum status scale_study_add(struct scale_study *study, const struct config *config, int32_t n_ranks,
                                      json_t *record);

/* Sorts and fills in what follows from the rates. */
void scale_study_finish(struct scale_study *study);

bool scale_same_case(const struct scale_case *a, const struct scale_case *b);

/* "tg128 @ d4096", with "/rank" behind it where the depth grows with the ranks. */
enum { SCALE_NAME_MAX = 112 };
void scale_test_name(const struct scale_study *study, const struct scale_case *what,
                     char name[SCALE_NAME_MAX]);
