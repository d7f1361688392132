#include "coordinator/trace_map.h"

#include <stdlib.h>

#include "base/numbers.h"

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* What is being counted: the heads that are shown, and how many of them have each set of the step. */
struct counter {
    const struct trace_header *header;
    struct trace_map *map;
    bool *pair_sparse;   /* [n_pairs] does not attend to everything in some step */
    int64_t *set_weight; /* [n_pairs] by set */
    int64_t n_shown;     /* pairs */
    double cached, attended;
};

static bool is_shown(const struct counter *counter, int32_t pair) {
    const struct trace_map *map = counter->map;
    const int32_t layer = pair / counter->header->n_kv_heads, head = pair % counter->header->n_kv_heads;
    return map->layer_shown[layer] && (map->kv_head < 0 || head == map->kv_head);
}

static void weigh_sets(struct counter *counter, const struct trace_sets *sets) {
    for (size_t i = 0; i < sets->n_sets; i++)
        counter->set_weight[i] = 0;
    for (int32_t pair = 0; pair < sets->n_pairs; pair++)
        counter->set_weight[sets->set_of[pair]] += is_shown(counter, pair);
}

static void count_set(const struct counter *counter, struct trace_set set, int64_t weight, int64_t column) {
    const struct trace_map *map = counter->map;
    int64_t last_page = -1;
    for (size_t i = 0; i < set.n_edges; i += 2) {
        for (int64_t token = set.edges[i], end = set.edges[i + 1]; token < end;) {
            const int64_t page = token / TRACE_PAGE_TOKENS;
            const int64_t next = smaller_i64(end, (page + 1) * TRACE_PAGE_TOKENS);
            struct trace_cell *cell = &map->cells[page / map->pages_per_row * map->n_columns + column];
            cell->tokens_attended += weight * (next - token);
            cell->pages_attended += page != last_page ? weight : 0;
            last_page = page;
            token = next;
        }
    }
}

static void count_existing(const struct counter *counter, int64_t n_cached, int64_t column) {
    const struct trace_map *map = counter->map;
    const int64_t row_tokens = map->pages_per_row * TRACE_PAGE_TOKENS;
    for (int64_t row = 0; row * row_tokens < n_cached; row++) {
        struct trace_cell *cell = &map->cells[row * map->n_columns + column];
        const int64_t tokens = smaller_i64(row_tokens, n_cached - row * row_tokens);
        cell->tokens += counter->n_shown * tokens;
        cell->pages += counter->n_shown * divide_up(tokens, TRACE_PAGE_TOKENS);
    }
}

static void count_step(struct counter *counter, const struct trace_step *step, int64_t index) {
    const int64_t column = index / counter->map->steps_per_column;
    weigh_sets(counter, step->sets);
    for (size_t i = 0; i < step->sets->n_sets; i++) {
        if (counter->set_weight[i] == 0) continue;
        const struct trace_set set = trace_sets_get(step->sets, i);
        count_set(counter, set, counter->set_weight[i], column);
        counter->attended += (double)(counter->set_weight[i] * trace_set_tokens(set));
    }
    counter->cached += (double)step->n_cached;
    count_existing(counter, step->n_cached, column);
}

static void note_sparse(struct counter *counter, const struct trace_step *step) {
    for (int32_t pair = 0; pair < step->sets->n_pairs; pair++) {
        const struct trace_set set = trace_sets_get(step->sets, step->sets->set_of[pair]);
        if (!trace_set_is_all(set, step->n_cached)) counter->pair_sparse[pair] = true;
    }
}

/* The first reading: how long, and who attends to less than everything. */
static enum status survey(struct counter *counter, struct trace_reader *reader) {
    struct trace_map *map = counter->map;
    const struct trace_step *step;
    map->n_prompt = map->n_tokens = (int64_t)counter->header->prompt.n;
    for (;;) {
        TRY(trace_reader_next(reader, &step));
        if (!step) return STATUS_OK;
        map->n_steps++;
        map->n_tokens = step->n_cached;
        note_sparse(counter, step);
    }
}

static enum status check_choice(const struct counter *counter, const char *name) {
    const struct trace_map *map = counter->map;
    const struct trace_header *header = counter->header;
    if (map->layer >= header->n_layers)
        return FAIL(STATUS_BAD_INPUT, "--layer %d: %s has layers 0 to %d", map->layer, name,
                    header->n_layers - 1);
    if (map->kv_head >= header->n_kv_heads)
        return FAIL(STATUS_BAD_INPUT, "--kv-head %d: %s has KV heads 0 to %d", map->kv_head, name,
                    header->n_kv_heads - 1);
    if (map->n_steps == 0) return FAIL(STATUS_BAD_INPUT, "%s holds no decode step", name);
    return STATUS_OK;
}

static void choose_layers(struct counter *counter) {
    struct trace_map *map = counter->map;
    const int32_t n_layers = counter->header->n_layers, n_heads = counter->header->n_kv_heads;
    bool some_sparse = false;
    for (int32_t pair = 0; pair < n_layers * n_heads; pair++)
        some_sparse |= counter->pair_sparse[pair];
    for (int32_t layer = 0; layer < n_layers; layer++) {
        bool sparse = false;
        for (int32_t head = 0; head < n_heads; head++)
            sparse |= counter->pair_sparse[layer * n_heads + head];
        map->layer_shown[layer] = map->layer >= 0 ? layer == map->layer : sparse || !some_sparse;
    }
    for (int32_t pair = 0; pair < n_layers * n_heads; pair++)
        counter->n_shown += is_shown(counter, pair);
}

static enum status make_cells(struct trace_map *map) {
    const int64_t n_pages = divide_up(map->n_tokens, TRACE_PAGE_TOKENS);
    map->steps_per_column = divide_up(map->n_steps, TRACE_MAP_MAX_COLUMNS);
    map->pages_per_row = divide_up(n_pages, TRACE_MAP_MAX_ROWS);
    map->n_columns = (int32_t)divide_up(map->n_steps, map->steps_per_column);
    map->n_rows = (int32_t)divide_up(n_pages, map->pages_per_row);
    map->cells = calloc((size_t)map->n_rows * (size_t)map->n_columns, sizeof *map->cells);
    return map->cells ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a map");
}

/* The second reading. */
static enum status count_steps(struct counter *counter, struct trace_reader *reader) {
    struct trace_map *map = counter->map;
    const struct trace_step *step;
    for (int64_t index = 0; index < map->n_steps; index++) {
        TRY(trace_reader_next(reader, &step));
        count_step(counter, step, index);
    }
    map->mean_cached = counter->cached / (double)map->n_steps;
    map->mean_attended = counter->attended / ((double)map->n_steps * (double)counter->n_shown);
    return STATUS_OK;
}

static enum status prepare(struct counter *counter) {
    const size_t n_layers = (size_t)counter->header->n_layers;
    const size_t n_pairs = n_layers * (size_t)counter->header->n_kv_heads;
    counter->map->layer_shown = calloc(n_layers, sizeof *counter->map->layer_shown);
    counter->pair_sparse = calloc(n_pairs, sizeof *counter->pair_sparse);
    counter->set_weight = calloc(n_pairs, sizeof *counter->set_weight);
    if (counter->map->layer_shown && counter->pair_sparse && counter->set_weight) return STATUS_OK;
    return FAIL(STATUS_NO_MEMORY, "out of memory for a map");
}

static enum status count_twice(struct counter *counter, struct trace_reader *first,
                               struct trace_reader *second, const char *name) {
    counter->header = trace_reader_header(first);
    TRY(prepare(counter));
    TRY(survey(counter, first));
    TRY(check_choice(counter, name));
    choose_layers(counter);
    TRY(make_cells(counter->map));
    return count_steps(counter, second);
}

enum status trace_map_create(const void *data, size_t size, const char *name, int32_t layer, int32_t kv_head,
                             struct trace_map *map_out) {
    struct trace_reader *first = NULL, *second = NULL;
    struct trace_map map = {.layer = layer, .kv_head = kv_head};
    struct counter counter = {.map = &map};
    enum status status = trace_reader_create(data, size, name, &first);
    if (status == STATUS_OK) status = trace_reader_create(data, size, name, &second);
    if (status == STATUS_OK) status = count_twice(&counter, first, second, name);
    trace_reader_destroy(second);
    trace_reader_destroy(first);
    free(counter.pair_sparse);
    free(counter.set_weight);
    if (status != STATUS_OK)
        trace_map_free(&map);
    else
        *map_out = map;
    return status;
}

void trace_map_free(struct trace_map *map) {
    free(map->layer_shown);
    free(map->cells);
    *map = (struct trace_map){0};
}
