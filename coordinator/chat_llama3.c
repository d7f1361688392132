/* Llama 3.1, 3.2 and 3.3 Instruct. */
#include "coordinator/chat_format_impl.h"

#include <string.h>

#include "base/utf8.h"

/* The templates of 3.2 ask for today's date where they can; the date that all of them fall back to makes
 * the same dialogue the same tokens on every day. */
static const char date_lines[] = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

/* White space as Jinja's trim (Python's str.strip) has it: Unicode's, and the four separators of ASCII. */
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* The length of the white space character that ends `text`; 0 where another character does. */
static size_t last_space(const char *text, size_t size) {
    size_t start = size - 1;
    while (start && ((unsigned char)text[start] & 0xc0) == 0x80)
        start--;
    uint32_t c;
    return utf8_decode(text + start, size - start, &c) == size - start && is_space(c) ? size - start : 0;
}

static enum status append_trimmed(const char *content, struct bytes *text) {
    size_t size = strlen(content), length;
    uint32_t c;
    while (size && (length = utf8_decode(content, size, &c)) > 0 && is_space(c)) {
        content += length;
        size -= length;
    }
    while (size && (length = last_space(content, size)) > 0)
        size -= length;
    return bytes_append(text, content, size);
}

static enum status append_header(const char *role, struct bytes *text) {
    TRY(bytes_append_text(text, "<|start_header_id|>"));
    TRY(bytes_append_text(text, role));
    return bytes_append_text(text, "<|end_header_id|>\n\n");
}

enum status chat_render_llama3(const struct chat *chat, struct bytes *text) {
    const size_t first = chat_is_role(chat, 0, "system") ? 1 : 0;
    TRY(bytes_append_text(text, "<|begin_of_text|>"));
    TRY(append_header("system", text));
    TRY(bytes_append_text(text, date_lines));
    if (first) TRY(append_trimmed(chat->messages[0].content, text));
    TRY(bytes_append_text(text, "<|eot_id|>"));
    for (size_t i = first; i < chat->n; i++) {
        TRY(append_header(chat->messages[i].role, text));
        TRY(append_trimmed(chat->messages[i].content, text));
        TRY(bytes_append_text(text, "<|eot_id|>"));
    }
    return chat->options.add_generation_prompt ? append_header("assistant", text) : STATUS_OK;
}
