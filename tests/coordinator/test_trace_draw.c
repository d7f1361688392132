/* Maps and pictures of made-up traces: cells against counting token by token, and text that would break out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "coordinator/trace_html.h"
#include "coordinator/trace_map.h"
#include "coordinator/trace_svg.h"
#include "trace_fixture.h"

static void make_map(struct trace_writer *writer, int32_t layer, int32_t kv_head, struct trace_map *map) {
    const struct bytes *bytes = trace_writer_bytes(writer);
    assert_int_equal(trace_map_create(bytes->data, bytes->size, "test", layer, kv_head, map), STATUS_OK);
}

/* The cell, counted token by token. */
static struct trace_cell count(const struct trace_map *map, int32_t row, int32_t column) {
    static int32_t tokens[1 << 15];
    struct trace_cell cell = {0};
    const int64_t begin = row * map->pages_per_row * TRACE_PAGE_TOKENS;
    const int64_t end = begin + map->pages_per_row * TRACE_PAGE_TOKENS;
    for (int64_t step = column * map->steps_per_column; step < (column + 1) * map->steps_per_column; step++) {
        const int64_t n_cached = FIXTURE_PROMPT + step + 1;
        if (step >= map->n_steps) break;
        for (int32_t pair = 0; pair < FIXTURE_PAIRS; pair++) {
            if (!map->layer_shown[pair / FIXTURE_KV_HEADS]) continue;
            if (map->kv_head >= 0 && pair % FIXTURE_KV_HEADS != map->kv_head) continue;
            int64_t n, last_page = -1;
            trace_fixture_tokens(n_cached, pair, tokens, &n);
            for (int64_t i = 0; i < n; i++) {
                if (tokens[i] < begin || tokens[i] >= end) continue;
                cell.tokens_attended++;
                cell.pages_attended += tokens[i] / TRACE_PAGE_TOKENS != last_page;
                last_page = tokens[i] / TRACE_PAGE_TOKENS;
            }
            for (int64_t token = begin; token < end && token < n_cached; token++) {
                cell.tokens++;
                cell.pages += token % TRACE_PAGE_TOKENS == 0;
            }
        }
    }
    return cell;
}

static void expect_cells(const struct trace_map *map, int32_t stride) {
    for (int32_t row = 0; row < map->n_rows; row += stride) {
        for (int32_t column = 0; column < map->n_columns; column += stride) {
            const struct trace_cell expected = count(map, row, column);
            const struct trace_cell *cell = &map->cells[(int64_t)row * map->n_columns + column];
            assert_int_equal(cell->tokens, expected.tokens);
            assert_int_equal(cell->pages, expected.pages);
            assert_int_equal(cell->tokens_attended, expected.tokens_attended);
            assert_int_equal(cell->pages_attended, expected.pages_attended);
        }
    }
}

static void cells_are_what_was_attended(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, 60);
    for (int32_t layer = -1; layer < FIXTURE_LAYERS; layer++) {
        for (int32_t kv_head = -1; kv_head < FIXTURE_KV_HEADS; kv_head++) {
            struct trace_map map;
            make_map(writer, layer, kv_head, &map);
            assert_int_equal(map.n_columns, 60);
            assert_int_equal(map.n_rows, 7);
            for (int32_t i = 0; i < FIXTURE_LAYERS; i++)
                assert_int_equal(map.layer_shown[i], layer < 0 ? i > 0 : i == layer);
            expect_cells(&map, 1);
            trace_map_free(&map);
        }
    }
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

/* More steps than columns and more pages than rows. */
static void long_traces_are_binned(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, 12000);
    struct trace_map map;
    make_map(writer, -1, -1, &map);
    assert_int_equal(map.steps_per_column, 12);
    assert_int_equal(map.n_columns, 1000);
    assert_int_equal(map.pages_per_row, 2);
    assert_int_equal(map.n_rows, 377);
    expect_cells(&map, 97);
    trace_map_free(&map);
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

static void what_is_not_there_cannot_be_drawn(void **state) {
    (void)state;
    struct trace_map map;
    struct trace_writer *writer = trace_fixture_write(NULL, 2), *empty = trace_fixture_write(NULL, 0);
    const struct bytes *bytes = trace_writer_bytes(writer), *nothing = trace_writer_bytes(empty);
    assert_int_equal(trace_map_create(bytes->data, bytes->size, "x", 3, -1, &map), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "--layer 3: x has layers 0 to 2");
    assert_int_equal(trace_map_create(bytes->data, bytes->size, "x", 0, 2, &map), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "--kv-head 2: x has KV heads 0 to 1");
    assert_int_equal(trace_map_create(nothing->data, nothing->size, "x", -1, -1, &map), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "x holds no decode step");
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
    assert_int_equal(trace_writer_close(empty), STATUS_OK);
}

static int occurrences(const char *text, const char *word) {
    int n = 0;
    for (const char *found = text; (found = strstr(found, word)); found += strlen(word))
        n++;
    return n;
}

static void a_picture_escapes_names(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, 60);
    struct trace_header header = trace_fixture_header();
    for (enum trace_shade shade = TRACE_SHADE_TOKENS; shade <= TRACE_SHADE_HEADS; shade++) {
        struct trace_map map;
        struct bytes svg = {0};
        make_map(writer, -1, -1, &map);
        assert_int_equal(trace_svg_draw(&header, &map, shade, &svg), STATUS_OK);
        assert_non_null(strstr(svg.data, "a&lt;/title>&lt;script>"));
        assert_null(strstr(svg.data, "<script"));
        assert_non_null(strstr(svg.data, "fixture, budget 20, sinks 4, seed 7</text>"));
        assert_non_null(strstr(svg.data, "all 2 KV heads of layers 1–2; those that attend to everything are "
                                         "left out: 0</text>"));
        assert_int_equal(occurrences(svg.data, "<svg"), 1);
        assert_int_equal(occurrences(svg.data, "</svg>"), 1);
        assert_int_equal(occurrences(svg.data, "<text"), occurrences(svg.data, "</text>"));
        bytes_free(&svg);
        trace_map_free(&map);
    }
    trace_tokens_free(&header.prompt);
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

static int digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = strchr(digits, c);
    assert_non_null(found);
    return (int)(found - digits);
}

static size_t decode_base64(const char *text, size_t size, unsigned char *data) {
    size_t n = 0;
    assert_int_equal(size % 4, 0);
    for (size_t i = 0; i < size; i += 4) {
        const int last = text[i + 3] == '=', last_two = text[i + 2] == '=';
        const uint32_t word = (uint32_t)digit(text[i]) << 18 | (uint32_t)digit(text[i + 1]) << 12 |
                              (uint32_t)(last_two ? 0 : digit(text[i + 2])) << 6 |
                              (uint32_t)(last ? 0 : digit(text[i + 3]));
        data[n++] = (unsigned char)(word >> 16);
        if (!last_two) data[n++] = (unsigned char)(word >> 8);
        if (!last) data[n++] = (unsigned char)word;
    }
    return n;
}

/* The trace in the page, as a reader of its own; `data` is to be freed behind it. */
static struct trace_reader *read_page(const struct bytes *html, unsigned char **data, size_t *size) {
    struct trace_reader *reader;
    const char *begin = strstr(html->data, "id=\"trace\" data-layer=\"-1\" data-head=\"1\">");
    assert_non_null(begin);
    begin = strchr(begin, '>') + 1;
    const char *end = strchr(begin, '<');
    *data = malloc((size_t)(end - begin));
    assert_non_null(*data);
    *size = decode_base64(begin, (size_t)(end - begin), *data);
    assert_int_equal(trace_reader_create(*data, *size, "page", &reader), STATUS_OK);
    return reader;
}

/* Nothing of the trace is in the page but as digits, so no text of it can end a script; and it is all of it.
 */
static void a_page_holds_the_trace(void **state) {
    (void)state;
    for (int32_t n_steps = 58; n_steps <= 60; n_steps++) {
        struct trace_writer *writer = trace_fixture_write(NULL, n_steps);
        const struct bytes *bytes = trace_writer_bytes(writer);
        struct bytes html = {0};
        unsigned char *data;
        size_t size;
        assert_int_equal(trace_html_draw(bytes->data, bytes->size, "test", -1, 1, TRACE_HTML_MOST, &html),
                         STATUS_OK);
        trace_reader_destroy(read_page(&html, &data, &size));
        assert_int_equal(size, bytes->size);
        assert_memory_equal(data, bytes->data, size);
        assert_int_equal(occurrences(html.data, "</script>"), 2);
        assert_null(strstr(html.data, "http://"));
        assert_null(strstr(html.data, "https://"));
        free(data);
        bytes_free(&html);
        assert_int_equal(trace_writer_close(writer), STATUS_OK);
    }
}

static int64_t count_edges(const struct bytes *bytes) {
    struct trace_reader *reader;
    const struct trace_step *step = NULL;
    int64_t n = 0;
    assert_int_equal(trace_reader_create(bytes->data, bytes->size, "test", &reader), STATUS_OK);
    while (trace_reader_next(reader, &step) == STATUS_OK && step)
        n += (int64_t)step->sets->n_edges;
    trace_reader_destroy(reader);
    return n;
}

/* Of one that is too large each second step, or fourth, and all tokens up to the last of them. */
static void a_large_trace_is_thinned(void **state) {
    (void)state;
    struct trace_writer *writer = trace_fixture_write(NULL, 61);
    const struct bytes *bytes = trace_writer_bytes(writer);
    for (int32_t every = 2; every <= 4; every *= 2) {
        struct bytes html = {0};
        unsigned char *data;
        size_t size;
        const struct trace_step *step;
        const int64_t most = count_edges(bytes) * (every == 2 ? 3 : 2) / 5;
        assert_int_equal(trace_html_draw(bytes->data, bytes->size, "test", -1, 1, most, &html), STATUS_OK);
        struct trace_reader *reader = read_page(&html, &data, &size);
        assert_true((int64_t)size <= most);
        assert_int_equal(trace_reader_header(reader)->every, every);
        for (int32_t i = 0; i <= 60; i += every) {
            assert_int_equal(trace_reader_next(reader, &step), STATUS_OK);
            assert_non_null(step);
            assert_int_equal(step->n_cached, FIXTURE_PROMPT + i + 1);
            assert_int_equal(step->tokens->n, i == 0 ? 1 : every);
        }
        assert_int_equal(trace_reader_next(reader, &step), STATUS_OK);
        assert_null(step);
        trace_reader_destroy(reader);
        free(data);
        bytes_free(&html);
    }
    assert_int_equal(trace_writer_close(writer), STATUS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_what_was_attended),
        cmocka_unit_test(long_traces_are_binned),
        cmocka_unit_test(what_is_not_there_cannot_be_drawn),
        cmocka_unit_test(a_picture_escapes_names),
        cmocka_unit_test(a_page_holds_the_trace),
        cmocka_unit_test(a_large_trace_is_thinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
