/* base/file.h - reading files whole or in parts, and writing them whole; every failure is a sentence with the
 * path.
 *
 * Memory:  file_read_all fills a struct bytes that the caller frees.
 * Threads: file_read_at may be called by several threads at once.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* The whole content of a regular file or pipe; "-" is standard input. More than `limit` bytes:
 * STATUS_BAD_INPUT. */
NODISCARD enum status file_read_all(const char *path, size_t limit, struct bytes *content_out);

/* A new file of this content, or that of an old one replaced; "-" is standard output, which is flushed. */
NODISCARD enum status file_write(const char *path, const struct bytes *content);

/* Whether a later file_read_all, or writing, is allowed; "-" always is. Nothing is opened: a
 * pipe keeps its content, a file that is still to be written is neither made nor emptied. */
NODISCARD enum status file_check_readable(const char *path);
NODISCARD enum status file_check_writable(const char *path);

/* Forces a new file's name to the disk, where the file system can: a file whose content is there may else be
 * without one after a loss of power. */
void file_sync_folder(const char *path);

bool file_exists(const char *path);
bool file_is_directory(const char *path);

/* "directory/name" into `path`. Too long: STATUS_BAD_INPUT. */
enum { FILE_PATH_MAX = 4096 };
NODISCARD enum status file_join(const char *directory, const char *name, char path[FILE_PATH_MAX]);

/* Opens a regular file for reading at positions. The descriptor is closed with close(2). */
NODISCARD enum status file_open(const char *path, int *descriptor_out, uint64_t *size_out);

/* Exactly `size` bytes from `offset`; a short file is STATUS_IO. `path` is for the sentence. */
NODISCARD enum status file_read_at(int descriptor, const char *path, uint64_t offset, size_t size,
                                   void *data);
