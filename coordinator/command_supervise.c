/* caucus supervise: runs another command, and again when it fails. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/launcher.h"
#include "coordinator/commands.h"
#include "coordinator/supervisor.h"

static bool begins_with(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* Is it a `caucus run` that keeps nothing, as far as can be seen from here? */
static bool forgets(char *const *command) {
    const char *journal = getenv("CAUCUS_JOURNAL");
    bool is_run = false, keeps = journal && *journal;
    for (int i = 1; command[0] && command[i]; i++) {
        const char *slash = strrchr(command[i - 1], '/');
        const char *name = slash ? slash + 1 : command[i - 1];
        is_run = is_run || (strcmp(name, "caucus") == 0 && strcmp(command[i], "run") == 0);
        keeps = keeps || begins_with(command[i], "--journal") || begins_with(command[i], "--config");
    }
    return is_run && !keeps;
}

enum status command_supervise(const struct config *config, int *exit_status_out) {
    if (launcher_present())
        return FAIL(STATUS_BAD_INPUT, "supervise starts mpirun, not the other way round: "
                                      "caucus supervise -- mpirun ...");
    if (forgets(config->supervised))
        fprintf(stderr,
                "caucus: without --journal FILE run begins anew when it fails, with its first token\n");
    const struct supervisor_options options = {
        .command = config->supervised,
        .max_restarts = config->max_restarts,
        .backoff_seconds = config->backoff,
    };
    return supervisor_run(&options, exit_status_out);
}
