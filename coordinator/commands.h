/* coordinator/commands.h - what the user can ask for. Each command is one file, command_<name>.c.
 *
 * Memory:  nothing outlives a call.
 * Threads: main thread only.
 * Ranks:   rank 0 only. Commands that need the model running get an engine; the others work alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cluster/engine.h"
#include "cluster/simulation.h"
#include "coordinator/config.h"

/* How often the command runs the model: 0 where it works alone, several times for bench, each time with
 * another engine. */
int32_t command_engines(const struct config *config);

/* What the workers of the `index`-th engine are told about the configuration. */
NODISCARD enum status command_engine_config(const struct config *config, int32_t index,
                                            struct engine_config *engine_out);

/* Of a command that needs the engine, before the model is loaded: files that cannot be read or written, and
 * what the configuration's own checks leave to the command. */
NODISCARD enum status command_check(const struct config *config);

/* Before the first engine: what the command holds until its end, to be closed with close(2). *lock_out stays
 * as it is where that is nothing. */
NODISCARD enum status command_lock(const struct config *config, int *lock_out);

/* Does the `index`-th engine have anything to do? What eval has made before is not made again. */
NODISCARD enum status command_needs_engine(const struct config *config, int32_t index, bool *needed_out);

/* What the command has to say when the last engine is gone. */
NODISCARD enum status command_finish(const struct config *config);

NODISCARD enum status command_run_check(const struct config *config);
NODISCARD enum status command_run(const struct config *config, const struct engine *engine);
NODISCARD enum status command_score(const struct config *config, const struct engine *engine);
NODISCARD enum status command_score_check(const struct config *config);
NODISCARD enum status command_bench(const struct config *config, int32_t index, const struct engine *engine);
NODISCARD enum status command_trace_check(const struct config *config);
NODISCARD enum status command_trace_record(const struct config *config, const struct engine *engine);
NODISCARD enum status command_trace_draw(const struct config *config); /* without the model */
NODISCARD enum status command_eval_check(const struct config *config);
NODISCARD enum status command_eval_needs(const struct config *config, int32_t index, bool *needed_out);
NODISCARD enum status command_eval(const struct config *config, int32_t index, const struct engine *engine);
NODISCARD enum status command_eval_summary(const struct config *config); /* without the model */
NODISCARD enum status command_calibrate(const struct config *config, const struct engine *engine);
NODISCARD enum status command_calibrate_check(const struct config *config);
NODISCARD enum status command_scale(const struct config *config); /* starts ranks itself, so without MPI */
NODISCARD enum status command_supervise(const struct config *config, int *exit_status_out); /* without MPI */
NODISCARD enum status command_tokenize(const struct config *config);
/* leaves_rows: as memory_plan_create. */
NODISCARD enum status command_plan(const struct config *config, int n_ranks, bool leaves_rows);
NODISCARD enum status command_inspect(const struct config *config);

/* bench --costs: `measure` is the worker's. Without the model. */
NODISCARD enum status command_bench_costs(const struct config *config,
                                          enum status (*measure)(const struct phase_conditions *conditions,
                                                                 struct phase_costs *costs_out));
NODISCARD enum status command_simulate(const struct config *config, const struct simulator *simulator);
