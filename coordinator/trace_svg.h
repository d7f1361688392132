/* coordinator/trace_svg.h - a page-by-step map as a picture.
 *
 * Memory:  appends to the caller's bytes.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/config.h"
#include "coordinator/trace_map.h"

NODISCARD enum status trace_svg_draw(const struct trace_header *header, const struct trace_map *map,
                                     enum trace_shade shade, struct bytes *svg);
