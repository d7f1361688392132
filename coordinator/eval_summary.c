#include "coordinator/eval_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double Z_95 = 1.959963984540054; /* of the normal distribution, for 95 % on both sides */

struct eval_share eval_share_of(int64_t n_hits, int64_t n) {
    const double z = Z_95;
    if (n == 0) return (struct eval_share){(double)NAN, (double)NAN, (double)NAN};
    const double p = (double)n_hits / (double)n, weight = z * z / (double)n;
    const double middle = (p + weight / 2) / (1 + weight);
    const double half = sqrt(p * (1 - p) * weight + weight * weight / 4) / (1 + weight);
    return (struct eval_share){p, fmax(middle - half, 0), fmin(middle + half, 1)};
}

/* ---- means ---- */

/* Of what there is to say. */
struct mean {
    double sum, squares;
    int64_t n;
};

static void add(struct mean *mean, double value) {
    mean->sum += value;
    mean->squares += value * value;
    mean->n++;
}

static double value_of(struct mean mean) {
    return mean.n > 0 ? mean.sum / (double)mean.n : (double)NAN;
}

/* Half-width of the interval of 95 %; 0 for a single value. */
static double error_of(const struct mean *mean) {
    const double n = (double)mean->n, middle = mean->sum / n;
    return n > 1 ? Z_95 * sqrt(fmax(mean->squares / n - middle * middle, 0) / (n - 1)) : 0;
}

static void add_recall(const struct eval_record *record, struct mean *recall) {
    for (size_t i = 0; i < record->n_recall; i++)
        if (record->recall[i] >= 0) add(recall, record->recall[i]);
}

static void fill_row(const struct eval_record *records, struct eval_row *row) {
    struct mean tokens = {0}, correct = {0}, by_length = {0}, attended = {0}, recall = {0}, kv = {0};
    double seconds = 0;
    for (int64_t i = 0; i < row->n; i++) {
        const struct eval_record *record = &records[i];
        row->n_correct += record->correct;
        add(&tokens, (double)record->n_generated);
        if (record->correct) add(&correct, (double)record->n_generated);
        add(&by_length, strcmp(record->finish, "length") == 0);
        if (record->attended >= 0) add(&attended, record->attended);
        add(&kv, (double)record->kv_bytes);
        add_recall(record, &recall);
        if (record->kv_bytes > row->kv_bytes) row->kv_bytes = record->kv_bytes;
        seconds += record->share_seconds;
    }
    row->accuracy = eval_share_of(row->n_correct, row->n);
    row->tokens = value_of(tokens);
    row->tokens_error = error_of(&tokens);
    row->correct_tokens = value_of(correct);
    row->by_length = value_of(by_length);
    row->attended = value_of(attended);
    row->recall = value_of(recall);
    row->mean_kv_bytes = value_of(kv);
    row->tokens_per_second = seconds > 0 ? tokens.sum / seconds : (double)NAN;
}

/* ---- beside `full` ---- */

static int by_sample(const struct eval_record *a, const struct eval_record *b) {
    if (a->problem != b->problem) return a->problem < b->problem ? -1 : 1;
    return (a->sample > b->sample) - (a->sample < b->sample);
}

/* Samples that both have: problem and seed are the same. */
struct pairs {
    int64_t n;
    int64_t gains, losses; /* right where full is wrong, and the other way */
    int64_t full_correct;
    double tokens, full_tokens;
};

static void add_pair(const struct eval_record *record, const struct eval_record *full, struct pairs *pairs) {
    pairs->n++;
    pairs->gains += record->correct && !full->correct;
    pairs->losses += !record->correct && full->correct;
    pairs->full_correct += full->correct;
    pairs->tokens += (double)record->n_generated;
    pairs->full_tokens += (double)full->n_generated;
}

/* Both lists are sorted by sample. */
static struct pairs pair_up(const struct eval_record *records, int64_t n, const struct eval_record *full,
                            int64_t n_full) {
    struct pairs pairs = {0};
    for (int64_t i = 0, j = 0; i < n && j < n_full;) {
        const int order = by_sample(&records[i], &full[j]);
        if (order == 0) add_pair(&records[i], &full[j], &pairs);
        i += order <= 0;
        j += order >= 0;
    }
    return pairs;
}

/* The difference of two shares of the same samples, with the interval of Agresti and Min (2005): half a
 * sample is added to each of the four outcomes, so that few or equal samples do not look certain. */
static struct eval_share difference_of(const struct pairs *pairs) {
    const double n = (double)pairs->n + 2, net = (double)(pairs->gains - pairs->losses);
    const double changes = (double)(pairs->gains + pairs->losses) + 1;
    const double half = Z_95 * sqrt(changes - net * net / n) / n;
    return (struct eval_share){net / (double)pairs->n, fmax(net / n - half, -1), fmin(net / n + half, 1)};
}

static void compare(const struct eval_record *records, const struct eval_row *full, struct eval_row *row) {
    static const double none = (double)NAN;
    row->full_accuracy = row->versus_full_tokens = none;
    row->versus_full = (struct eval_share){none, none, none};
    if (!full) return;
    const struct pairs pairs = pair_up(records + row->first, row->n, records + full->first, full->n);
    if (pairs.n == 0) return;
    row->n_versus_full = pairs.n;
    row->full_accuracy = (double)pairs.full_correct / (double)pairs.n;
    row->versus_full = difference_of(&pairs);
    row->versus_full_tokens = pairs.tokens / pairs.full_tokens;
}

/* ---- rows ---- */

/* Records come sorted by method. */
static void find_rows(const struct eval_results *results, struct eval_summary *summary) {
    for (size_t i = 0; i < results->n; i++) {
        const struct eval_method *method = &results->records[i].method;
        struct eval_row *last = summary->n > 0 ? &summary->rows[summary->n - 1] : NULL;
        if (last && eval_method_equals(&last->method, method))
            last->n++;
        else
            summary->rows[summary->n++] = (struct eval_row){.method = *method, .n = 1, .first = i};
    }
}

static void move_full_to_front(struct eval_summary *summary) {
    for (size_t i = 0; i < summary->n; i++) {
        if (!eval_method_is_full(&summary->rows[i].method)) continue;
        const struct eval_row full = summary->rows[i];
        memmove(summary->rows + 1, summary->rows, i * sizeof *summary->rows);
        summary->rows[0] = full;
        return;
    }
}

enum status eval_summary_create(const struct eval_results *results, struct eval_summary *summary_out) {
    struct eval_summary summary = {.rows = calloc(results->n + 1, sizeof *summary.rows)};
    if (!summary.rows) return FAIL(STATUS_NO_MEMORY, "out of memory for the summary");
    find_rows(results, &summary);
    move_full_to_front(&summary);
    const struct eval_row *full =
        summary.n > 0 && eval_method_is_full(&summary.rows[0].method) ? &summary.rows[0] : NULL;
    for (size_t i = 0; i < summary.n; i++) {
        fill_row(results->records + summary.rows[i].first, &summary.rows[i]);
        compare(results->records, full, &summary.rows[i]);
    }
    *summary_out = summary;
    return STATUS_OK;
}

void eval_summary_free(struct eval_summary *summary) {
    free(summary->rows);
    *summary = (struct eval_summary){0};
}
