#include "coordinator/trace_svg.h"

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "base/utf8.h"

/* Pixels. Cells are a whole number of them, so that they are sharp. */
enum { LEFT = 76, RIGHT = 78, TOP = 104, BOTTOM = 58, PLOT_WIDTH = 1000, PLOT_HEIGHT = 600, CELL_MAX = 72 };

/* ColorBrewer's YlGnBu, which colour-blind readers can order. Shades are by powers of two, since one token of
 * a page is what a milestone often is. The last two are white and what is beyond the context. */
enum { N_SHADES = 6, SHADE_NONE = -1, SHADE_ABSENT = -2 };
static const char *const colours[N_SHADES] = {"#c7e9b4", "#7fcdbb", "#41b6c4",
                                              "#1d91c0", "#225ea8", "#081d58"};
static const char *const shade_names[][N_SHADES] = {
    [TRACE_SHADE_TOKENS] = {"≤ 1", "≤ 2", "≤ 4", "≤ 8", "&lt; 16", "16"},
    [TRACE_SHADE_HEADS] = {"≤ 6 %", "≤ 12 %", "≤ 25 %", "≤ 50 %", "&lt; 100 %", "100 %"},
};

static int shade_of(const struct trace_cell *cell, enum trace_shade kind) {
    const int64_t whole = kind == TRACE_SHADE_TOKENS ? cell->tokens : cell->pages;
    const int64_t part = kind == TRACE_SHADE_TOKENS ? cell->tokens_attended : cell->pages_attended;
    if (whole == 0) return SHADE_ABSENT;
    if (part == 0) return SHADE_NONE;
    if (part == whole) return N_SHADES - 1;
    int shade = 0;
    while (shade < N_SHADES - 2 && part << (4 - shade) > whole)
        shade++;
    return shade;
}

/* Text of others for XML: no markup, no control characters, and not too long. */
static enum status put_foreign(const char *text, struct bytes *svg) {
    char printable[128];
    utf8_printable(text, strlen(text), sizeof printable, printable);
    for (const char *c = printable; *c; c++) {
        const char *escaped = *c == '<' ? "&lt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
        TRY(escaped ? bytes_append_text(svg, escaped) : bytes_append(svg, c, 1));
    }
    return STATUS_OK;
}

/* "2,345" */
static const char *grouped(int64_t number, char text[32]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)number);
    int used = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

/* "0-2, 5": the layers that are shown, or those that are not. */
static enum status put_layers(const struct trace_header *header, const struct trace_map *map, bool shown,
                              struct bytes *svg) {
    const char *separator = "";
    for (int32_t first = 0; first < header->n_layers; first++) {
        if (map->layer_shown[first] != shown) continue;
        int32_t last = first;
        while (last + 1 < header->n_layers && map->layer_shown[last + 1] == shown)
            last++;
        TRY(bytes_printf(svg, last > first ? "%s%d–%d" : "%s%d", separator, first, last));
        separator = ", ";
        first = last;
    }
    return STATUS_OK;
}

static bool hides_layers(const struct trace_header *header, const struct trace_map *map) {
    for (int32_t layer = 0; layer < header->n_layers; layer++)
        if (!map->layer_shown[layer]) return map->layer < 0;
    return false;
}

static enum status put_title(const struct trace_header *header, struct bytes *svg) {
    TRY(bytes_printf(svg, "<text x=\"%d\" y=\"26\" class=\"title\">What each step attended to: ", LEFT));
    TRY(put_foreign(header->policy, svg));
    if (strcmp(header->policy, "full") != 0) TRY(bytes_printf(svg, ", budget %d", header->budget));
    for (size_t i = 0; i < header->n_options && i < 4; i++) {
        TRY(bytes_append_text(svg, ", "));
        TRY(put_foreign(header->options[i].name, svg));
        TRY(bytes_append_text(svg, " "));
        TRY(put_foreign(header->options[i].value, svg));
    }
    return bytes_append_text(svg, "</text>\n");
}

static enum status put_caption(const struct trace_header *header, const struct trace_map *map,
                               struct bytes *svg) {
    char steps[32], prompt[32], attended[32], cached[32];
    TRY(bytes_printf(svg, "<text x=\"%d\" y=\"46\">", LEFT));
    TRY(put_foreign(header->model, svg));
    TRY(bytes_printf(svg, " · prompt of %s tokens, %s decode steps", grouped(map->n_prompt, prompt),
                     grouped((map->n_steps - 1) * header->every + 1, steps)));
    if (header->every > 1) TRY(bytes_printf(svg, ", every %d-th recorded", header->every));
    TRY(bytes_printf(svg, " · attended to %s of %s tokens on average</text>\n<text x=\"%d\" y=\"64\">",
                     grouped((int64_t)(map->mean_attended + 0.5), attended),
                     grouped((int64_t)(map->mean_cached + 0.5), cached), LEFT));
    if (map->kv_head >= 0)
        TRY(bytes_printf(svg, "KV head %d of ", map->kv_head));
    else
        TRY(bytes_printf(svg, "all %d KV heads of ", header->n_kv_heads));
    TRY(bytes_append_text(svg, map->layer >= 0 ? "layer " : "layers "));
    TRY(put_layers(header, map, true, svg));
    if (hides_layers(header, map)) {
        TRY(bytes_append_text(svg, "; those that attend to everything are left out: "));
        TRY(put_layers(header, map, false, svg));
    }
    return bytes_append_text(svg, "</text>\n");
}

static enum status put_legend(enum trace_shade shade, struct bytes *svg) {
    enum { SWATCH = 14, WIDTH = 84, WORDS = 215 };
    TRY(bytes_printf(svg, "<text x=\"%d\" y=\"90\">%s</text>\n", LEFT,
                     shade == TRACE_SHADE_TOKENS ? "attended of 16 tokens, mean:"
                                                 : "heads that attend, share:"));
    for (int i = 0; i < N_SHADES; i++)
        TRY(bytes_printf(svg,
                         "<rect x=\"%d\" y=\"79\" width=\"%d\" height=\"%d\" fill=\"%s\"/>"
                         "<text x=\"%d\" y=\"90\">%s</text>\n",
                         LEFT + WORDS + i * WIDTH, SWATCH, SWATCH, colours[i],
                         LEFT + WORDS + i * WIDTH + SWATCH + 5, shade_names[shade][i]));
    return bytes_printf(svg,
                        "<rect x=\"%d\" y=\"79\" width=\"%d\" height=\"%d\" fill=\"#fff\" stroke=\"#bbb\"/>"
                        "<text x=\"%d\" y=\"90\">none</text>\n",
                        LEFT + WORDS + N_SHADES * WIDTH + 10, SWATCH, SWATCH,
                        LEFT + WORDS + N_SHADES * WIDTH + 10 + SWATCH + 5);
}

/* All cells of one shade: strokes along the rows, each from where the last ended. */
static enum status put_shade(const struct trace_map *map, enum trace_shade kind, int shade,
                             const char *colour, struct bytes *svg) {
    int32_t x = 0, y = 0;
    TRY(bytes_printf(svg, "<path stroke=\"%s\" d=\"M0 .5", colour));
    for (int32_t row = 0; row < map->n_rows; row++) {
        const struct trace_cell *cells = map->cells + (int64_t)row * map->n_columns;
        for (int32_t first = 0, end; first < map->n_columns; first = end) {
            const int found = shade_of(&cells[first], kind);
            for (end = first + 1; end < map->n_columns && shade_of(&cells[end], kind) == found;)
                end++;
            if (found != shade) continue;
            TRY(bytes_printf(svg, first < x ? "m%d %dh%d" : "m%d %dh%d", first - x, row - y, end - first));
            x = end;
            y = row;
        }
    }
    return bytes_append_text(svg, "\"/>\n");
}

struct plot { /* pixels */
    int width, height, column, row;
};

static struct plot plot_of(const struct trace_map *map) {
    const int column = (int)smaller_i64(CELL_MAX, PLOT_WIDTH / map->n_columns);
    const int row = (int)smaller_i64(CELL_MAX, larger_i64(1, PLOT_HEIGHT / map->n_rows));
    return (struct plot){map->n_columns * column, map->n_rows * row, column, row};
}

static enum status put_cells(const struct trace_map *map, struct plot plot, enum trace_shade kind,
                             struct bytes *svg) {
    TRY(bytes_printf(svg,
                     "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#eee\"/>\n"
                     "<g transform=\"translate(%d %d) scale(%d %d)\" fill=\"none\" "
                     "shape-rendering=\"crispEdges\">\n",
                     LEFT, TOP, plot.width, plot.height, LEFT, TOP, plot.column, plot.row));
    TRY(put_shade(map, kind, SHADE_NONE, "#fff", svg));
    for (int shade = 0; shade < N_SHADES; shade++)
        TRY(put_shade(map, kind, shade, colours[shade], svg));
    return bytes_append_text(svg, "</g>\n");
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` fit. */
static int64_t tick_distance(int64_t span, int64_t wanted) {
    int64_t distance = 1;
    for (int i = 0; distance * wanted < span; i++)
        distance = i % 3 == 1 ? distance / 2 * 5 : 2 * distance;
    return distance;
}

static enum status put_step_axis(const struct trace_header *header, const struct trace_map *map,
                                 struct plot plot, struct bytes *svg) {
    const int64_t n_steps = map->n_columns * map->steps_per_column * header->every;
    const int64_t distance = tick_distance(n_steps, larger_i64(1, plot.width / 90));
    char label[32];
    for (int64_t step = 0; step < n_steps; step += distance) {
        const double x = LEFT + (double)step * plot.width / (double)n_steps;
        TRY(bytes_printf(svg,
                         "<path d=\"M%.1f %dv5\"/><text x=\"%.1f\" y=\"%d\" class=\"middle\">%s</text>\n", x,
                         TOP + plot.height, x, TOP + plot.height + 19, grouped(step, label)));
    }
    return bytes_printf(svg, "<text x=\"%d\" y=\"%d\" class=\"middle\">decode step</text>\n",
                        LEFT + plot.width / 2, TOP + plot.height + 42);
}

static enum status put_page_axis(const struct trace_map *map, struct plot plot, struct bytes *svg) {
    const int64_t n_pages = map->n_rows * map->pages_per_row;
    const int64_t distance = tick_distance(n_pages, larger_i64(1, plot.height / 45));
    char label[32];
    for (int64_t page = 0; page < n_pages; page += distance) {
        const double y = TOP + (double)page * plot.height / (double)n_pages;
        TRY(bytes_printf(svg, "<path d=\"M%d %.1fh-5\"/><text x=\"%d\" y=\"%.1f\" class=\"end\">%s</text>\n",
                         LEFT, y, LEFT - 9, y + 4, grouped(page, label)));
    }
    return bytes_printf(svg,
                        "<text transform=\"translate(18 %d) rotate(-90)\" class=\"middle\">page of the "
                        "context, %d tokens each</text>\n",
                        TOP + plot.height / 2, TRACE_PAGE_TOKENS);
}

/* What is written beside a stretch of pages: along it, or where that is short, across. */
static enum status put_side_mark(const char *text, double top, double bottom, int x, struct bytes *svg) {
    const double middle = (top + bottom) / 2;
    if (bottom - top < 70)
        return bytes_printf(svg, "<text x=\"%d\" y=\"%.1f\">%s</text>\n", x, middle + 4, text);
    return bytes_printf(svg, "<text transform=\"translate(%d %.1f) rotate(90)\" class=\"middle\">%s</text>\n",
                        x + 4, middle, text);
}

/* A line where the prompt ends, and who wrote what is above and below it. */
static enum status put_prompt_mark(const struct trace_map *map, struct plot plot, struct bytes *svg) {
    const double row_tokens = (double)map->pages_per_row * TRACE_PAGE_TOKENS;
    const double border = TOP + (double)map->n_prompt / row_tokens * plot.row;
    const int right = LEFT + plot.width + 8;
    TRY(bytes_printf(svg, "<path d=\"M%d %.1fh%d\" stroke=\"#d7301f\" stroke-dasharray=\"6 3\"/>\n", LEFT,
                     border, plot.width + 8));
    TRY(put_side_mark("prompt", TOP, border, right, svg));
    return put_side_mark("generated", border, TOP + plot.height, right, svg);
}

enum status trace_svg_draw(const struct trace_header *header, const struct trace_map *map,
                           enum trace_shade shade, struct bytes *svg) {
    const struct plot plot = plot_of(map);
    const int width = LEFT + (int)larger_i64(plot.width, 760) + RIGHT, height = TOP + plot.height + BOTTOM;
    TRY(bytes_printf(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "viewBox=\"0 0 %d %d\">\n"
        "<style>text{font:13px Helvetica,Arial,sans-serif;fill:#222;stroke:none}.title{font-size:17px;"
        "font-weight:bold}.middle{text-anchor:middle}.end{text-anchor:end}</style>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
        width, height, width, height, width, height));
    TRY(put_title(header, svg));
    TRY(put_caption(header, map, svg));
    TRY(put_legend(shade, svg));
    TRY(put_cells(map, plot, shade, svg));
    TRY(bytes_printf(svg,
                     "<g fill=\"none\" stroke=\"#222\">\n"
                     "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
                     LEFT, TOP, plot.width, plot.height));
    TRY(put_step_axis(header, map, plot, svg));
    TRY(put_page_axis(map, plot, svg));
    TRY(put_prompt_mark(map, plot, svg));
    return bytes_append_text(svg, "</g>\n</svg>\n");
}
