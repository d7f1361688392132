#include "modelfile/model_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "modelfile/hf_config.h"
#include "modelfile/model_file_impl.h"
#include "modelfile/model_spec_impl.h"

enum status model_file_copy_text(struct model_file *model, const char *text, size_t size,
                                 const char **copy_out) {
    char *copy;
    TRY(ARENA_TAKE(model->arena, size + 1, &copy));
    if (size) memcpy(copy, text, size);
    *copy_out = copy;
    return STATUS_OK;
}

enum status model_file_reserve(struct model_file *model, size_t count) {
    TRY(ARENA_TAKE(model->arena, count, &model->files));
    return ARENA_TAKE(model->arena, count, &model->file_paths);
}

enum status model_file_add_file(struct model_file *model, const char *path, int32_t *file_out) {
    TRY(model_file_copy_text(model, path, strlen(path), &model->file_paths[model->n_files]));
    struct data_file *file = &model->files[model->n_files];
    TRY(file_open(path, &file->descriptor, &file->bytes));
    *file_out = (int32_t)model->n_files++;
    return STATUS_OK;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(((const struct tensor_entry *)left)->name, ((const struct tensor_entry *)right)->name);
}

static enum status sort_entries(struct model_file *model) {
    if (model->n_entries == 0) return FAIL(STATUS_BAD_INPUT, "%s has no tensors", model->path);
    qsort(model->entries, model->n_entries, sizeof *model->entries, compare_names);
    for (size_t i = 1; i < model->n_entries; i++)
        if (compare_names(&model->entries[i - 1], &model->entries[i]) == 0)
            return FAIL(STATUS_BAD_INPUT, "%s: tensor %s is there twice", model->path,
                        model->entries[i].name);
    return STATUS_OK;
}

/* What to call the model: GGUF files say it; otherwise the last part of the path. */
static void name_model(struct model_file *model) {
    struct gguf_text text;
    if (!model->gguf || !gguf_get_text(model->gguf, "general.name", &text) || text.size == 0) {
        size_t end = strlen(model->path);
        while (end > 1 && model->path[end - 1] == '/')
            end--;
        size_t begin = end;
        while (begin > 0 && model->path[begin - 1] != '/')
            begin--;
        text = (struct gguf_text){model->path + begin, end - begin};
    }
    model_text_copy(text.data, text.size, model->spec.name, sizeof model->spec.name);
}

bool model_file_is_shape(const char *path) {
    static const char ending[] = ".json";
    const size_t length = strlen(path), n = sizeof ending - 1;
    return length > n && strcmp(path + length - n, ending) == 0;
}

static enum status load(struct model_file *model) {
    if (model_file_is_shape(model->path) && file_exists(model->path))
        return FAIL(STATUS_BAD_INPUT, "%s has no weights: name the folder that it is in, or a .gguf file",
                    model->path);
    const bool is_folder = file_is_directory(model->path);
    TRY(is_folder ? hf_folder_load(model) : gguf_model_load(model));
    TRY(sort_entries(model));
    const struct tensor_source source = {.entries = model->entries,
                                         .n_entries = model->n_entries,
                                         .is_gguf = !is_folder,
                                         .path = model->path,
                                         .config_name = is_folder ? "config.json" : "its metadata",
                                         .file_paths = model->file_paths};
    TRY(tensor_table_build(&source, &model->spec, model->arena, &model->table));
    name_model(model);
    model->fingerprint = model_fingerprint(model);
    return STATUS_OK;
}

static enum status load_shape(struct model_file *model) {
    TRY(hf_config_read(model->path, &model->spec));
    TRY(tensor_table_imagine(&model->spec, model->arena, &model->table));
    name_model(model);
    model->fingerprint = model_fingerprint(model);
    return STATUS_OK;
}

static enum status open_with(enum status (*load_it)(struct model_file *model), const char *path,
                             struct model_file **model_out) {
    struct model_file *model = calloc(1, sizeof *model);
    if (!model) return FAIL(STATUS_NO_MEMORY, "out of memory for the model %s", path);
    enum status status;
    TRY_GOTO(arena_create("the model's tables", &model->arena), close_model);
    TRY_GOTO(model_file_copy_text(model, path, strlen(path), &model->path), close_model);
    TRY_GOTO(load_it(model), close_model);
    *model_out = model;
    return STATUS_OK;
close_model:
    model_file_close(model);
    return status;
}

enum status model_file_open(const char *path, struct model_file **model_out) {
    return open_with(load, path, model_out);
}

enum status model_file_open_shape(const char *path, struct model_file **model_out) {
    return open_with(load_shape, path, model_out);
}

void model_file_close(struct model_file *model) {
    if (!model) return;
    for (size_t i = 0; i < model->n_files; i++)
        close(model->files[i].descriptor);
    gguf_close(model->gguf);
    arena_destroy(model->arena);
    free(model);
}

const struct model_spec *model_file_spec(const struct model_file *model) {
    return &model->spec;
}

const char *model_file_path(const struct model_file *model) {
    return model->path;
}

const struct tensor_ref *model_file_tensor(const struct model_file *model, enum tensor_role role, int layer,
                                           int expert) {
    return tensor_table_find(&model->table, role, layer, expert);
}

const struct gguf *model_file_gguf(const struct model_file *model) {
    return model->gguf;
}

size_t model_file_tensor_count(const struct model_file *model) {
    return model->n_entries;
}

struct tensor_listing model_file_tensor_listing(const struct model_file *model, size_t index) {
    CHECK(index < model->n_entries);
    const struct tensor_entry *entry = &model->entries[index];
    struct tensor_listing listing = {
        .name = entry->name, .dtype_name = entry->dtype_name, .n_dims = entry->n_dims, .bytes = entry->bytes};
    memcpy(listing.shape, entry->shape, sizeof listing.shape);
    return listing;
}

uint64_t model_file_fingerprint(const struct model_file *model) {
    return model->fingerprint;
}
