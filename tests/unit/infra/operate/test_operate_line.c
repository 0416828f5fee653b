/* Reading an operator's command line, its help, and text for a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/operate/frame.h"
#include <stdio.h>

static const struct operate_spec spec = {
    .name = "look",
    .about = "Looks.\n",
    .flags = { { "--limit", "N", "end after so many" }, { "--json", NULL, "as JSON" } },
    .args = { "ORDER" },
    .examples = "  orderly look 1\n",
    .exit_codes = "  1   nothing\n",
};

static char why_text[300];

static enum operate_parse parse(struct operate *op, unsigned n, const char *const *args,
                                const char *env)
{
    static char texts[8][64]; /* op keeps views of them */
    char *copies[8];
    struct buf why = { 0 };
    enum operate_parse result;

    *op = (struct operate){ .spec = &spec };
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%s", args[i]);
        copies[i] = texts[i];
    }
    result = operate_parse(op, n, copies, env, &why);
    (void)snprintf(why_text, sizeof(why_text), "%.*s", (int)why.n, why.n ? why.p : "");
    buf_deinit(&why);
    return result;
}

#define PARSE(op, env, ...)                                                                        \
    parse(op, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                            \
          (const char *[]){ __VA_ARGS__ }, env)

static void line__takes_flags_before_and_behind_arguments(void **unused)
{
    struct operate op;

    (void)unused;
    assert_int_equal(PARSE(&op, NULL, "o1"), OPERATE_PARSE_OK);
    assert_string_equal(op.data, "./orderly-data");
    assert_null(op.flags[0]);
    assert_null(op.flags[1]);
    assert_int_equal(PARSE(&op, NULL, "--json", "o1", "--limit", "3"), OPERATE_PARSE_OK);
    assert_non_null(op.flags[0]);
    assert_non_null(op.flags[1]);
    assert_int_equal(PARSE(&op, NULL, "--limit=3", "o1"), OPERATE_PARSE_OK);
    assert_int_equal(PARSE(&op, NULL, "--", "--json"), OPERATE_PARSE_OK);
    assert_null(op.flags[1]);
    assert_int_equal(PARSE(&op, NULL, "-"), OPERATE_PARSE_OK); /* an argument like any other */
}

static void line__has_the_directory_from_flag_environment_or_default(void **unused)
{
    struct operate op;

    (void)unused;
    assert_int_equal(PARSE(&op, "/from/env", "o1"), OPERATE_PARSE_OK);
    assert_string_equal(op.data, "/from/env");
    assert_int_equal(PARSE(&op, "/from/env", "o1", "--data", "x"), OPERATE_PARSE_OK);
    assert_string_equal(op.data, "x");
    assert_int_equal(PARSE(&op, NULL, "o1", "--data", ""), OPERATE_PARSE_WRONG);
    assert_int_equal(PARSE(&op, "", "o1"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "the data directory must have a name");
}

static void line__says_what_is_wrong(void **unused)
{
    struct operate op;

    (void)unused;
    assert_int_equal(PARSE(&op, NULL, "--josn", "o1"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "look has no flag '--josn'");
    assert_int_equal(PARSE(&op, NULL, "--limits", "o1"), OPERATE_PARSE_WRONG);
    assert_int_equal(PARSE(&op, NULL, "o1", "--limit"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "--limit needs a value: --limit N");
    assert_int_equal(PARSE(&op, NULL, "o1", "--json=yes"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "--json takes no value");
    assert_int_equal(PARSE(&op, NULL, "--json"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "look needs ORDER");
    assert_int_equal(PARSE(&op, NULL, "o1", "o2"), OPERATE_PARSE_WRONG);
    assert_string_equal(why_text, "look takes one argument only");
    assert_int_equal(PARSE(&op, NULL, "o1", "o2", "o3", "o4"), OPERATE_PARSE_WRONG);
}

static void help__is_asked_for_in_any_place(void **unused)
{
    struct operate op;

    (void)unused;
    assert_int_equal(PARSE(&op, NULL, "--help"), OPERATE_PARSE_HELP);
    assert_int_equal(PARSE(&op, NULL, "o1", "-h"), OPERATE_PARSE_HELP);
}

static void help__says_usage_flags_examples_and_exit_codes(void **unused)
{
    struct buf out = { 0 };

    (void)unused;
    operate_print_help(&spec, &out);
    buf_add(&out, "", 1);
    assert_string_equal(
        out.p, "usage: orderly look ORDER [--limit N] [--json] [--data DIR]\n"
               "\n"
               "Looks.\n"
               "\n"
               "Flags\n"
               "  --limit N             end after so many\n"
               "  --json                as JSON\n"
               "  --data DIR            the data directory; ./orderly-data, or ORDERLY_DATA\n"
               "  --help                say this\n"
               "\n"
               "Examples\n"
               "  orderly look 1\n"
               "\n"
               "Exit codes\n"
               "  0   done\n"
               "  1   nothing\n"
               "  64  wrong command line        69  in use by another\n"
               "  65  the data is damaged       74  can't read or write\n"
               "  66  no directory or no store  78  written by a newer version\n"
               "  128 and its number: a signal ended it before it was done\n");
    buf_deinit(&out);
}

static void must_show(const char *text, size_t n_max, const char *expected)
{
    struct buf out = { 0 };

    operate_add_text(&out, str_of(text), n_max);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, expected);
    buf_deinit(&out);
}

static void text__can_do_no_harm_to_a_terminal(void **unused)
{
    (void)unused;
    must_show("", 10, "");
    must_show("J\303\274rgen", 10, "J\303\274rgen");
    must_show("red\033[31m\n", 20, "red?[31m?");
    must_show("\302\233"
              "2J",
              20, "?2J");                           /* a control of eight bits */
    must_show("\342\200\256tiderc", 20, "?tiderc"); /* turns the direction of writing */
    must_show("\342\201\246x\342\200\216", 20, "?x?");
    must_show("\377\233x", 20, "??x"); /* no text at all */
    must_show("\177", 20, "?");
}

static void text__is_cut_between_two_characters(void **unused)
{
    (void)unused;
    must_show("1234", 4, "1234");
    must_show("12345", 4, "1234...");
    must_show("123\303\274", 4, "123...");
    must_show("12\342\202\254", 4, "12...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line__takes_flags_before_and_behind_arguments),
        cmocka_unit_test(line__has_the_directory_from_flag_environment_or_default),
        cmocka_unit_test(line__says_what_is_wrong),
        cmocka_unit_test(help__is_asked_for_in_any_place),
        cmocka_unit_test(help__says_usage_flags_examples_and_exit_codes),
        cmocka_unit_test(text__can_do_no_harm_to_a_terminal),
        cmocka_unit_test(text__is_cut_between_two_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
