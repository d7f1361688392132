/* worker/striped_list.h - a list of cached rows, stripe by stripe.
 *
 * Attention sums the entries of each stripe (kvshard/kv_stripes.h) by itself, in the order of the list. A
 * list of single rows is sorted for that; of a range it can be computed which rows are where.
 *
 * Memory:  plain data; what is sorted lies in the caller's arrays.
 * Threads: any.
 * Ranks:   local; the same on all ranks that share the KV head. */
#pragma once

#include <stdint.h>

#include "kvshard/kv_stripes.h"

struct striped_list {
    const int32_t *rows;    /* [n] sorted by stripe; NULL: a range, first, first + 1, … */
    const int32_t *entries; /* [n] where they were in the list; NULL: a range */
    int64_t first;
    int64_t begins[KV_STRIPES + 1]; /* so many entries are in the stripes before; the last: n */
};

struct striped_list striped_range(int64_t first, int64_t n);
struct striped_list striped_sort(const int32_t *rows, int64_t n, int32_t *rows_out, int32_t *entries_out);

int64_t striped_list_size(const struct striped_list *list, int32_t stripe);

/* Neighbours: rows[0 … n - 1], or first, first + 1, … where rows is NULL. */
struct row_run {
    const int32_t *rows;
    int64_t first, n;
};

/* Of entries i … i + n - 1 of the stripe as many as are one run: the first ones, at least one. */
struct row_run striped_list_run(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n);

/* Where the stripe's entry i was in the list. */
int64_t striped_list_entry(const struct striped_list *list, int32_t stripe, int64_t i);

/* values [n] of the stripe's entries i … i + n - 1, from and to an array in the list's order. */
void striped_list_gather(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n,
                         const float *in_order, float *values);
void striped_list_scatter(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n,
                          const float *values, float *in_order);
