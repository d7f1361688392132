/* A GGUF file as a model: its configuration and its tensors in the common form. */
#include <stdio.h>
#include <string.h>

#include "modelfile/gguf_config.h"
#include "modelfile/model_file_impl.h"

static bool usable_dtype(const char *name, enum dtype *dtype_out) {
    static const struct {
        const char *name;
        enum dtype dtype;
    } usable[] = {
        {"F32", DTYPE_F32},   {"F16", DTYPE_F16},   {"BF16", DTYPE_BF16}, {"Q8_0", DTYPE_Q8_0},
        {"Q4_0", DTYPE_Q4_0}, {"Q4_K", DTYPE_Q4_K}, {"Q5_K", DTYPE_Q5_K}, {"Q6_K", DTYPE_Q6_K},
    };
    for (size_t i = 0; i < sizeof usable / sizeof usable[0]; i++)
        if (strcmp(usable[i].name, name) == 0) {
            *dtype_out = usable[i].dtype;
            return true;
        }
    return false;
}

static enum status type_name(struct model_file *model, uint32_t number, const char **name_out) {
    const struct gguf_type *type = gguf_type_find(number);
    if (type) {
        *name_out = type->name;
        return STATUS_OK;
    }
    char name[32];
    const int size = snprintf(name, sizeof name, "ggml type %u", number);
    return model_file_copy_text(model, name, (size_t)size, name_out);
}

static enum status add_entry(struct model_file *model, int32_t file, const struct gguf_tensor *tensor,
                             struct tensor_entry *entry) {
    TRY(model_file_copy_text(model, tensor->name.data, tensor->name.size, &entry->name));
    TRY(type_name(model, tensor->type, &entry->dtype_name));
    entry->usable = usable_dtype(entry->dtype_name, &entry->dtype);
    entry->n_dims = tensor->n_dims;
    memcpy(entry->shape, tensor->shape, sizeof entry->shape);
    entry->file = file;
    entry->offset = tensor->offset;
    entry->bytes = tensor->bytes;
    return STATUS_OK;
}

enum status gguf_model_load(struct model_file *model) {
    int32_t file;
    TRY(model_file_reserve(model, 1));
    TRY(model_file_add_file(model, model->path, &file));
    TRY(gguf_open(model->path, &model->gguf));
    TRY(gguf_config_read(model->gguf, model->path, &model->spec));

    model->n_entries = gguf_tensor_count(model->gguf);
    TRY(ARENA_TAKE(model->arena, model->n_entries, &model->entries));
    for (size_t i = 0; i < model->n_entries; i++)
        TRY(add_entry(model, file, gguf_tensor_at(model->gguf, i), &model->entries[i]));
    return tensor_entries_check_overlap(model->entries, model->n_entries, model->path);
}
