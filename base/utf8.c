#include "base/utf8.h"

#include <string.h>

/* Length that the first byte announces; 0 where no character starts so. */
static size_t announced_length(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return 2;
    if (first >= 0xE0 && first <= 0xEF) return 3;
    if (first >= 0xF0 && first <= 0xF4) return 4;
    return 0;
}

/* Bounds of the second byte: they exclude overlong forms, surrogates and what lies above U+10FFFF. */
static bool second_byte_fits(unsigned char first, unsigned char second) {
    const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

size_t utf8_decode(const char *text, size_t size, uint32_t *code_point_out) {
    const unsigned char *bytes = (const unsigned char *)text;
    const size_t length = announced_length(bytes[0]);
    if (length == 0 || length > size) return 0;
    if (length == 1) {
        *code_point_out = bytes[0];
        return 1;
    }
    if (!second_byte_fits(bytes[0], bytes[1])) return 0;
    uint32_t code_point = bytes[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return 0;
        code_point = code_point << 6 | (bytes[i] & 0x3Fu);
    }
    *code_point_out = code_point;
    return length;
}

size_t utf8_encode(uint32_t code_point, char text[4]) {
    if (code_point < 0x80) {
        text[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        text[0] = (char)(0xC0 | code_point >> 6);
        text[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point < 0x10000) {
        if (code_point >= 0xD800 && code_point <= 0xDFFF) return 0;
        text[0] = (char)(0xE0 | code_point >> 12);
        text[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        text[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    if (code_point > 0x10FFFF) return 0;
    text[0] = (char)(0xF0 | code_point >> 18);
    text[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    text[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    text[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}

bool utf8_is_valid(const char *text, size_t size) {
    uint32_t code_point;
    for (size_t i = 0; i < size;) {
        const size_t length = utf8_decode(text + i, size - i, &code_point);
        if (length == 0) return false;
        i += length;
    }
    return true;
}

size_t utf8_incomplete_tail(const char *text, size_t size) {
    for (size_t tail = 1; tail <= 3 && tail <= size; tail++) {
        const unsigned char *bytes = (const unsigned char *)text + size - tail;
        if ((bytes[0] & 0xC0) == 0x80) continue; /* a continuation byte: look further left */
        const bool unfinished = announced_length(bytes[0]) > tail;
        const bool plausible = tail < 2 || second_byte_fits(bytes[0], bytes[1]);
        return unfinished && plausible ? tail : 0;
    }
    return 0;
}

/* C0, DEL and C1: what a terminal may take for a command. */
static bool is_control(uint32_t code_point) {
    return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
}

const char *utf8_printable(const char *text, size_t size, size_t room, char copy[]) {
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        uint32_t code_point = 0;
        const size_t length = utf8_decode(text + i, size - i, &code_point);
        const bool shown = length > 0 && !is_control(code_point);
        const size_t n_copied = shown ? length : 1;
        if (n + n_copied >= room) break;
        memcpy(copy + n, shown ? text + i : "?", n_copied);
        n += n_copied;
        i += length ? length : 1;
    }
    copy[n] = '\0';
    return copy;
}
