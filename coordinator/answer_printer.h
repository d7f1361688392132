/* coordinator/answer_printer.h - an answer's text on standard output, as it comes.
 *
 * Reasoning (<think> … </think>) is dimmed on a terminal, left out where the user does not want to see it,
 * and plain otherwise.
 *
 * Memory:  the printer owns its buffers.
 * Threads: main thread only.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/config.h"
#include "coordinator/generation.h"

struct answer_printer;

/* `thinking`: the prompt has opened a think block already. */
NODISCARD enum status answer_printer_create(const struct config *config, bool thinking,
                                            struct answer_printer **printer_out);
void answer_printer_destroy(struct answer_printer *printer); /* NULL is allowed */

/* For generation_options. A full disk or closed pipe: STATUS_IO. */
struct text_sink answer_printer_sink(struct answer_printer *printer);

/* The end of the answer: what is held back, styles reset, a newline. */
NODISCARD enum status answer_printer_finish(struct answer_printer *printer);
