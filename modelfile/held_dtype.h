/* modelfile/held_dtype.h - in which type a rank holds a matrix of the model, and in how many bytes.
 *
 * The one place that decides, for the workers that load and for the plan that counts bytes.
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; the same on every rank and for every number of ranks. */
#pragma once

#include <stdint.h>

#include "base/dtype.h"
#include "modelfile/model_file.h"

/* `cols`: of the whole matrix. `wanted`: the type to quantise to while loading, or DTYPE_COUNT for the file's
 * own. A matrix that is smaller in the file stays as it is; so does the router, and the output matrix goes no
 * lower than Q8_0: both choose among close alternatives. `column_unit`: columns are dealt to ranks in
 * multiples of this; all columns where only rows are dealt. A quantised block that this would cut is held as
 * f32, but a super-block of the K types may be cut at every 32nd column. */
enum dtype held_dtype(enum tensor_role role, enum dtype stored, enum dtype wanted, int64_t cols,
                      int64_t column_unit);

/* Rows that are held together where a type has blocks: the last ones are filled up (kernels/packed.h). */
enum { HELD_PANEL_ROWS = 16 };

/* Bytes of `rows` rows and columns [col_begin, col_end), widened to whole blocks of the type. */
int64_t held_bytes(enum dtype held, int64_t rows, int64_t col_begin, int64_t col_end);
