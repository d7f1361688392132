#include "coordinator/eval_journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "coordinator/answer_settings.h"

static const struct line_format format = {
    .key = JOURNAL_KEY,
    .version = JOURNAL_VERSION,
    .noun = "journal of caucus",
    .cure = "remove it, or choose another --results",
    .writer = "caucus eval",
};

static enum status path_of(const struct config *config, char path[FILE_PATH_MAX]) {
    if (snprintf(path, FILE_PATH_MAX, "%s.journal", config->results) < FILE_PATH_MAX) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--results: the path is too long");
}

enum status eval_journal_check(const struct config *config, json_t *settings) {
    char path[FILE_PATH_MAX];
    TRY(path_of(config, path));
    TRY(file_check_writable(path));
    return journal_check(&format, path, settings);
}

static enum status open_file(const struct config *config, json_t *settings, struct eval_journal *journal) {
    char path[FILE_PATH_MAX];
    json_t *header;
    TRY(path_of(config, path));
    journal->path = strdup(path);
    if (!journal->path) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    TRY(line_file_lock(&format, path, &journal->lock));
    TRY(answer_settings_header(&format, config, settings, &header));
    const enum status status = journal_open(&format, path, header, &journal->journal);
    json_decref(header);
    return status;
}

enum status eval_journal_open(const struct config *config, const struct eval_method *method, json_t *settings,
                              struct eval_journal *journal_out) {
    struct eval_journal journal = {.lock = -1};
    const bool wanted = eval_method_is_full(method) && config->probe == PROBE_NONE;
    const enum status status = wanted ? open_file(config, settings, &journal) : STATUS_OK;
    if (status != STATUS_OK) {
        eval_journal_close(&journal);
        return status;
    }
    *journal_out = journal;
    return STATUS_OK;
}

void eval_journal_close(struct eval_journal *journal) {
    journal_close(journal->journal);
    if (journal->path && journal->lock >= 0) close(journal->lock);
    free(journal->path);
    *journal = (struct eval_journal){.lock = -1};
}

enum status eval_journal_remove(const struct config *config) {
    char path[FILE_PATH_MAX];
    TRY(path_of(config, path));
    if (unlink(path) == 0 || errno == ENOENT) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
}
