#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tokenizer/tokenizer_fixture.h"

#define MODEL     "'model':{'type':'BPE','vocab':{'a':0,'b':1,'ab':2},'merges':['a b']}"
#define DECODER   "'decoder':{'type':'Fuse'}"
#define WITH(...) "{" MODEL "," DECODER "," __VA_ARGS__ "}"
#define MODEL_WITH(...)                                                                                      \
    "{" DECODER ",'model':{'vocab':{'a':0,'b':1,'ab':2},'merges':['a b']," __VA_ARGS__ "}}"

static void test_smallest(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_parse("{" MODEL "," DECODER "}");
    fixture_check_ids(tokenizer, "aabz", 4, (struct tokenizer_encode_options){true, true}, (int32_t[]){0, 2},
                      2);
    assert_int_equal(tokenizer_vocab_size(tokenizer), 3);
    assert_int_equal(tokenizer_find(tokenizer, "ab"), 2);
    assert_int_equal(tokenizer_find(tokenizer, "abc"), -1);
    assert_int_equal(tokenizer_find(tokenizer, ""), -1);
    assert_int_equal(tokenizer_bos_id(tokenizer), -1);
    assert_null(tokenizer_chat_template(tokenizer));
    assert_string_equal(tokenizer_kind(tokenizer), "SentencePiece BPE");
    tokenizer_close(tokenizer);
}

static void test_bad_document(void **state) {
    (void)state;
    fixture_refused("", "line 1");
    fixture_refused("[]", "not a JSON object");
    fixture_refused("{'model':", "line 1");
    fixture_refused("{" DECODER "}", "model is missing");
    fixture_refused("{" DECODER ",'model':[]}", "model is not an object");
    fixture_refused("{" MODEL "}", "the decoder is missing");
}

static void test_bad_model(void **state) {
    (void)state;
    fixture_refused("{" DECODER ",'model':{'type':'Unigram'}}", "model.type \"Unigram\" is not supported");
    fixture_refused("{" DECODER ",'model':{'vocab':{},'merges':[]}}", "model.vocab is missing");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0}}}", "model.merges is missing");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':-1},'merges':[]}}", "the id of the token \"a\"");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':4194304},'merges':[]}}", "the id of the token \"a\"");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':'0'},'merges':[]}}", "the id of the token \"a\"");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':7,'b':7},'merges':[]}}", "two tokens have the id 7");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0,'b':1},'merges':['a b']}}", "the result is not in");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0},'merges':['a c']}}", "the second is not in");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0},'merges':['ac']}}", "merge 0 is neither");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0},'merges':[['a','b','c']]}}", "merge 0 is neither");
    fixture_refused("{" DECODER ",'model':{'vocab':{'a':0},'merges':[7]}}", "merge 0 is neither");
    fixture_refused(MODEL_WITH("'dropout':0.1"), "model.dropout");
    fixture_refused(MODEL_WITH("'continuing_subword_prefix':'##'"), "continuing_subword_prefix \"##\"");
    fixture_refused(MODEL_WITH("'end_of_word_suffix':'</w>'"), "end_of_word_suffix \"</w>\"");
    fixture_refused(MODEL_WITH("'unk_token':'?'"), "model.unk_token \"?\" is not in the vocabulary");
    fixture_refused(MODEL_WITH("'byte_fallback':1"), "model.byte_fallback is not true or false");
}

static void test_bad_steps(void **state) {
    (void)state;
    fixture_refused(WITH("'normalizer':{'type':'Lowercase'}"), "the normalizer Lowercase is not supported");
    fixture_refused(WITH("'normalizer':{'type':'Strip'}"), "the normalizer Strip is not supported");
    fixture_refused(WITH("'normalizer':{'type':'Prepend'}"), "normalizer.prepend is missing");
    fixture_refused(WITH("'normalizer':7"), "a step of the normalizer is not an object");
    fixture_refused(WITH("'normalizer':{'type':'Sequence'}"), "normalizer.normalizers is missing");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Whitespace'}"), "the pre_tokenizer Whitespace");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Split','behavior':'Odd'}"), "the behavior \"Odd\"");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Split','behavior':'Isolated'}"), "needs a pattern");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Split','behavior':'Isolated','pattern':{'Regex':'a('}}"),
                    "the regular expression \"a(\" is wrong at byte 2");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Metaspace','replacement':'__'}"), "a single character");
    fixture_refused(WITH("'pre_tokenizer':{'type':'Sequence','pretokenizers':["
                         "{'type':'ByteLevel'},{'type':'Digits'}]}"),
                    "Digits after ByteLevel");
    fixture_refused(WITH("'post_processor':{'type':'BertProcessing'}"), "BertProcessing is not supported");
    fixture_refused(WITH("'post_processor':{'type':'TemplateProcessing','single':[]}"), "no sequence A");
    fixture_refused(WITH("'post_processor':{'type':'TemplateProcessing','single':["
                         "{'SpecialToken':{'id':'<s>'}}],'special_tokens':{'<s>':{'ids':[3]}}}"),
                    "an id that no token has");
}

static void test_bad_decoder(void **state) {
    (void)state;
    fixture_refused("{" MODEL ",'decoder':{'type':'WordPiece'}}", "the decoder WordPiece is not supported");
    fixture_refused("{" MODEL ",'decoder':{'type':'Strip','content':' ','start':1,'stop':0}}",
                    "Strip is not supported in this place");
    fixture_refused("{" MODEL ",'decoder':{'type':'Sequence','decoders':[{'type':'Fuse'},"
                    "{'type':'Strip','content':' ','start':0,'stop':1}]}}",
                    "start >= 0 and stop 0");
    fixture_refused("{" MODEL ",'decoder':{'type':'Sequence','decoders':[{'type':'Fuse'},"
                    "{'type':'ByteFallback'}]}}",
                    "ByteFallback is not supported in this place");
}

static void test_bad_added_tokens(void **state) {
    (void)state;
    fixture_refused(WITH("'added_tokens':[{'id':3}]"), "added_tokens[].content is missing");
    fixture_refused(WITH("'added_tokens':[{'content':'<s>'}]"), "the id of the token \"<s>\"");
    fixture_refused(WITH("'added_tokens':[{'id':5,'content':'a'}]"), "has the id 5, but 0 in the vocabulary");
    fixture_refused(WITH("'added_tokens':[{'id':0,'content':'<s>'}]"), "two tokens have the id 0");
    fixture_refused(WITH("'added_tokens':[{'id':3,'content':'<s>','special':'yes'}]"),
                    "added_tokens[].special is not true or false");
}

/* Nesting must end in a sentence too, also where a reader would recurse. */
static void test_nesting(void **state) {
    (void)state;
    struct bytes json = {0};
    assert_int_equal(bytes_append_text(&json, "{" MODEL "," DECODER ",'normalizer':"), STATUS_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(bytes_append_text(&json, "{'type':'Sequence','normalizers':["), STATUS_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(bytes_append_text(&json, "]}"), STATUS_OK);
    assert_int_equal(bytes_append_text(&json, "}"), STATUS_OK);
    tokenizer_close(fixture_parse(json.data));
    bytes_clear(&json);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(bytes_append_text(&json, "["), STATUS_OK);
    fixture_refused(json.data, "maximum parsing depth");
    bytes_free(&json);
    fixture_refused(
        WITH("'normalizer':{'type':'Sequence','normalizers':[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}"),
        "more than 16 steps");
}

/* ---- the folder ---- */

struct folder {
    char path[64];
};

static struct folder make_folder(void) {
    struct folder folder = {"/tmp/test_tokenizer_XXXXXX"};
    assert_non_null(mkdtemp(folder.path));
    return folder;
}

static void put(const struct folder *folder, const char *name, const char *content) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (; *content; content++)
        fputc(*content == '\'' ? '"' : *content, file);
    assert_int_equal(fclose(file), 0);
}

static void remove_folder(const struct folder *folder) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder->path), 0);
}

#define SPECIALS                                                                                             \
    "'added_tokens':[{'id':3,'content':'<s>','special':true},{'id':4,'content':'</s>','special':true}]"

static struct tokenizer *open_with(const char *config, const char *jinja) {
    const struct folder folder = make_folder();
    struct tokenizer *tokenizer = NULL;
    put(&folder, "tokenizer.json", WITH(SPECIALS));
    if (config) put(&folder, "tokenizer_config.json", config);
    if (jinja) put(&folder, "chat_template.jinja", jinja);
    const enum status status = tokenizer_open_folder(folder.path, &tokenizer);
    if (status != STATUS_OK) assert_int_equal(status, STATUS_BAD_INPUT);
    remove_folder(&folder);
    return tokenizer;
}

static void test_config(void **state) {
    (void)state;
    const struct tokenizer_encode_options special = {true, true};
    struct tokenizer *tokenizer =
        open_with("{'bos_token':'<s>','eos_token':{'content':'</s>'},"
                  "'add_bos_token':true,'add_eos_token':true,'chat_template':'{{x}}'}",
                  NULL);
    assert_int_equal(tokenizer_bos_id(tokenizer), 3);
    assert_int_equal(tokenizer_eos_id(tokenizer), 4);
    assert_string_equal(tokenizer_chat_template(tokenizer), "{{x}}");
    fixture_check_ids(tokenizer, "ab", 2, special, (int32_t[]){3, 2, 4}, 3);
    fixture_check_ids(tokenizer, "", 0, special, (int32_t[]){3, 4}, 2);
    fixture_check_ids(tokenizer, NULL, 0, (struct tokenizer_encode_options){false, true}, NULL, 0);
    tokenizer_close(tokenizer);

    tokenizer = open_with("{'bos_token':null,'add_bos_token':false,'chat_template':["
                          "{'name':'tool_use','template':'t'},{'name':'default','template':'d'}]}",
                          NULL);
    assert_int_equal(tokenizer_bos_id(tokenizer), -1);
    assert_string_equal(tokenizer_chat_template(tokenizer), "d");
    tokenizer_close(tokenizer);

    tokenizer = open_with("{'chat_template':'old'}", "new\n");
    assert_string_equal(tokenizer_chat_template(tokenizer), "new\n");
    tokenizer_close(tokenizer);
}

static void test_bad_config(void **state) {
    (void)state;
    static const struct {
        const char *config, *expected;
    } bad[] = {
        {"{", "line 1"},
        {"{'bos_token':'<b>'}", "bos_token \"<b>\" is not in the vocabulary"},
        {"{'eos_token':7}", "eos_token is neither"},
        {"{'add_bos_token':true}", "add_bos_token is true"},
        {"{'bos_token':'<s>','add_bos_token':'yes'}", "add_bos_token is not true or false"},
        {"{'chat_template':{}}", "chat_template is neither"},
        {"{'chat_template':[{'name':'tool_use','template':'t'}]}", "chat_template is neither"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(open_with(bad[i].config, NULL));
        assert_non_null(strstr(status_message(), "tokenizer_config.json"));
        if (!strstr(status_message(), bad[i].expected)) fail_msg("%s", status_message());
    }
}

/* The configuration goes before the template of tokenizer.json, in both directions. */
static void test_config_overrides_template(void **state) {
    (void)state;
    struct tokenizer *tokenizer = fixture_open("models/stories260K");
    const struct tokenizer_encode_options special = {true, true};
    assert_int_equal(tokenizer_bos_id(tokenizer), 1);
    fixture_check_ids(tokenizer, "", 0, special, (int32_t[]){1}, 1);
    tokenizer_close(tokenizer);

    const struct folder folder = make_folder();
    put(&folder, "tokenizer.json",
        WITH(SPECIALS
             ",'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>'}},"
             "{'Sequence':{'id':'A'}}],'special_tokens':{'<s>':{'ids':[3]}}}"));
    put(&folder, "tokenizer_config.json", "{'bos_token':'<s>','add_bos_token':false}");
    assert_int_equal(tokenizer_open_folder(folder.path, &tokenizer), STATUS_OK);
    fixture_check_ids(tokenizer, "a", 1, special, (int32_t[]){0}, 1);
    tokenizer_close(tokenizer);
    remove_folder(&folder);
}

static void test_missing_folder(void **state) {
    (void)state;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_open_folder("/nonexistent/model", &tokenizer), STATUS_IO);
    assert_non_null(strstr(status_message(), "/nonexistent/model/tokenizer.json"));
    tokenizer_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest),       cmocka_unit_test(test_bad_document),
        cmocka_unit_test(test_bad_model),      cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_bad_decoder),    cmocka_unit_test(test_bad_added_tokens),
        cmocka_unit_test(test_nesting),        cmocka_unit_test(test_config),
        cmocka_unit_test(test_bad_config),     cmocka_unit_test(test_config_overrides_template),
        cmocka_unit_test(test_missing_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
