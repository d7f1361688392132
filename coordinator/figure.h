/* coordinator/figure.h - pictures of measurements: numbers and the gnuplot commands that draw them.
 *
 * A figure leaves four files in its folder: NAME.dat, NAME.gp, NAME.svg and NAME.png. Who wants it otherwise
 * edits NAME.gp and runs gnuplot there.
 *
 * Memory:  what is printed is appended to the caller's bytes.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include "base/bytes.h"

struct figure {
    const char *name; /* of its files */
    struct bytes data;
    struct bytes commands; /* empty: there is nothing to draw */
};
void figure_free(struct figure *figure);

/* What comes before the plot commands, which follow once for each of the two; sizes in points of the SVG. */
NODISCARD enum status figure_print_svg(const char *name, int width, int height, struct bytes *commands);
NODISCARD enum status figure_print_png(const char *name, int width, int height, struct bytes *commands);

/* Colour, dashes and points of the `i`-th series; black is left for what the others are held against. */
NODISCARD enum status figure_print_style(int i, struct bytes *commands);

/* Foreign text for between single quotation marks. */
NODISCARD enum status figure_print_quoted(const char *text, struct bytes *commands);

/* Long work must not end with a folder that cannot be written or gnuplot missing: makes the folder unless it
 * is there, and tries both. */
NODISCARD enum status figure_check(const char *folder);

/* Writes and draws; nothing where there are no commands. */
NODISCARD enum status figure_draw(const struct figure *figure, const char *folder);
