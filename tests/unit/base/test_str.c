#include "orderly/base/check.h"
#include "orderly/base/err.h"
#include "orderly/base/mem.h"
#include "orderly/base/str.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void str__compares_trims_and_finds_prefixes(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NONE, STR("")));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_eq_nocase(STR("a"), STR("b")));
    assert_false(str_eq_nocase(STR("@["), STR("`{"))); /* 32 apart as well, but no letters */
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_int_equal(str_trim(STR(" \t ")).n, 0);
    assert_true(str_starts_with(STR("order.placed"), STR("order.")));
    assert_false(str_starts_with(STR("orde"), STR("order.")));
    assert_true(str_starts_with(STR("x"), STR_NONE));
}

static void str__reads_numbers_to_the_last_that_fits(void **state)
{
    static const char *const wrong[] = { "",
                                         "-1",
                                         "+1",
                                         " 1",
                                         "1 ",
                                         "0x1",
                                         "1a",
                                         "18446744073709551616",
                                         "99999999999999999999",
                                         "184467440737095516150" };
    uint64_t v;

    (void)state;
    assert_true(str_to_u64(STR("0"), &v) && v == 0);
    assert_true(str_to_u64(STR("007"), &v) && v == 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(str_to_u64(str_of(wrong[i]), &v));
}

/* The text at the very end of its memory, and behind 0 to 8 ASCII characters. */
static bool is_utf8(const char *bytes, size_t n)
{
    bool first = false;

    for (size_t before = 0; before <= 8; before++) {
        char *p = mem_alloc(before + n);
        bool ok;

        memset(p, 'a', before);
        memcpy(p + before, bytes, n);
        ok = str_is_utf8((struct str){ p, before + n });
        if (before == 0)
            first = ok;
        assert_int_equal(ok, first);
        mem_free(p);
    }
    return first;
}
#define IS_UTF8(literal) is_utf8("" literal, sizeof(literal) - 1)

static void utf8__knows_the_bounds_of_rfc_3629(void **state)
{
    (void)state;
    assert_true(IS_UTF8(""));
    assert_true(IS_UTF8("plain\x7F"));
    assert_true(IS_UTF8("\xC2\x80\xDF\xBF"));
    assert_true(IS_UTF8("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"));
    assert_true(IS_UTF8("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
    assert_false(IS_UTF8("\x80"));
    assert_false(IS_UTF8("\xC0\x80"));         /* overlong */
    assert_false(IS_UTF8("\xC1\xBF"));         /* overlong */
    assert_false(IS_UTF8("\xE0\x9F\xBF"));     /* overlong */
    assert_false(IS_UTF8("\xF0\x8F\xBF\xBF")); /* overlong */
    assert_false(IS_UTF8("\xED\xA0\x80"));     /* surrogate */
    assert_false(IS_UTF8("\xED\xBF\xBF"));     /* surrogate */
    assert_false(IS_UTF8("\xF4\x90\x80\x80")); /* beyond U+10FFFF */
    assert_false(IS_UTF8("\xF5\x80\x80\x80"));
    assert_false(IS_UTF8("\xFF"));
    assert_false(IS_UTF8("\xC2"));
    assert_false(IS_UTF8("\xE2\x82"));
    assert_false(IS_UTF8("\xF0\x9F\x98"));
    assert_false(IS_UTF8("\xC2\x41"));
    assert_false(IS_UTF8("\xE2\x28\xA1"));
    assert_false(IS_UTF8("\xE2\x82\x28"));
    assert_false(IS_UTF8("\xF0\x9F\x98\x28"));
}

/* Every code point, written by the plain rule. */
static void utf8__takes_every_code_point_but_the_surrogates(void **state)
{
    (void)state;
    for (uint32_t u = 0; u <= 0x10FFFF; u++) {
        char b[4];
        size_t n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
        uint32_t rest = u;

        for (size_t i = n - 1; i > 0; i--) {
            b[i] = (char)(0x80 | (rest & 0x3F));
            rest >>= 6;
        }
        b[0] = (char)(n == 1 ? rest : (0xF00u >> n & 0xFF) | rest);
        assert_int_equal(str_is_utf8((struct str){ b, n }), u < 0xD800 || u > 0xDFFF);
        assert_int_equal(str_utf8_len((struct str){ b, n }), 1);
    }
}

static void utf8__counts_code_points(void **state)
{
    (void)state;
    assert_int_equal(str_utf8_len(STR_NONE), 0);
    assert_int_equal(str_utf8_len(STR("abc")), 3);
    assert_int_equal(str_utf8_len(STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

static void err__has_a_name_and_a_text_for_each(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_OK), "OK");
    assert_string_equal(err_name(ERR_SHUTTING_DOWN), "SHUTTING_DOWN");
    assert_string_equal(err_text(ERR_LIMIT), "limit reached");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str__compares_trims_and_finds_prefixes),
        cmocka_unit_test(str__reads_numbers_to_the_last_that_fits),
        cmocka_unit_test(utf8__knows_the_bounds_of_rfc_3629),
        cmocka_unit_test(utf8__takes_every_code_point_but_the_surrogates),
        cmocka_unit_test(utf8__counts_code_points),
        cmocka_unit_test(err__has_a_name_and_a_text_for_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
