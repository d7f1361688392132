#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* Written before any thread exists, and while none of them logs. */
static struct {
    int rank;
    int verbosity;
} installed;

void log_install(int rank, int verbosity) {
    installed.rank = rank;
    installed.verbosity = verbosity;
}

void log_renumber(int rank) {
    installed.rank = rank;
}

bool log_enabled(int verbosity) {
    return installed.verbosity >= verbosity;
}

/* One write per line, so that lines of several ranks do not mix. */
static void write_line(const char *prefix, const char *format, va_list arguments) {
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "caucus: %s%s\n", prefix, text);
}

void log_warn(const char *format, ...) {
    if (installed.rank != 0) return;
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

void log_info(int verbosity, const char *format, ...) {
    if (installed.rank != 0 || !log_enabled(verbosity)) return;
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

void log_rank(int verbosity, const char *format, ...) {
    if (!log_enabled(verbosity)) return;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "rank %d: ", installed.rank);
    va_list arguments;
    va_start(arguments, format);
    write_line(prefix, format, arguments);
    va_end(arguments);
}
