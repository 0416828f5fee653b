#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/arena.h"
#include "orderly/infra/http/target.h"

static void assert_text(struct str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    if (s.n > 0)
        assert_memory_equal(s.p, expected, s.n);
}

static void path__is_taken_apart_at_slashes(void **state)
{
    static const char *const expected[] = { "a", "", "b%2Fc", "" };
    struct str rest = STR("/a//b%2Fc/");
    struct str segment;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(http_path_next(&rest, &segment));
        assert_text(segment, expected[i]);
    }
    assert_false(http_path_next(&rest, &segment));
    rest = STR("*");
    assert_false(http_path_next(&rest, &segment));
}

static void percent__is_decoded_strictly(void **state)
{
    static const struct {
        const char *raw, *decoded; /* NULL: refused */
    } rows[] = {
        { "", "" },
        { "plain+text", "plain+text" },
        { "a%20b", "a b" },
        { "%2f%2F", "//" },
        { "%C3%a9", "\xc3\xa9" },
        { "%25", "%" },
        { "%", NULL },
        { "%4", NULL },
        { "a%4", NULL },
        { "%zz", NULL },
        { "%4g", NULL },
        { "%-1", NULL },
        { "%00", NULL },
        { "a%00b", NULL },
    };
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 256);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct str out;
        enum err e = http_percent_decode(&a, str_of(rows[i].raw), &out);

        if (rows[i].decoded == NULL) {
            assert_int_equal(e, ERR_INVALID);
        } else {
            assert_int_equal(e, ERR_OK);
            assert_text(out, rows[i].decoded);
        }
    }
    arena_deinit(&a);
}

static void query__keeps_order_and_duplicates(void **state)
{
    struct http_query q;
    struct arena a;
    struct str value;
    enum err e;

    (void)state;
    arena_init(&a, NULL, 256);
    e = http_query_parse(&a, STR("status=PAID&q=a+b%26c&flag&status=READY&&e=&%61=1=2"), &q);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(q.n, 6);
    assert_int_equal(http_query_find(&q, STR("status"), &value), 2);
    assert_text(value, "PAID");
    assert_int_equal(http_query_find(&q, STR("q"), &value), 1);
    assert_text(value, "a b&c");
    assert_int_equal(http_query_find(&q, STR("flag"), &value), 1);
    assert_text(value, "");
    assert_int_equal(http_query_find(&q, STR("e"), NULL), 1);
    assert_int_equal(http_query_find(&q, STR("a"), &value), 1);
    assert_text(value, "1=2");
    assert_int_equal(http_query_find(&q, STR("missing"), &value), 0);
    assert_int_equal(value.n, 0);
    e = http_query_parse(&a, STR(""), &q);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(q.n, 0);
    arena_deinit(&a);
}

static void query__refuses_broken_escapes_anywhere(void **state)
{
    static const char *const bad[] = { "a=%", "%=a", "a=1&b=%0", "a=%00", "a=1&%zz" };
    struct http_query q;
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 256);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        enum err e = http_query_parse(&a, str_of(bad[i]), &q);

        assert_int_equal(e, ERR_INVALID);
        assert_int_equal(q.n, 0);
    }
    arena_deinit(&a);
}

static void query__takes_a_hundred_parameters_and_not_one_more(void **state)
{
    char text[4 * HTTP_QUERY_PARAMS_MAX + 4];
    struct http_query q;
    struct arena a;
    enum err e;

    (void)state;
    for (size_t i = 0; i <= HTTP_QUERY_PARAMS_MAX; i++)
        memcpy(text + 4 * i, "a=1&", 4);
    arena_init(&a, NULL, 256);
    e = http_query_parse(&a, (struct str){ text, 4 * HTTP_QUERY_PARAMS_MAX - 1 }, &q);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(q.n, HTTP_QUERY_PARAMS_MAX);
    e = http_query_parse(&a, (struct str){ text, sizeof(text) - 1 }, &q);
    assert_int_equal(e, ERR_LIMIT);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path__is_taken_apart_at_slashes),
        cmocka_unit_test(percent__is_decoded_strictly),
        cmocka_unit_test(query__keeps_order_and_duplicates),
        cmocka_unit_test(query__refuses_broken_escapes_anywhere),
        cmocka_unit_test(query__takes_a_hundred_parameters_and_not_one_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
