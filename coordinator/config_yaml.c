#include "coordinator/config_yaml.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/bytes.h"
#include "base/file.h"

enum { MAX_FILE_BYTES = 1 << 18, MAX_LABEL = 512 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the present one; type YAML_NO_EVENT before the first */
    struct options *options;
    const char *path;
};

static size_t line(const struct reader *reader) {
    return reader->event.start_mark.line + 1;
}

static enum status next_event(struct reader *reader) {
    yaml_event_delete(&reader->event);
    memset(&reader->event, 0, sizeof reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event)) return STATUS_OK;
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR) return FAIL(STATUS_NO_MEMORY, "%s: out of memory", reader->path);
    const size_t where = parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
    return FAIL(STATUS_BAD_INPUT, "%s:%zu: not YAML: %s", reader->path, where + 1,
                parser->problem ? parser->problem : "unreadable");
}

/* The present event as a text without NULs; it lives until the next event. */
static enum status scalar_text(const struct reader *reader, const char **text_out) {
    if (reader->event.type != YAML_SCALAR_EVENT)
        return FAIL(STATUS_BAD_INPUT, "%s:%zu: only \"name: value\" and \"name: [value, …]\" can stand here",
                    reader->path, line(reader));
    const char *text = (const char *)reader->event.data.scalar.value;
    if (strlen(text) != reader->event.data.scalar.length)
        return FAIL(STATUS_BAD_INPUT, "%s:%zu: a text holds a NUL character", reader->path, line(reader));
    *text_out = text;
    return STATUS_OK;
}

static enum status find_option(const struct reader *reader, const char *name,
                               struct option_match *match_out) {
    const struct option_match match = options_find(reader->options, name);
    if (!match.option || match.option->only_arguments) {
        const char *suggestion = options_suggest(reader->options, OPTIONS_ANY_COMMAND, name);
        if (!suggestion)
            return FAIL(STATUS_BAD_INPUT, "%s:%zu: %.64s: unknown option", reader->path, line(reader), name);
        return FAIL(STATUS_BAD_INPUT, "%s:%zu: %.64s: unknown option; did you mean %s?", reader->path,
                    line(reader), name, suggestion);
    }
    if (options_is_set(reader->options, match.option))
        return FAIL(STATUS_BAD_INPUT, "%s:%zu: %s: given twice", reader->path, line(reader), name);
    *match_out = match;
    return STATUS_OK;
}

static bool is_null(const yaml_event_t *event, const char *text) {
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static enum status set_scalar(struct reader *reader, struct option_match match, const char *label) {
    const char *text;
    TRY(scalar_text(reader, &text));
    if (is_null(&reader->event, text)) return FAIL(STATUS_BAD_INPUT, "%s: the value is missing", label);
    return options_set(reader->options, match, text, label);
}

static bool is_list(const struct option *option) {
    return option->kind == OPTION_TEXT_LIST || option->kind == OPTION_INT32_VECTOR ||
           option->kind == OPTION_INT64_LIST || option->kind == OPTION_INT64_RANGES;
}

static enum status set_list(struct reader *reader, struct option_match match, const char *label) {
    if (!is_list(match.option)) return FAIL(STATUS_BAD_INPUT, "%s: one value is wanted, not a list", label);
    for (;;) {
        TRY(next_event(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) return STATUS_OK;
        TRY(set_scalar(reader, match, label));
    }
}

/* The present event is a name; its value follows. */
static enum status read_pair(struct reader *reader) {
    const char *name;
    struct option_match match;
    TRY(scalar_text(reader, &name));
    TRY(find_option(reader, name, &match));
    char label[MAX_LABEL];
    snprintf(label, sizeof label, "%.400s:%zu: %.64s", reader->path, line(reader), name);
    TRY(next_event(reader));
    return reader->event.type == YAML_SEQUENCE_START_EVENT ? set_list(reader, match, label)
                                                           : set_scalar(reader, match, label);
}

static enum status read_mapping(struct reader *reader) {
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return FAIL(STATUS_BAD_INPUT, "%s:%zu: the file must consist of \"name: value\" lines", reader->path,
                    line(reader));
    for (;;) {
        TRY(next_event(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT) return STATUS_OK;
        TRY(read_pair(reader));
    }
}

static enum status read_stream(struct reader *reader) {
    TRY(next_event(reader)); /* stream start */
    TRY(next_event(reader));
    if (reader->event.type == YAML_STREAM_END_EVENT) return STATUS_OK; /* nothing but comments */
    TRY(next_event(reader));                                           /* behind the document's start */
    TRY(read_mapping(reader));
    TRY(next_event(reader)); /* document end */
    TRY(next_event(reader));
    if (reader->event.type == YAML_STREAM_END_EVENT) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s:%zu: a second document begins; one is allowed", reader->path,
                line(reader));
}

enum status config_yaml_parse(struct options *options, const char *data, size_t size, const char *path) {
    struct reader reader = {.options = options, .path = path};
    if (!yaml_parser_initialize(&reader.parser)) return FAIL(STATUS_NO_MEMORY, "%s: out of memory", path);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, size);
    options_begin_source(options);
    const enum status status = read_stream(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return status;
}

enum status config_yaml_read(struct options *options, const char *path) {
    struct bytes content = {0};
    TRY(file_read_all(path, MAX_FILE_BYTES, &content));
    const enum status status =
        config_yaml_parse(options, content.data ? content.data : "", content.size, path);
    bytes_free(&content);
    return status;
}
