#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status read_stream(int descriptor, const char *path, size_t limit, struct bytes *content) {
    for (;;) {
        char piece[1 << 16];
        const ssize_t size = read(descriptor, piece, sizeof piece);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return FAIL(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        if (size == 0) return bytes_append(content, "", 0); /* even an empty file gets its NUL */
        if ((size_t)size > limit - content->size)
            return FAIL(STATUS_BAD_INPUT, "%s is larger than the %zu bytes allowed", path, limit);
        TRY(bytes_append(content, piece, (size_t)size));
    }
}

enum status file_read_all(const char *path, size_t limit, struct bytes *content_out) {
    const bool standard_input = strcmp(path, "-") == 0;
    const int descriptor = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return FAIL(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    struct bytes content = {0};
    const enum status status =
        read_stream(descriptor, standard_input ? "standard input" : path, limit, &content);
    if (!standard_input) close(descriptor);
    if (status != STATUS_OK) {
        bytes_free(&content);
        return status;
    }
    *content_out = content;
    return STATUS_OK;
}

enum status file_write(const char *path, const struct bytes *content) {
    const bool standard_output = strcmp(path, "-") == 0;
    FILE *file = standard_output ? stdout : fopen(path, "wb");
    bool written = file && fwrite(content->data, 1, content->size, file) == content->size;
    if (standard_output) written &= fflush(file) == 0;
    int error = written ? 0 : errno;
    if (file && !standard_output && fclose(file) != 0 && !error) error = errno;
    if (!error) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot write %s: %s", standard_output ? "standard output" : path,
                strerror(error));
}

enum status file_check_readable(const char *path) {
    if (strcmp(path, "-") == 0) return STATUS_OK;
    if (access(path, R_OK) != 0) return FAIL(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    if (file_is_directory(path)) return FAIL(STATUS_IO, "cannot read %s: %s", path, strerror(EISDIR));
    return STATUS_OK;
}

/* The folder that `path` lies in, or will. */
static enum status parent_folder(const char *path, char folder[FILE_PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    const size_t size = slash ? (size_t)(slash - path) + 1 : 0;
    if (size >= FILE_PATH_MAX) return FAIL(STATUS_BAD_INPUT, "the path %s is too long", path);
    memcpy(folder, slash ? path : ".", slash ? size : 1);
    folder[slash ? size : 1] = '\0';
    return STATUS_OK;
}

enum status file_check_writable(const char *path) {
    if (strcmp(path, "-") == 0) return STATUS_OK;
    if (file_is_directory(path)) return FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(EISDIR));
    if (access(path, W_OK) == 0) return STATUS_OK;
    char folder[FILE_PATH_MAX];
    int error = errno;
    if (error == ENOENT) {
        TRY(parent_folder(path, folder));
        if (access(folder, W_OK | X_OK) == 0) return STATUS_OK;
        error = errno;
    }
    return FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(error));
}

void file_sync_folder(const char *path) {
    char folder[FILE_PATH_MAX];
    if (parent_folder(path, folder) != STATUS_OK) return;
    const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    (void)fsync(descriptor);
    close(descriptor);
}

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool file_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status file_join(const char *directory, const char *name, char path[FILE_PATH_MAX]) {
    const int size = snprintf(path, FILE_PATH_MAX, "%s/%s", directory, name);
    if (size < 0 || size >= FILE_PATH_MAX)
        return FAIL(STATUS_BAD_INPUT, "the path %s/%s is too long", directory, name);
    return STATUS_OK;
}

enum status file_open(const char *path, int *descriptor_out, uint64_t *size_out) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return FAIL(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat info;
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(descriptor);
        return FAIL(STATUS_BAD_INPUT, "%s is not a regular file", path);
    }
    *descriptor_out = descriptor;
    *size_out = (uint64_t)info.st_size;
    return STATUS_OK;
}

enum status file_read_at(int descriptor, const char *path, uint64_t offset, size_t size, void *data) {
    char *target = data;
    while (size > 0) {
        const ssize_t got = pread(descriptor, target, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return FAIL(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            return FAIL(STATUS_IO, "%s ends at byte %llu, but more was expected", path,
                        (unsigned long long)offset);
        target += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return STATUS_OK;
}
