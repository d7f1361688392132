/* Options from arguments and environment: precedence, lists, and a sentence for everything wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/edit_distance.h"
#include "base/options.h"

enum colour { RED, GREEN = 7 };
enum { COOK, CLEAN };

struct kitchen {
    bool lamp, clean;
    int32_t verbose, plates;
    int64_t grains;
    uint64_t seed;
    double heat;
    const char *dish, *recipe;
    enum colour colour;
    struct text_list guests;
    int32_t shelves[3], n_shelves;
    int64_t *drawers;
    size_t n_drawers;
    int64_t *hours;
    size_t n_hours;
};

static const struct option_choice colours[] = {{"red", RED}, {"green", GREEN}, {0}};
static const char *const commands[] = {"cook", "clean", NULL};

#define FIELD(name) .offset = offsetof(struct kitchen, name)
#define BOTH        .commands = 1u << COOK | 1u << CLEAN

static const struct option room_options[] = {
    {"lamp", NULL, 'l', OPTION_FLAG, FIELD(lamp), .initial = "true", .doc = "work in the dark", BOTH},
    {"clean", NULL, 'c', OPTION_FLAG, FIELD(clean), .doc = "wipe first", BOTH},
    {"verbose", NULL, 'v', OPTION_COUNT, FIELD(verbose), .max = 2, .doc = "say more", BOTH},
    {"grains", NULL, 0, OPTION_INT64, FIELD(grains), .max = INFINITY, .metavar = "N", .doc = "of salt", BOTH},
    {"seed", NULL, 0, OPTION_UINT64, FIELD(seed), .metavar = "N", .doc = "of chance", BOTH},
    {"heat", "temp", 0, OPTION_FLOAT, FIELD(heat), .initial = "nan", .initial_doc = "the recipe's", .max = 1,
     .metavar = "X", .doc = "of the oven", BOTH},
    {"dish", NULL, 'd', OPTION_TEXT, FIELD(dish), .initial = "soup", .min = 1, .max = 8, .metavar = "NAME",
     .doc = "what is made, in words that are long enough to be wrapped at the right margin of the page",
     BOTH},
    {"recipe", NULL, 'f', OPTION_PATH, FIELD(recipe), .min = 1, .metavar = "FILE", .doc = "written", BOTH},
    {"guest", NULL, 'g', OPTION_TEXT_LIST, FIELD(guests), .metavar = "NAME", .doc = "guest", BOTH},
    {"shelves", NULL, 0, OPTION_INT32_VECTOR, FIELD(shelves),
     .count_offset = offsetof(struct kitchen, n_shelves), .capacity = 3, .max = 9, .metavar = "I,J",
     .doc = "shelves", BOTH},
    {"drawers", NULL, 0, OPTION_INT64_LIST, FIELD(drawers),
     .count_offset = offsetof(struct kitchen, n_drawers), .max = INFINITY, .metavar = "I,J", .doc = "drawers",
     BOTH},
    {"at", NULL, 0, OPTION_INT64_RANGES, FIELD(hours), .count_offset = offsetof(struct kitchen, n_hours),
     .capacity = 5, .initial = "12", .max = 23, .metavar = "H", .doc = "hours", .commands = 1u << COOK},
    {"config", NULL, 0, OPTION_PATH, FIELD(recipe), .metavar = "FILE", .doc = "file", BOTH,
     .only_arguments = true},
    {"rooms", NULL, 'n', OPTION_INT32, FIELD(plates), .max = 9, .metavar = "N", .doc = "rooms",
     .commands = 1u << CLEAN},
};

static const struct option table_options[] = {
    {"plates", NULL, 'n', OPTION_INT32, FIELD(plates), .initial = "-1", .initial_doc = "as many as guests",
     .min = 1, .max = INFINITY, .metavar = "N", .doc = "plates", .commands = 1u << COOK},
    {"colour", NULL, 0, OPTION_CHOICE, FIELD(colour), .choices = colours, .initial = "green",
     .metavar = "NAME", .doc = "of the cloth", BOTH},
};

static const struct option_group room_group = {"Room", room_options,
                                               sizeof room_options / sizeof *room_options};
static const struct option_group table_group = {"Table", table_options,
                                                sizeof table_options / sizeof *table_options};
static const struct option_group *const groups[] = {&room_group, &table_group};

static const struct option_table table = {
    .groups = groups,
    .n_groups = sizeof groups / sizeof *groups,
    .command_names = commands,
    .environment_prefix = "KITCHEN_",
    .environment_ignored = "KITCHEN_TEST_",
};

struct fixture {
    struct kitchen kitchen;
    struct options *options;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_int_equal(options_create(&table, &fixture->kitchen, &fixture->options), STATUS_OK);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    options_destroy(fixture->options);
    free(fixture);
    return 0;
}

#define PARSE(...)                                                                                           \
    parse(fixture, COOK, (const char *[]){__VA_ARGS__},                                                      \
          (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)))

static enum status parse(struct fixture *fixture, int command, const char *const *argv, int argc) {
    return options_parse_arguments(fixture->options, command, argc, argv);
}

#define REFUSED(sentence, ...)                                                                               \
    do {                                                                                                     \
        assert_int_equal(PARSE(__VA_ARGS__), STATUS_BAD_INPUT);                                              \
        assert_string_equal(status_message(), sentence);                                                     \
    } while (0)

static void test_initial_values(void **state) {
    const struct fixture *fixture = *state;
    const struct kitchen *kitchen = &fixture->kitchen;
    assert_true(kitchen->lamp);
    assert_false(kitchen->clean);
    assert_int_equal(kitchen->plates, -1);
    assert_true(isnan(kitchen->heat));
    assert_string_equal(kitchen->dish, "soup");
    assert_null(kitchen->recipe);
    assert_int_equal(kitchen->colour, GREEN);
}

/* What is printed, given again, is the same. */
static void test_printed_values(void **state) {
    struct fixture *fixture = *state;
    static const char *const expected[][2] = {
        {"lamp", "false"},  {"verbose", "2"},      {"plates", "12"},     {"grains", "9000000000"},
        {"heat", "0.7"},    {"dish", "pie"},       {"colour", "red"},    {"seed", "18446744073709551615"},
        {"guest", "Ann,B"}, {"shelves", "1,2,9"},  {"drawers", "-4,70"}, {"at", "1,2,3,9"},
        {"clean", "false"}, {"recipe", "/a/b.md"},
    };
    assert_int_equal(PARSE("--no-lamp", "-vv", "-n", "12", "--grains=9000000000", "--temp", "0.7", "-dpie",
                           "-f", "/a/b.md", "--colour", "red", "--seed", "18446744073709551615", "-g", "Ann",
                           "-g", "B", "--shelves", "1,2,9", "--drawers", "4,70", "--at", "1-3,9"),
                     STATUS_OK);
    fixture->kitchen.drawers[0] = -4;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct bytes text = {0};
        const struct option *option = options_find(fixture->options, expected[i][0]).option;
        assert_int_equal(options_was_given(fixture->options, option), strcmp(option->name, "clean") != 0);
        assert_int_equal(option_value_print(option, &fixture->kitchen, &text), STATUS_OK);
        assert_string_equal(text.data, expected[i][1]);
        bytes_free(&text);
    }
}

static void test_spellings(void **state) {
    struct fixture *fixture = *state;
    const struct kitchen *kitchen = &fixture->kitchen;
    assert_int_equal(PARSE("--no-lamp", "-cvv", "-n", "12", "--grains=9000000000", "--temp", "0.25", "-dpie",
                           "-f", "-", "--colour", "red", "--seed", "18446744073709551615", "--"),
                     STATUS_OK);
    assert_false(kitchen->lamp);
    assert_true(kitchen->clean);
    assert_int_equal(kitchen->verbose, 2);
    assert_int_equal(kitchen->plates, 12);
    assert_int_equal(kitchen->grains, 9000000000);
    assert_true(kitchen->heat == 0.25);
    assert_string_equal(kitchen->dish, "pie");
    assert_string_equal(kitchen->recipe, "-");
    assert_int_equal(kitchen->colour, RED);
    assert_true(kitchen->seed == UINT64_MAX);
}

static void test_lists(void **state) {
    struct fixture *fixture = *state;
    const struct kitchen *kitchen = &fixture->kitchen;
    assert_int_equal(PARSE("-g", "Ada", "-gBob", "--guest=", "--shelves", "2,9", "--shelves=1", "--drawers",
                           "5,4,3,2,1", "--drawers", "0"),
                     STATUS_OK);
    assert_int_equal(kitchen->guests.n, 3);
    assert_string_equal(kitchen->guests.items[0], "Ada");
    assert_string_equal(kitchen->guests.items[1], "Bob");
    assert_string_equal(kitchen->guests.items[2], "");
    assert_int_equal(kitchen->n_shelves, 3);
    assert_memory_equal(kitchen->shelves, ((int32_t[]){2, 9, 1}), 12);
    assert_int_equal(kitchen->n_drawers, 6);
    assert_memory_equal(kitchen->drawers, ((int64_t[]){5, 4, 3, 2, 1, 0}), 48);
}

/* Ranges among the numbers of a list, and a name of two letters behind one dash. */
static void test_ranges(void **state) {
    struct fixture *fixture = *state;
    const struct kitchen *kitchen = &fixture->kitchen;
    assert_int_equal(kitchen->n_hours, 1);
    assert_int_equal(kitchen->hours[0], 12);
    assert_int_equal(PARSE("-at", "7,1-4*2", "--at=0"), STATUS_OK);
    assert_int_equal(kitchen->n_hours, 5);
    assert_memory_equal(kitchen->hours, ((int64_t[]){7, 1, 2, 4, 0}), 40);
    REFUSED("--at: more than 5 numbers", "-at", "0-5");
    REFUSED("--at: more than 5 numbers", "-at", "0-23,0-23");
    REFUSED("--at: 20-24 is out of range; it must be from 0 to 23", "-at", "20-24");
    REFUSED("--at: '1-' is no list of whole numbers and ranges (1-4, 0-100+25, 512-4096*2)", "-at", "1-");
    REFUSED("--at: '1,' is no list of whole numbers and ranges (1-4, 0-100+25, 512-4096*2)", "-at", "1,");
    REFUSED("--at: the value is missing; write --at H", "-at");
    const char *argv[] = {"-at", "3"}; /* of another command, and 'a' is no letter of this one */
    assert_int_equal(parse(fixture, CLEAN, argv, 2), STATUS_BAD_INPUT);
}

static void test_later_source_wins(void **state) {
    struct fixture *fixture = *state;
    const struct kitchen *kitchen = &fixture->kitchen;
    const char *environment[] = {"KITCHEN_DISH=stew", "KITCHEN_GUEST=Cid",   "KITCHEN_VERBOSE=2",
                                 "KITCHEN_LAMP=off",  "KITCHEN_NO_CLEAN=no", "KITCHEN_TEST_X=1",
                                 "KITCHEN_SEED=",     "PATH=/bin",           NULL};
    assert_int_equal(PARSE("-g", "Ada", "-g", "Bob", "-d", "pie", "-v"), STATUS_OK);
    assert_int_equal(options_parse_environment(fixture->options, environment), STATUS_OK);
    assert_string_equal(kitchen->dish, "stew");
    assert_int_equal(kitchen->guests.n, 1);
    assert_string_equal(kitchen->guests.items[0], "Cid");
    assert_int_equal(kitchen->verbose, 2);
    assert_false(kitchen->lamp);
    assert_true(kitchen->clean);
    assert_int_equal(PARSE("-v", "--guest", "Dot", "--lamp"), STATUS_OK);
    assert_int_equal(kitchen->verbose, 1);
    assert_string_equal(kitchen->guests.items[0], "Dot");
    assert_true(kitchen->lamp);
}

static void test_letter_by_command(void **state) {
    struct fixture *fixture = *state;
    const char *argv[] = {"-n", "3"};
    assert_int_equal(parse(fixture, CLEAN, argv, 2), STATUS_OK);
    assert_int_equal(fixture->kitchen.plates, 3);
    const char *other[] = {"--plates", "3"};
    assert_int_equal(parse(fixture, CLEAN, other, 2), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "--plates: 'clean' does not take this option; 'cook' does");
}

static void test_unknown(void **state) {
    struct fixture *fixture = *state;
    REFUSED("--plaets: unknown option; did you mean --plates?", "--plaets", "1");
    REFUSED("--xyzzy: unknown option; --help lists those that exist", "--xyzzy=1");
    REFUSED("-x: unknown option; --help lists those that exist", "-x");
    REFUSED("--no-heat: unknown option; did you mean --heat?", "--no-heat");
    REFUSED("'pie': unexpected argument; a value belongs behind its option", "pie");
    REFUSED("'pie': unexpected argument; a value belongs behind its option", "--", "pie");
    char name[4096];
    memset(name, '-', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(PARSE(name), STATUS_BAD_INPUT);
}

static void test_bad_values(void **state) {
    struct fixture *fixture = *state;
    REFUSED("--plates: the value is missing; write --plates N", "-n");
    REFUSED("--plates: '' is not a whole number", "--plates=");
    REFUSED("--plates: ' 1' is not a whole number", "-n", " 1");
    REFUSED("--plates: '1x' is not a whole number", "-n1x");
    REFUSED("--plates: 0 is out of range; it must be from 1 to 2147483647", "-n", "0");
    REFUSED("--plates: 99999999999999999999 is out of range; it must be from 1 to 2147483647", "-n",
            "99999999999999999999");
    REFUSED("--grains: -1 is out of range; it must be at least 0", "--grains", "-1");
    REFUSED("--seed: '-1' is not a whole number from 0 to 2^64 - 1", "--seed", "-1");
    REFUSED("--heat: 1.5 is out of range; it must be from 0 to 1", "--heat", "1.5");
    REFUSED("--heat: 'nan' is not a number", "--temp", "nan");
    REFUSED("--heat: 'warm' is not a number", "--heat=warm");
    REFUSED("--colour: 'blue' is none of red, green", "--colour", "blue");
    REFUSED("--lamp: 'perhaps' is neither true nor false", "--lamp=perhaps");
    REFUSED("--dish: the value is empty", "-d", "");
    REFUSED("--dish: the value has 9 bytes; at most 8 are allowed", "-d", "casserole");
    REFUSED("--dish: the text is not valid UTF-8", "-d", "\xff");
    REFUSED("--shelves: more than 3 numbers", "--shelves", "1,2,3,4");
    REFUSED("--shelves: '1,,2' is not a whole number", "--shelves", "1,,2");
    REFUSED("--shelves: 1,10 is out of range; it must be from 0 to 9", "--shelves", "1,10");
    REFUSED("--verbose: 3 is out of range; it must be from 0 to 2", "--verbose=3");
}

static void test_bad_environment(void **state) {
    struct fixture *fixture = *state;
    const char *misspelt[] = {"KITCHEN_DSIH=pie", NULL}, *bad[] = {"KITCHEN_HEAT=2", NULL};
    const char *only_arguments[] = {"KITCHEN_CONFIG=x", NULL};
    assert_int_equal(options_parse_environment(fixture->options, misspelt), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "KITCHEN_DSIH: this environment variable names no option; did you "
                                          "mean KITCHEN_DISH?");
    assert_int_equal(options_parse_environment(fixture->options, bad), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "KITCHEN_HEAT: 2 is out of range; it must be from 0 to 1");
    assert_int_equal(options_parse_environment(fixture->options, only_arguments), STATUS_BAD_INPUT);
}

static void test_help(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    options_print_help(&table, COOK, file);
    fclose(file);
    assert_non_null(strstr(text, "\nRoom\n  -l, --no-lamp                 work in the dark\n"));
    assert_non_null(strstr(text,
                           "\nTable\n  -n, --plates N                plates (default: as many as guests)\n"
                           "      --colour NAME             of the cloth: red, green (default: green)\n"));
    assert_null(strstr(text, "--rooms"));
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 100);
    free(text);
}

static void test_edit_distance(void **state) {
    (void)state;
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("same", "same"), 0);
    assert_int_equal(edit_distance("budegt", "budget"), 1);
    assert_true(edit_distance_is_near("tempature", "temperature"));
    assert_false(edit_distance_is_near("seed", "top-p"));
    char word[80];
    memset(word, 'a', sizeof word);
    word[79] = '\0';
    assert_true(edit_distance(word, word) == SIZE_MAX);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_initial_values),
        WITH_FIXTURE(test_spellings),
        WITH_FIXTURE(test_lists),
        WITH_FIXTURE(test_ranges),
        WITH_FIXTURE(test_later_source_wins),
        WITH_FIXTURE(test_letter_by_command),
        WITH_FIXTURE(test_unknown),
        WITH_FIXTURE(test_bad_values),
        WITH_FIXTURE(test_bad_environment),
        WITH_FIXTURE(test_printed_values),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
