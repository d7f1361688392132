/* coordinator/trace_html.h - a trace as one page for a browser, which needs no network.
 *
 * The page (trace_page.html) holds the trace itself, so that layers and heads can be chosen and every token
 * be looked at. Of a trace too large for a browser it holds each second step, or fourth, ….
 *
 * Memory:  appends to the caller's bytes.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* What a browser takes without trouble. */
enum { TRACE_HTML_MOST = 48 << 20 };

/* `layer`, `kv_head`: shown at first; -1: all. At most `most` bytes of trace and edges of sets go into the
 * page. */
NODISCARD enum status trace_html_draw(const void *trace, size_t size, const char *name, int32_t layer,
                                      int32_t kv_head, int64_t most, struct bytes *html);
