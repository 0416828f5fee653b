#include "orderly/base/check.h"
#include "orderly/base/timetext.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_reads(const char *text, int64_t ms)
{
    int64_t got = 0;

    if (!timetext_parse(str_of(text), &got))
        fail_msg("%s: not read", text);
    if (got != ms)
        fail_msg("%s: read as %lld", text, (long long)got);
}

/* The examples of RFC 3339 §5.8. */
static void timetext__reads_the_examples_of_the_rfc(void **state)
{
    (void)state;
    assert_reads("1985-04-12T23:20:50.52Z", INT64_C(482196050520));
    assert_reads("1996-12-19T16:39:57-08:00", INT64_C(851042397000));
    assert_reads("1996-12-20T00:39:57Z", INT64_C(851042397000));
    assert_reads("1990-12-31T23:59:60Z", INT64_C(662687999999));
    assert_reads("1990-12-31T15:59:60-08:00", INT64_C(662687999999));
    assert_reads("1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130));
}

static void timetext__reads_every_form_that_the_rfc_allows(void **state)
{
    (void)state;
    assert_reads("1970-01-01t00:00:00z", 0);
    assert_reads("1970-01-01T00:00:00-00:00", 0);
    assert_reads("1970-01-01T00:00:00.1Z", 100);
    assert_reads("1970-01-01T00:00:00.999999999999999999Z", 999);
    assert_reads("1969-12-31T23:59:59.999Z", -1);
    assert_reads("2000-02-29T00:00:00+23:59", INT64_C(951782400000) - 86340000);
    assert_reads("0000-01-01T00:00:00Z", INT64_C(-62167219200000));
    assert_reads("9999-12-31T23:59:59.999Z", INT64_C(253402300799999));
}

static void timetext__refuses_what_is_no_date_time(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026-11-20",
        "2026-11-20T12:00:00",
        "2026-11-20 12:00:00Z",
        "2026-11-20T12:00Z",
        "2026-11-20T12:00:00.Z",
        "2026-11-20T12:00:00,5Z",
        "2026-11-20T12:00:00Z ",
        " 2026-11-20T12:00:00Z",
        "2026-11-20T12:00:00+0100",
        "2026-11-20T12:00:00+01",
        "2026-11-20T12:00:00+24:00",
        "2026-11-20T12:00:00+01:60",
        "2026-11-20T24:00:00Z",
        "2026-11-20T12:60:00Z",
        "2026-11-20T12:00:61Z",
        "2026-11-20T12:00:60Z",
        "2026-00-20T12:00:00Z",
        "2026-13-20T12:00:00Z",
        "2026-11-00T12:00:00Z",
        "2026-11-31T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "26-11-20T12:00:00Z",
        "+2026-11-20T12:00:00Z",
        "2026-1-20T12:00:00Z",
        "2026-11-20T12:00:0xZ",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        int64_t ms;

        if (timetext_parse(str_of(wrong[i]), &ms))
            fail_msg("read: %s", wrong[i]);
    }
    for (size_t n = 0; n < TIMETEXT_LEN; n++) {
        int64_t ms;

        assert_false(timetext_parse((struct str){ "2026-11-20T12:00:00.000Z", n }, &ms));
    }
}

static void timetext__prints_and_reads_back_any_time(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        int64_t span = INT64_C(253402300799999) + INT64_C(62167219200000) + 1;
        int64_t ms = (int64_t)(chance_next(&c) % (uint64_t)span) - INT64_C(62167219200000);
        char text[TIMETEXT_LEN];
        int64_t back;

        timetext_format(ms, text);
        assert_true(timetext_parse((struct str){ text, sizeof(text) }, &back));
        assert_true(back == ms);
    }
}

static void timetext__agrees_with_the_c_library(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        time_t s = (time_t)(chance_next(&c) % UINT64_C(253402300800));
        char text[TIMETEXT_LEN];
        char http[TIMETEXT_HTTP_LEN];
        char expected[64];
        struct tm tm;

        assert_non_null(gmtime_r(&s, &tm));
        timetext_format((int64_t)s * 1000, text);
        assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm), 24);
        assert_memory_equal(text, expected, TIMETEXT_LEN);
        timetext_format_http((int64_t)s * 1000, http);
        assert_int_equal(strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm),
                         29);
        assert_memory_equal(http, expected, TIMETEXT_HTTP_LEN);
    }
}

static void timetext__clamps_years_that_have_no_four_digits(void **state)
{
    char text[TIMETEXT_LEN];

    (void)state;
    timetext_format(INT64_MAX, text);
    assert_memory_equal(text, "9999-12-31T23:59:59.999Z", TIMETEXT_LEN);
    timetext_format(INT64_MIN, text);
    assert_memory_equal(text, "0000-01-01T00:00:00.000Z", TIMETEXT_LEN);
}

/* RFC 9110 §5.6.7 */
static void timetext__prints_the_http_example(void **state)
{
    char text[TIMETEXT_HTTP_LEN];

    (void)state;
    timetext_format_http(INT64_C(784111777000), text);
    assert_memory_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT", TIMETEXT_HTTP_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timetext__reads_the_examples_of_the_rfc),
        cmocka_unit_test(timetext__reads_every_form_that_the_rfc_allows),
        cmocka_unit_test(timetext__refuses_what_is_no_date_time),
        cmocka_unit_test(timetext__prints_and_reads_back_any_time),
        cmocka_unit_test(timetext__agrees_with_the_c_library),
        cmocka_unit_test(timetext__clamps_years_that_have_no_four_digits),
        cmocka_unit_test(timetext__prints_the_http_example),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
