/* caucus supervise: runs another command, and again when it fails. */
#include "base/launcher.h"
#include "coordinator/commands.h"
#include "coordinator/supervisor.h"

enum status command_supervise(const struct config *config, int *exit_status_out) {
    if (launcher_present())
        return FAIL(STATUS_BAD_INPUT, "supervise starts mpirun, not the other way round: "
                                      "caucus supervise -- mpirun ...");
    const struct supervisor_options options = {
        .command = config->supervised,
        .max_restarts = config->max_restarts,
        .backoff_seconds = config->backoff,
    };
    return supervisor_run(&options, exit_status_out);
}
