/* coordinator/trace_page_impl.h - the text of trace_page.html, which the build makes a constant of. */
#pragma once

/* Stands where the trace belongs. */
#define TRACE_PAGE_MARK "<!-- TRACE -->"

extern const char trace_page[];
