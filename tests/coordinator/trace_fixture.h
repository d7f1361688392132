/* tests/coordinator/trace_fixture.h - made-up traces for the tests of everything that reads one. */
#pragma once

#include "coordinator/trace_file.h"

enum { FIXTURE_LAYERS = 3, FIXTURE_KV_HEADS = 2, FIXTURE_PAIRS = 6, FIXTURE_PROMPT = 40 };

/* A header without prompt; the caller frees header.prompt's lists after use. */
struct trace_header trace_fixture_header(void);

/* The tokens that pair `pair` attends to in the step in which n_cached tokens are there; *n_out of them.
 * Layer 0 attends to all, the heads of layer 1 share a set, those of layer 2 have one each. */
void trace_fixture_tokens(int64_t n_cached, int32_t pair, int32_t *tokens, int64_t *n_out);

/* A trace in memory of so many steps; the writer owns it. Text i is a piece of hostile text of its own. */
struct trace_writer *trace_fixture_write(const char *path, int32_t n_steps);
