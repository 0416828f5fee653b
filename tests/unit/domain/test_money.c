#include "orderly/base/check.h"
#include "orderly/domain/money.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct currency currency_of(const char *code)
{
    struct currency c;

    assert_true(currency_parse(str_of(code), &c));
    return c;
}

static void currency__knows_the_digits_of_iso_4217(void **state)
{
    static const struct {
        const char *code;
        unsigned digits;
    } rows[] = {
        { "AED", 2 }, { "USD", 2 }, { "EUR", 2 }, { "GBP", 2 }, { "JPY", 0 }, { "KRW", 0 },
        { "CLP", 0 }, { "ISK", 0 }, { "UGX", 0 }, { "VND", 0 }, { "XAF", 0 }, { "XPF", 0 },
        { "UYI", 0 }, { "BHD", 3 }, { "IQD", 3 }, { "JOD", 3 }, { "KWD", 3 }, { "LYD", 3 },
        { "OMR", 3 }, { "TND", 3 }, { "CLF", 4 }, { "UYW", 4 }, { "ZWG", 2 }, { "ZMW", 2 },
        { "CHF", 2 }, { "HUF", 2 }, { "MGA", 2 }, { "MRU", 2 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(currency_digits(currency_of(rows[i].code)), rows[i].digits);
}

static void currency__refuses_what_is_no_active_code(void **state)
{
    static const char *const codes[] = { "",    "US",  "USDX", "usd", "Usd", "XXX",
                                         "XTS", "XAU", "DEM",  "HRK", "ZZZ", "AAA" };
    struct currency c;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        assert_false(currency_parse(str_of(codes[i]), &c));
}

/* Fewer digits are fine, more non-zero ones, an exponent or a sign are not. */
static void money__is_read_from_a_number_s_text(void **state)
{
    static const struct {
        const char *text, *currency;
        enum money_parse outcome;
        int64_t minor;
    } rows[] = {
        { "39.98", "USD", MONEY_OK, 3998 },
        { "5", "USD", MONEY_OK, 500 },
        { "5.0", "USD", MONEY_OK, 500 },
        { "5.00", "USD", MONEY_OK, 500 },
        { "5.0000", "USD", MONEY_OK, 500 },
        { "0", "USD", MONEY_OK, 0 },
        { "0.01", "USD", MONEY_OK, 1 },
        { "0.1", "USD", MONEY_OK, 10 },
        { "0.001", "USD", MONEY_TOO_PRECISE, 0 },
        { "1.239", "USD", MONEY_TOO_PRECISE, 0 },
        { "500", "JPY", MONEY_OK, 500 },
        { "500.0", "JPY", MONEY_OK, 500 },
        { "500.5", "JPY", MONEY_TOO_PRECISE, 0 },
        { "1.234", "KWD", MONEY_OK, 1234 },
        { "1.2345", "KWD", MONEY_TOO_PRECISE, 0 },
        { "1.2345", "CLF", MONEY_OK, 12345 },
        { "10000000000", "USD", MONEY_OK, MONEY_MAX_MINOR },
        { "10000000000.00", "USD", MONEY_OK, MONEY_MAX_MINOR },
        { "10000000000.01", "USD", MONEY_TOO_LARGE, 0 },
        { "10000000001", "USD", MONEY_TOO_LARGE, 0 },
        { "1000000000000", "JPY", MONEY_OK, MONEY_MAX_MINOR },
        { "1000000000001", "JPY", MONEY_TOO_LARGE, 0 },
        { "99999999999999999999999999999999", "USD", MONEY_TOO_LARGE, 0 },
        { "5e0", "USD", MONEY_EXPONENT, 0 },
        { "5E+2", "USD", MONEY_EXPONENT, 0 },
        { "0.5e-1", "USD", MONEY_EXPONENT, 0 },
        { "-5", "USD", MONEY_NEGATIVE, 0 },
        { "-0.00", "USD", MONEY_NEGATIVE, 0 },
        { "-5e3", "USD", MONEY_NEGATIVE, 0 },
        { "", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "-", "USD", MONEY_NOT_A_NUMBER, 0 },
        { ".5", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "5.", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "05", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "-05", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "+5", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "5e", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "5e+", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "5.0.0", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "1,000", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "\"5\"", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "5 ", "USD", MONEY_NOT_A_NUMBER, 0 },
        { "NaN", "USD", MONEY_NOT_A_NUMBER, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t minor = 0;
        enum money_parse outcome =
            money_from_text(str_of(rows[i].text), currency_of(rows[i].currency), &minor);

        if (outcome != rows[i].outcome || minor != rows[i].minor)
            fail_msg("%s %s: outcome %d, minor %lld", rows[i].text, rows[i].currency, (int)outcome,
                     (long long)minor);
    }
}

static void money__says_what_is_wrong_with_a_number(void **state)
{
    (void)state;
    assert_string_equal(money_parse_text(MONEY_OK), "");
    assert_string_equal(money_parse_text(MONEY_TOO_PRECISE), "has more digits than its currency");
    assert_string_equal(money_parse_text(MONEY_TOO_LARGE), "is too large");
}

static void money__prints_exactly_the_currency_s_digits(void **state)
{
    static const struct {
        int64_t minor;
        const char *currency, *text;
    } rows[] = {
        { 3998, "USD", "39.98" },
        { 0, "USD", "0.00" },
        { 5, "USD", "0.05" },
        { 50, "USD", "0.50" },
        { -1, "USD", "-0.01" },
        { 500, "JPY", "500" },
        { 0, "JPY", "0" },
        { 1234, "KWD", "1.234" },
        { 1, "CLF", "0.0001" },
        { 10000, "CLF", "1.0000" },
        { -3998, "USD", "-39.98" },
        { MONEY_MAX_MINOR, "USD", "10000000000.00" },
        { INT64_MIN, "CLF", "-922337203685477.5808" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[MONEY_TEXT_MAX];
        size_t n = money_to_text(rows[i].minor, currency_of(rows[i].currency), text);

        if (!str_eq((struct str){ text, n }, str_of(rows[i].text)))
            fail_msg("%s, not %.*s", rows[i].text, (int)n, text);
    }
}

static void money__refuses_sums_beyond_its_limit(void **state)
{
    int64_t out = 7;

    (void)state;
    assert_true(money_add(MONEY_MAX_MINOR - 1, 1, &out));
    assert_true(out == MONEY_MAX_MINOR);
    out = 7;
    assert_false(money_add(MONEY_MAX_MINOR, 1, &out));
    assert_false(money_add(INT64_MAX, 1, &out));
    assert_false(money_mul(MONEY_MAX_MINOR, 2, &out));
    assert_false(money_mul(INT64_MAX, 3, &out));
    assert_true(out == 7);
    assert_true(money_mul(MONEY_MAX_MINOR / 10, 10, &out));
    assert_true(out == MONEY_MAX_MINOR);
    assert_true(money_add(0, -MONEY_MAX_MINOR, &out));
    assert_false(money_add(-1, -MONEY_MAX_MINOR, &out));
}

static void money__takes_a_percentage_half_up(void **state)
{
    (void)state;
    assert_int_equal(money_percent(5997, 1000), 600); /* 599.7 */
    assert_int_equal(money_percent(5, 1000), 1);      /* 0.5 */
    assert_int_equal(money_percent(4, 1000), 0);      /* 0.4 */
    assert_int_equal(money_percent(15, 1000), 2);     /* 1.5 */
    assert_int_equal(money_percent(10000, 1), 1);
    assert_int_equal(money_percent(4999, 1), 0);
    assert_int_equal(money_percent(5000, 1), 1);
    assert_true(money_percent(MONEY_MAX_MINOR, 10000) == MONEY_MAX_MINOR);
    assert_true(money_percent(MONEY_MAX_MINOR, 1250) == MONEY_MAX_MINOR / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(currency__knows_the_digits_of_iso_4217),
        cmocka_unit_test(currency__refuses_what_is_no_active_code),
        cmocka_unit_test(money__is_read_from_a_number_s_text),
        cmocka_unit_test(money__says_what_is_wrong_with_a_number),
        cmocka_unit_test(money__prints_exactly_the_currency_s_digits),
        cmocka_unit_test(money__refuses_sums_beyond_its_limit),
        cmocka_unit_test(money__takes_a_percentage_half_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
