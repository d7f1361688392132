#include "coordinator/model_text.h"

#include "base/file.h"
#include "modelfile/gguf.h"
#include "modelfile/model_file.h"

enum status model_text_open(const char *path, struct tokenizer **tokenizer_out) {
    if (file_is_directory(path)) return tokenizer_open_folder(path, tokenizer_out);
    if (model_file_is_shape(path) && file_exists(path))
        return FAIL(STATUS_BAD_INPUT, "%s has no tokenizer: name the folder that it is in, or a .gguf file",
                    path);
    struct gguf *gguf = NULL;
    TRY(gguf_open(path, &gguf));
    const enum status status = tokenizer_open_gguf(gguf, path, tokenizer_out);
    gguf_close(gguf);
    return status;
}

enum status model_text_chat_format(const struct config *config, const struct tokenizer *tokenizer,
                                   enum chat_format *format_out) {
    const char *template_source = tokenizer_chat_template(tokenizer);
    if (config->raw || (!config->chat_format && !template_source)) {
        *format_out = CHAT_RAW;
        return STATUS_OK;
    }
    if (config->chat_format) return chat_format_from_name(config->chat_format, format_out);
    return chat_format_detect(template_source, format_out);
}
