#include "cluster/leftovers.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *const prefixes[] = {"/dev/shm/vader_segment.", "/dev/shm/sm_segment."};

enum { LINE_MAX_BYTES = 1024 };

static bool is_ours(const char *path) {
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

/* "7f01… rw-s 00000000 00:19 42    /dev/shm/…"; a file that is gone already has " (deleted)" behind it, which
 * is the name of no file. */
static void remove_mapped(const char *line) {
    const char *path = strchr(line, '/');
    if (path && is_ours(path)) unlink(path);
}

void leftovers_remove(void) {
    char line[LINE_MAX_BYTES], piece[4096];
    size_t used = 0;
    const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return;
    for (ssize_t size; (size = read(maps, piece, sizeof piece)) > 0;)
        for (ssize_t i = 0; i < size; i++) {
            if (piece[i] != '\n') {
                if (used < sizeof line - 1) line[used++] = piece[i];
                continue;
            }
            line[used] = '\0';
            remove_mapped(line);
            used = 0;
        }
    close(maps);
}
