/* A Hugging Face folder: config.json, generation_config.json, model.safetensors or an index of several. */
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "modelfile/hf_config.h"
#include "modelfile/model_file_impl.h"
#include "modelfile/safetensors.h"

static const size_t MAX_CONFIG_BYTES = 16 << 20;
static const size_t MAX_INDEX_BYTES = 100 << 20;

static enum status load_generation_config(struct model_file *model) {
    char path[FILE_PATH_MAX];
    struct bytes text;
    TRY(file_join(model->path, "generation_config.json", path));
    if (!file_exists(path)) return STATUS_OK;
    TRY(file_read_all(path, MAX_CONFIG_BYTES, &text));
    const enum status status = hf_generation_parse(text.data, text.size, path, &model->spec);
    bytes_free(&text);
    return status;
}

static enum status load_index(struct model_file *model, const char *path, const char ***names_out,
                              size_t *count_out) {
    struct bytes text;
    TRY(file_read_all(path, MAX_INDEX_BYTES, &text));
    const enum status status =
        safetensors_index_parse(text.data, text.size, path, model->arena, names_out, count_out);
    bytes_free(&text);
    return status;
}

/* The names of the files with tensors: as transformers does, the single file is tried first. */
static enum status find_files(struct model_file *model, const char ***names_out, size_t *count_out) {
    char single[FILE_PATH_MAX], index[FILE_PATH_MAX];
    TRY(file_join(model->path, "model.safetensors", single));
    TRY(file_join(model->path, "model.safetensors.index.json", index));
    if (!file_exists(single) && file_exists(index)) return load_index(model, index, names_out, count_out);
    if (!file_exists(single))
        return FAIL(STATUS_IO, "%s has neither model.safetensors nor model.safetensors.index.json",
                    model->path);
    const char **names;
    TRY(ARENA_TAKE(model->arena, 1, &names));
    names[0] = "model.safetensors";
    *names_out = names;
    *count_out = 1;
    return STATUS_OK;
}

static enum status load_file(struct model_file *model, const char *name, struct safetensors *contents_out) {
    char path[FILE_PATH_MAX];
    int32_t file;
    TRY(file_join(model->path, name, path));
    TRY(model_file_add_file(model, path, &file));
    TRY(safetensors_read(model->files[file].descriptor, model->files[file].bytes, model->file_paths[file],
                         model->arena, contents_out));
    for (size_t i = 0; i < contents_out->n_entries; i++)
        contents_out->entries[i].file = file;
    return STATUS_OK;
}

enum status hf_folder_load(struct model_file *model) {
    TRY(hf_config_read(model->path, &model->spec));
    TRY(load_generation_config(model));
    const char **names;
    size_t n_files;
    TRY(find_files(model, &names, &n_files));
    TRY(model_file_reserve(model, n_files));
    struct safetensors *contents;
    TRY(ARENA_TAKE(model->arena, n_files, &contents));
    for (size_t i = 0; i < n_files; i++) {
        TRY(load_file(model, names[i], &contents[i]));
        model->n_entries += contents[i].n_entries;
    }
    TRY(ARENA_TAKE(model->arena, model->n_entries, &model->entries));
    struct tensor_entry *end = model->entries;
    for (size_t i = 0; i < n_files; i++) {
        memcpy(end, contents[i].entries, contents[i].n_entries * sizeof *end);
        end += contents[i].n_entries;
    }
    return STATUS_OK;
}
