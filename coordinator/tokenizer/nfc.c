#include "coordinator/tokenizer/nfc_impl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/check.h"
#include "base/utf8.h"

/* Blocks in which every character has NFC_Quick_Check = Yes and combining class 0, so that text made of
 * them alone is its own normal form (Annex 15, section 9). */
static bool is_inert(uint32_t c) {
    return c < 0x300 ||                    /* Latin */
           (c >= 0x388 && c <= 0x482) ||   /* Greek, Cyrillic */
           (c >= 0x2010 && c <= 0x2060) || /* dashes, quotation marks */
           (c >= 0x3001 && c <= 0x3029) || /* CJK punctuation */
           (c >= 0x4E00 && c <= 0x9FFF) || /* CJK */
           (c >= 0xAC00 && c <= 0xD7A3);   /* Hangul syllables */
}

bool nfc_is_certain(const char *text, size_t size) {
    uint32_t code_point;
    for (size_t i = 0, length; i < size; i += length) {
        length = (unsigned char)text[i] < 0x80 ? 1 : utf8_decode(text + i, size - i, &code_point);
        if (length == 0 || (length > 1 && !is_inert(code_point))) return false;
    }
    return true;
}

/* No character has a longer canonical decomposition (Annex 15, section 12). */
enum { MAX_DECOMPOSITION = 4 };

/* utf8proc_map would do all of this, but orders marks by exchanging neighbours: a text of a million marks
 * would take hours. */
struct code_points {
    utf8proc_int32_t *at; /* [n] */
    size_t n;
};

static enum status decompose(const struct bytes *text, struct code_points *points_out) {
    struct code_points points = {calloc(text->size + 1, MAX_DECOMPOSITION * sizeof *points.at), 0};
    if (!points.at) return FAIL(STATUS_NO_MEMORY, "out of memory: a text of %zu bytes", text->size);
    uint32_t code_point = 0;
    for (size_t i = 0; i < text->size;) {
        const size_t length = utf8_decode(text->data + i, text->size - i, &code_point);
        CHECK(length > 0);
        int unused = 0;
        const utf8proc_ssize_t n =
            utf8proc_decompose_char((utf8proc_int32_t)code_point, points.at + points.n, MAX_DECOMPOSITION,
                                    UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &unused);
        CHECK(n >= 0 && n <= MAX_DECOMPOSITION);
        points.n += (size_t)n;
        i += length;
    }
    *points_out = points;
    return STATUS_OK;
}

static unsigned combining_class(utf8proc_int32_t code_point) {
    return (unsigned)utf8proc_get_property(code_point)->combining_class & 0xFF;
}

/* Stable counting sort of marks[n] by combining class, with room for n code points. */
static void sort_marks(utf8proc_int32_t *marks, size_t n, utf8proc_int32_t *room) {
    size_t end_of[256] = {0};
    for (size_t i = 0; i < n; i++)
        end_of[combining_class(marks[i])]++;
    for (size_t c = 1; c < 256; c++)
        end_of[c] += end_of[c - 1];
    for (size_t i = n; i-- > 0;)
        room[--end_of[combining_class(marks[i])]] = marks[i];
    memcpy(marks, room, n * sizeof *marks);
}

/* The canonical order: runs of marks by class. */
static enum status order_marks(const struct code_points *points) {
    utf8proc_int32_t *room = calloc(points->n + 1, sizeof *room);
    if (!room) return FAIL(STATUS_NO_MEMORY, "out of memory: a text of %zu characters", points->n);
    for (size_t i = 0, end; i < points->n; i = end + 1) {
        for (end = i; end < points->n && combining_class(points->at[end]) > 0;)
            end++;
        if (end - i > 1) sort_marks(points->at + i, end - i, room);
    }
    free(room);
    return STATUS_OK;
}

static enum status write_utf8(const struct code_points *points, struct bytes *text) {
    bytes_clear(text);
    for (size_t i = 0; i < points->n; i++) {
        char character[4];
        const size_t length = utf8_encode((uint32_t)points->at[i], character);
        TRY(bytes_append(text, character, length));
    }
    return STATUS_OK;
}

enum status nfc_normalize(struct bytes *text) {
    struct code_points points = {0};
    if (nfc_is_certain(text->data, text->size)) return STATUS_OK;
    enum status status;
    TRY_GOTO(decompose(text, &points), done);
    TRY_GOTO(order_marks(&points), done);
    const utf8proc_ssize_t n =
        utf8proc_normalize_utf32(points.at, (utf8proc_ssize_t)points.n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    CHECK(n >= 0);
    points.n = (size_t)n;
    status = write_utf8(&points, text);
done:
    free(points.at);
    return status;
}
