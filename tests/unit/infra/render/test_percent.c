/* Attributes as values of header fields: every byte, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "orderly/infra/render/percent.h"
#include <stdio.h>
#include <string.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void assert_encodes(struct str text, const char *expected)
{
    struct buf out = { NULL, 0, 0 };

    percent_encode(&out, text);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, expected);
    buf_deinit(&out);
}

static void assert_decodes(struct str value, struct str expected)
{
    struct str out;

    assert_int_equal(percent_decode(&arena, value, &out), ERR_OK);
    if (!str_eq(out, expected))
        fail_msg("'%.*s' became '%.*s'", STR_ARG(value), STR_ARG(out));
}

static void assert_refused(struct str value)
{
    struct str out;

    if (percent_decode(&arena, value, &out) != ERR_INVALID)
        fail_msg("'%.*s' was taken for '%.*s'", STR_ARG(value), STR_ARG(out));
}

static void percent__has_the_bindings_own_example(void **state)
{
    struct str text = STR("Euro \xe2\x82\xac \xf0\x9f\x98\x80");
    struct str value = STR("Euro%20%E2%82%AC%20%F0%9F%98%80");

    (void)state;
    assert_encodes(text, value.p);
    assert_decodes(value, text);
}

static void percent__escapes_exactly_what_is_no_visible_ascii_quote_or_percent(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c, expected[4];
        bool is_plain = c > 0x20 && c < 0x7f && c != '"' && c != '%';

        if (is_plain)
            snprintf(expected, sizeof(expected), "%c", byte);
        else
            snprintf(expected, sizeof(expected), "%%%02X", c);
        assert_encodes((struct str){ &byte, 1 }, expected);
    }
    assert_encodes(STR_NONE, "");
}

static void percent__takes_a_byte_that_was_not_escaped_only_if_it_is_text_of_ascii(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char value[3] = { 'a', (char)c, 'b' };
        bool is_taken = (c >= 0x20 && c < 0x7f && c != '"' && c != '%') || c == '\t';

        if (is_taken)
            assert_decodes((struct str){ value, 3 }, (struct str){ value, 3 });
        else
            assert_refused((struct str){ value, 3 });
    }
}

/* Also what needed none, in either case of the digits. A byte above ASCII alone is no UTF-8. */
static void percent__reads_an_escape_of_every_byte(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char upper[4], lower[4], byte = (char)c;

        snprintf(upper, sizeof(upper), "%%%02X", c);
        snprintf(lower, sizeof(lower), "%%%02x", c);
        if (c < 0x80) {
            assert_decodes(str_of(upper), (struct str){ &byte, 1 });
            assert_decodes(str_of(lower), (struct str){ &byte, 1 });
        } else {
            assert_refused(str_of(upper));
            assert_refused(str_of(lower));
        }
    }
}

static void percent__takes_two_hexadecimal_digits_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char high[3] = { '%', (char)c, '1' }, low[3] = { '%', '4', (char)c };
        bool is_digit = c && strchr("0123456789abcdefABCDEF", (int)c);
        struct str out;

        assert_int_equal(percent_decode(&arena, (struct str){ low, 3 }, &out),
                         is_digit ? ERR_OK : ERR_INVALID);
        /* Beyond %7F the first half of a character. */
        assert_int_equal(percent_decode(&arena, (struct str){ high, 3 }, &out),
                         c >= '0' && c <= '7' ? ERR_OK : ERR_INVALID);
    }
    assert_refused(STR("%"));
    assert_refused(STR("%4"));
    assert_refused(STR("a%"));
    assert_refused(STR("100% sure"));
}

static void percent__is_decoded_once(void **state)
{
    (void)state;
    assert_decodes(STR("%2541"), STR("%41"));
    assert_decodes(STR("%2525"), STR("%25"));
}

static void percent__refuses_bytes_that_are_no_utf8(void **state)
{
    static const char *const values[] = {
        "%C0%A0",                    /* a blank, overlong: the binding's own example */
        "%E2%82",                    /* cut short */
        "%E2%82x",      "%ED%A0%80", /* a surrogate */
        "%F4%90%80%80",              /* beyond U+10FFFF */
        "%80",          "%FF",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        assert_refused(str_of(values[i]));
    assert_decodes(STR("%ED%9F%BF"), STR("\xed\x9f\xbf"));
}

static void percent__takes_quotes_and_backslashes_off_first(void **state)
{
    (void)state;
    assert_decodes(STR("\"plain\""), STR("plain"));
    assert_decodes(STR("\"\""), STR(""));
    assert_decodes(STR("\"a b\""), STR("a b"));
    assert_decodes(STR("\"a \\\"b\\\" \\\\ c\""), STR("a \"b\" \\ c"));
    assert_decodes(STR("\"Euro%20%e2%82%ac\""), STR("Euro \xe2\x82\xac"));
    assert_decodes(STR("\"%2\\0\""), STR(" ")); /* unescaped first, then decoded */
    assert_decodes(STR("a\\b"), STR("a\\b"));   /* a backslash alone is one */
}

static void percent__refuses_quotes_that_do_not_stand_around_the_value(void **state)
{
    static const char *const values[] = { "\"",     "\"a",      "a\"",    "a\"b\"",
                                          "\"a\"b", "\"a\"b\"", "\"a\\\"" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        assert_refused(str_of(values[i]));
}

static void percent__brings_back_every_text_that_it_has_written(void **state)
{
    struct buf out = { NULL, 0, 0 };
    char text[4];

    (void)state;
    for (uint32_t c = 1; c < 0x110000; c += c < 0x900 ? 1 : 97) {
        size_t n = 0;

        if (c >= 0xd800 && c < 0xe000)
            continue;
        if (c < 0x80) {
            text[n++] = (char)c;
        } else if (c < 0x800) {
            text[n++] = (char)(0xc0 | c >> 6);
            text[n++] = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            text[n++] = (char)(0xe0 | c >> 12);
            text[n++] = (char)(0x80 | (c >> 6 & 63));
            text[n++] = (char)(0x80 | (c & 63));
        } else {
            text[n++] = (char)(0xf0 | c >> 18);
            text[n++] = (char)(0x80 | (c >> 12 & 63));
            text[n++] = (char)(0x80 | (c >> 6 & 63));
            text[n++] = (char)(0x80 | (c & 63));
        }
        out.n = 0;
        percent_encode(&out, (struct str){ text, n });
        assert_decodes(buf_str(&out), (struct str){ text, n });
        arena_reset(&arena);
    }
    buf_deinit(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(percent__has_the_bindings_own_example),
        TEST(percent__escapes_exactly_what_is_no_visible_ascii_quote_or_percent),
        TEST(percent__takes_a_byte_that_was_not_escaped_only_if_it_is_text_of_ascii),
        TEST(percent__reads_an_escape_of_every_byte),
        TEST(percent__takes_two_hexadecimal_digits_and_nothing_else),
        TEST(percent__is_decoded_once),
        TEST(percent__refuses_bytes_that_are_no_utf8),
        TEST(percent__takes_quotes_and_backslashes_off_first),
        TEST(percent__refuses_quotes_that_do_not_stand_around_the_value),
        TEST(percent__brings_back_every_text_that_it_has_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
