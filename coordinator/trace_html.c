#include "coordinator/trace_html.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/trace_file.h"
#include "coordinator/trace_page_impl.h"

static enum status put_base64(const unsigned char *data, size_t size, struct bytes *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    TRY(bytes_reserve(text, text->size + size / 3 * 4 + 4));
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t word = (uint32_t)data[i] << 16 | (uint32_t)(left > 1 ? data[i + 1] : 0) << 8 |
                              (uint32_t)(left > 2 ? data[i + 2] : 0);
        const char quad[4] = {digits[word >> 18], digits[word >> 12 & 63],
                              left > 1 ? digits[word >> 6 & 63] : '=', left > 2 ? digits[word & 63] : '='};
        TRY(bytes_append(text, quad, sizeof quad));
    }
    return STATUS_OK;
}

/* Some of a trace's steps, written anew. */
struct thinning {
    struct trace_reader *reader;
    struct trace_writer *writer;
    struct trace_tokens tokens; /* since the last step that was kept */
    struct trace_sets sets;
    int64_t n_edges, most;
};

static bool fits(const struct thinning *thinning) {
    return thinning->n_edges <= thinning->most && trace_writer_size(thinning->writer) <= thinning->most;
}

static enum status keep_steps(struct thinning *thinning, int32_t every) {
    const struct trace_step *step;
    for (int64_t index = 0;; index++) {
        TRY(trace_reader_next(thinning->reader, &step));
        if (!step) return STATUS_OK;
        TRY(trace_tokens_append_all(&thinning->tokens, step->tokens));
        if (index % every != 0) continue;
        thinning->n_edges += (int64_t)step->sets->n_edges;
        TRY(trace_sets_copy(step->sets, &thinning->sets));
        TRY(trace_writer_step(thinning->writer, &thinning->tokens, &thinning->sets));
        trace_tokens_clear(&thinning->tokens);
        if (!fits(thinning)) return STATUS_OK;
    }
}

static enum status thin(struct thinning *thinning, int32_t every) {
    struct trace_header header = *trace_reader_header(thinning->reader);
    if (__builtin_mul_overflow(header.every, every, &header.every))
        return FAIL(STATUS_BAD_INPUT, "the trace is too large for a page");
    TRY(trace_sets_create(header.n_layers * header.n_kv_heads, &thinning->sets));
    TRY(trace_writer_create(NULL, &header, &thinning->writer));
    return keep_steps(thinning, every);
}

static enum status put_trace(const struct thinning *thinning, int32_t layer, int32_t kv_head,
                             struct bytes *html) {
    const char *mark = strstr(trace_page, TRACE_PAGE_MARK);
    CHECK(mark);
    const struct bytes *bytes = trace_writer_bytes(thinning->writer);
    TRY(bytes_append(html, trace_page, (size_t)(mark - trace_page)));
    TRY(bytes_printf(html, "<script type=\"text/plain\" id=\"trace\" data-layer=\"%d\" data-head=\"%d\">",
                     layer, kv_head));
    TRY(put_base64((const unsigned char *)bytes->data, bytes->size, html));
    TRY(bytes_append_text(html, "</script>"));
    return bytes_append_text(html, mark + strlen(TRACE_PAGE_MARK));
}

/* *fits_out: this few steps are few enough, and the page is made. */
static enum status try_every(const void *trace, size_t size, const char *name, int32_t every, int32_t layer,
                             int32_t kv_head, int64_t most, struct bytes *html, bool *fits_out) {
    struct thinning thinning = {.most = most};
    enum status status = trace_reader_create(trace, size, name, &thinning.reader);
    if (status == STATUS_OK) status = thin(&thinning, every);
    *fits_out = status == STATUS_OK && fits(&thinning);
    if (*fits_out) status = put_trace(&thinning, layer, kv_head, html);
    trace_reader_destroy(thinning.reader);
    trace_writer_destroy(thinning.writer);
    trace_tokens_free(&thinning.tokens);
    trace_sets_free(&thinning.sets);
    return status;
}

enum status trace_html_draw(const void *trace, size_t size, const char *name, int32_t layer, int32_t kv_head,
                            int64_t most, struct bytes *html) {
    bool made = false;
    for (int32_t every = 1; !made; every *= 2) {
        if (every > 1 << 20) return FAIL(STATUS_BAD_INPUT, "%s is too large for a page", name);
        TRY(try_every(trace, size, name, every, layer, kv_head, most, html, &made));
    }
    return STATUS_OK;
}
