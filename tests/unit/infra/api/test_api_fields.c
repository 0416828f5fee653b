/* Header fields and query values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/api/fields.h"
#include "orderly/base/arena.h"
#include "orderly/infra/inbound/media.h"
#include <stdio.h>

#define S(text) str_of(text)

static void fields__take_json_in_utf_8_only(void **state)
{
    static const char *const fine[] = {
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;charset=\"UTF-8\" ; x=y",
        "application/merge-patch+json",
        "application/cloudevents+json; charset=utf8",
    };
    static const char *const bad[] = {
        "",
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/json; charset=latin1",
        "application/+json",
        "application/x-www-form-urlencoded",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        assert_true(media_is_json(S(fine[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(media_is_json(S(bad[i])));
}

static void fields__take_json_of_any_type_for_the_data_of_an_event(void **state)
{
    static const char *const fine[] = { "application/json", "text/json", "Text/JSON;charset=utf-8",
                                        "model/x.y+json", "*/json" };
    static const char *const bad[] = { "",         "json",       "/json",
                                       "text/",    "text/+json", "text/json; charset=utf-16",
                                       "text/xml", "text/jsonl", "application/json+xml" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        if (!media_says_json(S(fine[i])))
            fail_msg("%s", fine[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (media_says_json(S(bad[i])))
            fail_msg("%s", bad[i]);
}

static bool accepts_json(const char *accept)
{
    return field_accepts(S(accept), STR("application"), STR("json"));
}

static void fields__weigh_what_accept_names(void **state)
{
    static const struct {
        const char *accept;
        int quality;
    } rows[] = {
        { "", -1 },
        { "*/*", -1 },
        { "application/*", -1 },
        { "a/b", 1000 },
        { "A/B", 1000 },
        { "a/b;q=0", 0 },
        { "a/b;q=0.000", 0 },
        { "a/b; q=0.5", 500 },
        { "a/b;Q=0.125", 125 },
        { "a/b;q=1.000", 1000 },
        { "a/b;q=7", 1000 },
        { "a/b;q=x", 1000 },
        { "a/b;v=1;q=0.2, a/b", 200 },
        { "x/y;q=0.3, a/b;q=0.4", 400 },
        { "a/bc, a/b+json", -1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(field_accept_quality(S(rows[i].accept), STR("a/b")), rows[i].quality);
    assert_true(str_eq(media_type_of(STR(" a/b ; charset=x")), STR("a/b")));
    assert_true(str_eq(media_type_of(STR("")), STR("")));
}

static void fields__answer_in_json_unless_accept_shuts_it_out(void **state)
{
    static const char *const fine[] = {
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/problem+json",
        "text/html;q=0.9,application/json;q=0.1",
        "application/*;q=0, application/json",
        "application/json;version=1",
    };
    static const char *const bad[] = {
        "text/html",
        "application/json;q=0",
        "*/*;q=0.0",
        "application/json;q=0, */*",
        "text/*, application/xml",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        assert_true(accepts_json(fine[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(accepts_json(bad[i]));
}

static void fields__read_idempotency_keys_bare_or_quoted(void **state)
{
    struct arena a;
    struct str key;
    char text[300];

    (void)state;
    arena_init(&a, NULL, 0);
    assert_true(field_idempotency_key(STR("abc-1"), &a, &key));
    assert_true(str_eq(key, STR("abc-1")));
    assert_true(field_idempotency_key(STR("\"abc-1\""), &a, &key));
    assert_true(str_eq(key, STR("abc-1")));
    assert_true(field_idempotency_key(STR("\"a\\\"b\\\\\""), &a, &key));
    assert_true(str_eq(key, STR("a\"b\\")));
    assert_false(field_idempotency_key(STR(""), &a, &key));
    assert_false(field_idempotency_key(STR("\"\""), &a, &key));
    assert_false(field_idempotency_key(STR("a b"), &a, &key));
    assert_false(field_idempotency_key(STR("\"a b\""), &a, &key));
    assert_false(field_idempotency_key(STR("\"a\"b\""), &a, &key));
    assert_false(field_idempotency_key(STR("a\xc3\xa9"), &a, &key));
    (void)snprintf(text, sizeof(text), "%0255d", 1);
    assert_true(field_idempotency_key(S(text), &a, &key));
    (void)snprintf(text, sizeof(text), "%0256d", 1);
    assert_false(field_idempotency_key(S(text), &a, &key));
    (void)snprintf(text, sizeof(text), "\"%0255d\"", 1);
    assert_true(field_idempotency_key(S(text), &a, &key));
    arena_deinit(&a);
}

static void fields__take_traceparents_of_the_w3c_form(void **state)
{
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
    static const char *const fine[] = {
        "00-" TRACE "-" SPAN "-01",
        "01-" TRACE "-" SPAN "-00-more",
        "cc-" TRACE "-" SPAN "-01",
    };
    static const char *const bad[] = {
        "",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-01-more",
        "ff-" TRACE "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "01-" TRACE "-" SPAN "-01x",
        "01-" TRACE "-" SPAN "-01-\xff",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fine); i++)
        assert_true(traceparent_is_valid(S(fine[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(traceparent_is_valid(S(bad[i])));
}

static void fields__compare_entity_tags(void **state)
{
    struct command c = { .n_if_match = 0 };

    (void)state;
    assert_true(field_if_match(STR("\"3\", W/\"4\" ,\"x,y\", \"5\""), &c));
    assert_int_equal(c.if_match, IF_MATCH_LIST);
    assert_int_equal(c.n_if_match, 2); /* a weak tag and a foreign one match nothing */
    assert_int_equal(c.if_match_list[0], 3);
    assert_int_equal(c.if_match_list[1], 5);
    c = (struct command){ .n_if_match = 0 };
    assert_true(field_if_match(STR("*"), &c));
    assert_int_equal(c.if_match, IF_MATCH_ANY);
    assert_false(field_if_match(STR("3"), &c));
    assert_false(field_if_match(STR(""), &c));
    assert_false(field_if_match(STR("\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\""), &c));

    assert_true(field_none_match_hits(STR("\"7\""), 7));
    assert_true(field_none_match_hits(STR("\"6\", W/\"7\""), 7));
    assert_true(field_none_match_hits(STR("*"), 7));
    assert_false(field_none_match_hits(STR("\"8\""), 7));
    assert_false(field_none_match_hits(STR("7"), 7));
    assert_false(field_none_match_hits(STR("\"abc\""), 7));
}

static void fields__read_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: not valid */
    } rows[] = {
        { "10s", 10000 },
        { "500ms", 500 },
        { "7", 7000 },
        { "0", 0 },
        { "1m", 60000 },
        { "60s", 60000 },
        { "60", 60000 },
        { "61s", -1 },
        { "60001ms", -1 },
        { "2m", -1 },
        { "", -1 },
        { "s", -1 },
        { "-1s", -1 },
        { "1.5s", -1 },
        { "10 s", -1 },
        { "10S", -1 },
        { "99999999999999999999s", -1 },
        { "9223372036854775807h", -1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = -1;

        if (!field_duration(S(rows[i].text), 60000, &ms))
            ms = -1;
        assert_int_equal(ms, rows[i].ms);
    }
    int64_t ms;

    assert_true(field_duration(S("2h"), INT64_MAX, &ms));
    assert_int_equal(ms, 7200000);
    assert_true(field_duration(S("2d"), INT64_MAX, &ms));
    assert_int_equal(ms, 172800000);
    assert_false(field_duration(S("2d"), 172799999, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields__take_json_in_utf_8_only),
        cmocka_unit_test(fields__take_json_of_any_type_for_the_data_of_an_event),
        cmocka_unit_test(fields__weigh_what_accept_names),
        cmocka_unit_test(fields__answer_in_json_unless_accept_shuts_it_out),
        cmocka_unit_test(fields__read_idempotency_keys_bare_or_quoted),
        cmocka_unit_test(fields__take_traceparents_of_the_w3c_form),
        cmocka_unit_test(fields__compare_entity_tags),
        cmocka_unit_test(fields__read_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
