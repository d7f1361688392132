#include "worker/striped_list.h"

#include <string.h>

#include "base/numbers.h"

struct striped_list striped_range(int64_t first, int64_t n) {
    struct striped_list list = {.first = first};
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++)
        list.begins[stripe + 1] =
            list.begins[stripe] + kv_stripe_rows(stripe, first + n) - kv_stripe_rows(stripe, first);
    return list;
}

struct striped_list striped_sort(const int32_t *rows, int64_t n, int32_t *rows_out, int32_t *entries_out) {
    struct striped_list list = {.rows = rows_out, .entries = entries_out};
    int64_t ends[KV_STRIPES] = {0};
    for (int64_t i = 0; i < n; i++)
        ends[kv_stripe_of(rows[i])]++;
    for (int32_t stripe = 0; stripe < KV_STRIPES; stripe++) {
        list.begins[stripe + 1] = list.begins[stripe] + ends[stripe];
        ends[stripe] = list.begins[stripe];
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t place = ends[kv_stripe_of(rows[i])]++;
        rows_out[place] = rows[i];
        entries_out[place] = (int32_t)i;
    }
    return list;
}

int64_t striped_list_size(const struct striped_list *list, int32_t stripe) {
    return list->begins[stripe + 1] - list->begins[stripe];
}

/* Of a range: its first unit may belong to the stripe and lack its first rows. */
static struct row_run range_run(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n) {
    const int64_t first_unit = list->first / KV_UNIT_ROWS;
    const int64_t units_before = (kv_stripe_reversed(stripe) - first_unit) & (KV_STRIPES - 1);
    const int64_t at = i + (units_before == 0 ? list->first % KV_UNIT_ROWS : 0);
    const int64_t unit = first_unit + units_before + at / KV_UNIT_ROWS * KV_STRIPES;
    const int64_t in_unit = at % KV_UNIT_ROWS;
    return (struct row_run){.first = unit * KV_UNIT_ROWS + in_unit,
                            .n = smaller_i64(n, KV_UNIT_ROWS - in_unit)};
}

struct row_run striped_list_run(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n) {
    if (!list->rows) return range_run(list, stripe, i, n);
    return (struct row_run){.rows = list->rows + list->begins[stripe] + i, .n = n};
}

int64_t striped_list_entry(const struct striped_list *list, int32_t stripe, int64_t i) {
    if (list->entries) return list->entries[list->begins[stripe] + i];
    return range_run(list, stripe, i, 1).first - list->first;
}

void striped_list_gather(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n,
                         const float *in_order, float *values) {
    const int32_t *entries = list->entries ? list->entries + list->begins[stripe] + i : NULL;
    for (int64_t j = 0; entries && j < n; j++)
        values[j] = in_order[entries[j]];
    for (int64_t done = 0; !entries && done < n;) {
        const struct row_run run = range_run(list, stripe, i + done, n - done);
        memcpy(values + done, in_order + run.first - list->first, (size_t)run.n * sizeof *values);
        done += run.n;
    }
}

void striped_list_scatter(const struct striped_list *list, int32_t stripe, int64_t i, int64_t n,
                          const float *values, float *in_order) {
    const int32_t *entries = list->entries ? list->entries + list->begins[stripe] + i : NULL;
    for (int64_t j = 0; entries && j < n; j++)
        in_order[entries[j]] = values[j];
    for (int64_t done = 0; !entries && done < n;) {
        const struct row_run run = range_run(list, stripe, i + done, n - done);
        memcpy(in_order + run.first - list->first, values + done, (size_t)run.n * sizeof *values);
        done += run.n;
    }
}
