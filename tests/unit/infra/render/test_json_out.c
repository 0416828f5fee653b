/* The writer: commas, escapes, numbers, times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "orderly/infra/render/json_out.h"
#include <stdio.h>

static void assert_written(struct json_out *o, const char *expected)
{
    buf_add(&o->buf, "", 1);
    assert_string_equal(o->buf.p, expected);
    json_out_deinit(o);
}

static void json_out__puts_commas_where_they_belong(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };

    (void)state;
    json_open(&o, '{');
    JSON_KEY(&o, "a");
    json_open(&o, '[');
    for (int i = 0; i < 3; i++) {
        json_item(&o);
        json_i64(&o, i - 1);
    }
    json_close(&o, ']');
    json_key(&o, STR("b"));
    json_open(&o, '{');
    json_close(&o, '}');
    JSON_KEY(&o, "c");
    json_bool(&o, true);
    json_close(&o, '}');
    assert_written(&o, "{\"a\":[-1,0,1],\"b\":{},\"c\":true}");
}

static void json_out__escapes_what_json_does_not_allow(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };

    (void)state;
    json_str(&o, STR("a\"b\\c\n\r\t\b\x01\x1f/\xc3\xa9\x7f"));
    assert_written(&o, "\"a\\\"b\\\\c\\n\\r\\t\\u0008\\u0001\\u001f/\xc3\xa9\x7f\"");
    json_str(&o, STR_NONE);
    assert_written(&o, "\"\"");
}

static void json_out__writes_numbers_as_they_are(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };
    static const double doubles[] = { 0, 1, 0.5, 0.1, 1e-7, 1.0 / 3 };

    (void)state;
    json_open(&o, '[');
    json_u64(&o, UINT64_MAX);
    json_item(&o);
    json_i64(&o, INT64_MIN);
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        json_item(&o);
        json_double(&o, doubles[i]);
    }
    json_close(&o, ']');
    assert_written(&o, "[18446744073709551615,-9223372036854775808,0.0,1.0,0.5,0.1,1e-07,"
                       "0.3333333333333333]");
}

static void json_out__writes_money_with_its_currencys_digits(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };

    (void)state;
    json_open(&o, '[');
    json_money(&o, 3998, (struct currency){ "USD" });
    json_item(&o);
    json_money(&o, 0, (struct currency){ "USD" });
    json_item(&o);
    json_money(&o, 500, (struct currency){ "JPY" });
    json_item(&o);
    json_money(&o, 1, (struct currency){ "BHD" });
    json_close(&o, ']');
    assert_written(&o, "[39.98,0.00,500,0.001]");
}

static void json_out__writes_null_for_ids_and_times_that_are_none(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };
    struct text_id id = { .n = 3, .s = "a-1" };

    (void)state;
    json_open(&o, '[');
    json_uuid(&o, (struct uuid){ { 0 } });
    json_item(&o);
    json_uuid(&o, (struct uuid){ { 1, 2 } });
    json_item(&o);
    json_time(&o, 0);
    json_item(&o);
    json_time(&o, INT64_C(1795176000000));
    json_item(&o);
    json_text_id(&o, &id);
    json_item(&o);
    json_text_id(&o, &(struct text_id){ .n = 0 });
    json_item(&o);
    json_str_or_null(&o, STR_NONE);
    json_close(&o, ']');
    assert_written(&o, "[null,\"01020000-0000-0000-0000-000000000000\",null,"
                       "\"2026-11-20T12:00:00.000Z\",\"a-1\",null,null]");
}

static void json_out__gives_back_the_memory_of_a_large_answer(void **state)
{
    struct json_out o = { .buf = { NULL, 0, 0 } };

    (void)state;
    (void)json_room(&o, 1000000);
    json_out_reset(&o);
    assert_int_equal(o.buf.cap, 0);
    (void)json_room(&o, 1000);
    json_out_reset(&o);
    assert_true(o.buf.cap >= 1000);
    json_out_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_out__puts_commas_where_they_belong),
        cmocka_unit_test(json_out__escapes_what_json_does_not_allow),
        cmocka_unit_test(json_out__writes_numbers_as_they_are),
        cmocka_unit_test(json_out__writes_money_with_its_currencys_digits),
        cmocka_unit_test(json_out__writes_null_for_ids_and_times_that_are_none),
        cmocka_unit_test(json_out__gives_back_the_memory_of_a_large_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
