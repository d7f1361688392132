#include "coordinator/tokenizer/byte_alphabet_impl.h"

#include "base/utf8.h"

/* The bytes that are not printable: 0-32, 127-160 and 173. */
enum { LOW = 33, HIGH_FIRST = 127, HIGH = 34, SOFT_HYPHEN = 173 };

uint32_t byte_alphabet_character(unsigned char byte) {
    if (byte < LOW) return 256u + byte;
    if (byte >= HIGH_FIRST && byte < HIGH_FIRST + HIGH) return 256u + LOW + (byte - HIGH_FIRST);
    if (byte == SOFT_HYPHEN) return 256u + LOW + HIGH;
    return byte;
}

int byte_alphabet_byte(uint32_t code_point) {
    if (code_point < 256) {
        const unsigned char byte = (unsigned char)code_point;
        return byte_alphabet_character(byte) == byte ? byte : -1;
    }
    const uint32_t ordinal = code_point - 256;
    if (ordinal < LOW) return (int)ordinal;
    if (ordinal < LOW + HIGH) return (int)(ordinal - LOW + HIGH_FIRST);
    return ordinal == LOW + HIGH ? SOFT_HYPHEN : -1;
}

enum status byte_alphabet_write(const char *text, size_t size, struct bytes *written) {
    TRY(bytes_reserve(written, written->size + 2 * size));
    for (size_t i = 0; i < size; i++) {
        char character[4];
        const size_t length = utf8_encode(byte_alphabet_character((unsigned char)text[i]), character);
        TRY(bytes_append(written, character, length));
    }
    return STATUS_OK;
}

enum status byte_alphabet_read(const char *text, size_t size, struct bytes *spelled) {
    const size_t before = spelled->size;
    uint32_t code_point;
    for (size_t i = 0, length; i < size; i += length) {
        length = utf8_decode(text + i, size - i, &code_point);
        const int byte = length ? byte_alphabet_byte(code_point) : -1;
        if (byte < 0) {
            spelled->size = before;
            return bytes_append(spelled, text, size);
        }
        const char value = (char)byte;
        TRY(bytes_append(spelled, &value, 1));
    }
    return STATUS_OK;
}
