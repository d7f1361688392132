#include "coordinator/bench_model.h"

#include <stdio.h>
#include <string.h>

#include "modelfile/model_file.h"

static int64_t elements_of(const struct tensor_listing *tensor) {
    int64_t n = 1;
    for (int i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

/* Bytes of each type among the tensors; what is beyond the table is rare enough to be left out. */
struct type_table {
    struct {
        const char *name;
        uint64_t bytes;
    } types[32];
    size_t n;
};

static void count_type(struct type_table *table, const struct tensor_listing *tensor) {
    size_t i = 0;
    while (i < table->n && strcmp(table->types[i].name, tensor->dtype_name) != 0)
        i++;
    if (i == sizeof table->types / sizeof *table->types) return;
    if (i == table->n) {
        table->types[i].name = tensor->dtype_name;
        table->n++;
    }
    table->types[i].bytes += tensor->bytes;
}

static const char *commonest_type(const struct model_file *file) {
    struct type_table table = {0};
    for (size_t i = 0; i < model_file_tensor_count(file); i++) {
        const struct tensor_listing tensor = model_file_tensor_listing(file, i);
        count_type(&table, &tensor);
    }
    size_t commonest = 0;
    for (size_t i = 1; i < table.n; i++)
        if (table.types[i].bytes > table.types[commonest].bytes) commonest = i;
    return table.n > 0 ? table.types[commonest].name : "?";
}

static void describe(const struct model_file *file, enum dtype weights, struct bench_model *model) {
    const double n = (double)model->n_weights;
    snprintf(model->type, sizeof model->type, "%s %.2f%s %s",
             model_architecture_name(model_file_spec(file)->architecture), n >= 1e9 ? n / 1e9 : n / 1e6,
             n >= 1e9 ? "B" : "M", commonest_type(file));
    const size_t used = strlen(model->type);
    if (weights != DTYPE_COUNT)
        snprintf(model->type + used, sizeof model->type - used, " as %s", dtype_layout(weights)->name);
}

enum status bench_model_read(const char *path, enum dtype weights, struct bench_model *model_out) {
    struct model_file *file;
    TRY(model_file_open(path, &file));
    struct bench_model model = {0};
    for (size_t i = 0; i < model_file_tensor_count(file); i++) {
        const struct tensor_listing tensor = model_file_tensor_listing(file, i);
        model.bytes += (int64_t)tensor.bytes;
        model.n_weights += elements_of(&tensor);
    }
    describe(file, weights, &model);
    model_file_close(file);
    *model_out = model;
    return STATUS_OK;
}
