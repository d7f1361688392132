/* Which layers see only a sliding window, as transformers' configuration classes decide it. A model in
 * which some layers do and others do not is refused. */
#include <string.h>

#include "modelfile/hf_config_impl.h"
#include "modelfile/model_spec_impl.h"

enum layers { LAYERS_NONE_SAID, LAYERS_FULL, LAYERS_SLIDING };

static enum status read_layer_types(const struct json_fields *config, enum layers *layers_out) {
    *layers_out = LAYERS_NONE_SAID;
    if (!fields_have(config, "layer_types")) return STATUS_OK;
    const int64_t count = fields_array_count(config, "layer_types");
    if (count <= 0) return fields_unsupported(config, "layer_types");
    for (int64_t i = 0; i < count; i++) {
        const char *type;
        TRY(fields_array_text(config, "layer_types", i, &type));
        const bool full = strcmp(type, "full_attention") == 0;
        if (!full && strcmp(type, "sliding_attention") != 0) return fields_unsupported(config, "layer_types");
        const enum layers layer = full ? LAYERS_FULL : LAYERS_SLIDING;
        if (i > 0 && layer != *layers_out)
            return FAIL(STATUS_BAD_INPUT,
                        "%s: layer_types mixes full_attention and sliding_attention, which is not supported",
                        config->path);
        *layers_out = layer;
    }
    return STATUS_OK;
}

/* Without layer_types, Qwen's layers from max_window_layers on slide. */
static enum status window_from_layer(const struct json_fields *config, const struct model_spec *spec,
                                     enum layers *layers) {
    int64_t first_sliding = 28; /* the classes' default */
    TRY(fields_int(config, "max_window_layers", 0, INT32_MAX, &first_sliding));
    if (first_sliding > 0 && first_sliding < spec->n_layers)
        return FAIL(
            STATUS_BAD_INPUT,
            "%s: max_window_layers = %lld lets only some of the %d layers slide, which is not supported",
            config->path, (long long)first_sliding, spec->n_layers);
    *layers = first_sliding == 0 ? LAYERS_SLIDING : LAYERS_FULL;
    return STATUS_OK;
}

enum status hf_window_read(const struct json_fields *config, struct model_spec *spec) {
    const enum sliding_window_rule rule = architecture_traits(spec->architecture)->window;
    enum layers layers;
    TRY(read_layer_types(config, &layers));
    bool used = rule == WINDOW_IF_SET;
    if (rule == WINDOW_IF_USED || rule == WINDOW_ALL) TRY(fields_bool(config, "use_sliding_window", &used));
    if (layers == LAYERS_SLIDING && !used)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: layer_types says sliding_attention, but no sliding window is in use", config->path);
    if (!used) return STATUS_OK;

    /* An explicit null means no window; a missing field means the classes' default of 4096. */
    int64_t window = fields_have_null(config, "sliding_window") ? 0 : 4096;
    TRY(fields_int(config, "sliding_window", 1, 1 << 30, &window));
    if (layers == LAYERS_NONE_SAID && rule == WINDOW_IF_USED && window > 0)
        TRY(window_from_layer(config, spec, &layers));
    if (layers == LAYERS_FULL && rule != WINDOW_IF_USED && window > 0)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: layer_types says full_attention, but sliding_window = %lld is in use", config->path,
                    (long long)window);
    if (layers != LAYERS_FULL) spec->sliding_window = (int32_t)window;
    return STATUS_OK;
}
