/* Slow and silent clients, on a clock that the test moves. */
#include "fixture.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static void time__a_head_that_drips_is_408_ten_seconds_after_its_first_byte(void **state)
{
    static const char text[] = GET("/a");
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 11; i++) {
        loopback_send(&f.client, (struct str){ text + i, 1 });
        if (i < 10)
            assert_summary(&f, "");
        fixture_advance_ms(&f, 1000);
    }
    assert_summary(&f, "408!");
    assert_int_equal(f.server.counters.faults[HTTP_FAULT_HEADER_TIME], 1);
    fixture_deinit(&f);
}

static void time__a_silent_connection_is_closed_without_a_word(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "\r\n");
    fixture_advance_ms(&f, 60001);
    assert_int_equal(f.client.received.n, 0);
    assert_true(f.client.is_closed);
    assert_int_equal(f.server.counters.closed_idle, 1);
    fixture_deinit(&f);
}

static void time__an_answer_renews_the_idle_time(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 5; i++) {
        fixture_advance_ms(&f, 59000);
        fixture_send(&f, GET("/a"));
    }
    assert_summary(&f, "200 200 200 200 200");
    fixture_advance_ms(&f, 60000);
    assert_false(f.client.is_closed);
    fixture_advance_ms(&f, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

/* One that is too large to wait for the end of the turn is written before anybody looks. */
static void time__a_large_answer_renews_the_idle_time(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 5; i++) {
        fixture_advance_ms(&f, 59000);
        assert_false(f.client.is_closed);
        fixture_send(&f, GET("/big?100000"));
    }
    assert_true(f.client.received.n > 5 * 100000);
    fixture_advance_ms(&f, 60000);
    assert_false(f.client.is_closed);
    fixture_advance_ms(&f, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void time__empty_lines_do_not_renew_the_idle_time(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 3; i++) {
        fixture_advance_ms(&f, 20000);
        fixture_send(&f, "\r\n");
    }
    fixture_advance_ms(&f, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void time__does_not_pass_for_a_client_that_waits_for_its_answer(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold"));
    fixture_advance_ms(&f, 3600000);
    assert_false(f.client.is_closed);
    respond_text(f.held[--f.n_held], 200, STR("at last"));
    loopback_turn(&f.client);
    assert_summary(&f, "200");
    /* And idle time begins with the answer. */
    fixture_advance_ms(&f, 60000);
    assert_false(f.client.is_closed);
    fixture_advance_ms(&f, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void time__a_body_at_the_least_rate_may_take_long(void **state)
{
    struct fixture f;
    char second[1024];

    (void)state;
    memset(second, 'x', sizeof(second));
    fixture_init(&f);
    fixture_send(&f, "POST /a HTTP/1.1\r\n" H "Content-Length: 102400\r\n\r\n");
    for (unsigned i = 0; i < 100; i++) {
        fixture_advance_ms(&f, 1000);
        loopback_send(&f.client, (struct str){ second, sizeof(second) });
    }
    assert_summary(&f, "200");
    fixture_deinit(&f);
}

static void time__a_body_below_the_least_rate_is_408(void **state)
{
    static const char *const heads[] = {
        "POST /a HTTP/1.1\r\n" H "Content-Length: 102400\r\n\r\n",
        "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n19000\r\n",
    };
    char half[512];

    (void)state;
    memset(half, 'x', sizeof(half));
    for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
        struct fixture f;
        unsigned seconds = 0;

        fixture_init(&f);
        fixture_send(&f, heads[i]);
        while (!f.client.is_shut && seconds++ < 100) {
            fixture_advance_ms(&f, 1000);
            loopback_send(&f.client, (struct str){ half, sizeof(half) });
        }
        /* 30 s, and half a second for each second's bytes. */
        assert_in_range(seconds, 59, 61);
        assert_summary(&f, "408!");
        fixture_handled(&f, "");
        fixture_deinit(&f);
    }
}

static void time__a_body_that_is_dropped_must_come_in_time_too(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "POST /nowhere HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n");
    assert_summary(&f, "404");
    fixture_advance_ms(&f, 30001);
    assert_summary(&f, "404!");
    fixture_deinit(&f);
}

static void time__a_reader_that_makes_progress_is_not_cut_off(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.client.window = 0;
    fixture_send(&f, GET("/big?1000"));
    for (unsigned i = 0; i < 10; i++) {
        fixture_advance_ms(&f, 29000);
        f.client.window = 10;
        loopback_turn(&f.client);
    }
    assert_false(f.client.is_closed);
    assert_int_equal(f.client.received.n, 100);
    fixture_advance_ms(&f, 32000);
    assert_true(f.client.is_closed);
    assert_int_equal(f.server.counters.closed_stalled, 1);
    fixture_deinit(&f);
}

static void time__not_reading_is_not_held_against_the_client(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 16; i++)
        fixture_send(&f, GET("/hold"));
    fixture_send(&f, "GET /la"); /* not read: sixteen are in flight */
    fixture_advance_ms(&f, 100000);
    for (unsigned i = 0; i < 16; i++)
        respond_text(f.held[i], 200, STR(""));
    f.n_held = 0;
    loopback_turn(&f.client);
    fixture_advance_ms(&f, 9000);
    fixture_send(&f, "st HTTP/1.1\r\n" H "\r\n");
    assert_false(f.client.is_shut);
    assert_int_equal(f.server.counters.requests, 17);
    fixture_deinit(&f);
}

static void time__date_goes_on(void **state)
{
    struct fixture f;
    struct str rest, value;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/a"));
    fixture_advance_ms(&f, 999);
    fixture_send(&f, GET("/a"));
    fixture_advance_ms(&f, 1);
    fixture_send(&f, GET("/a"));
    rest = buf_str(&f.client.received);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(reply_next(&rest, false, &r));
        assert_true(reply_field(&r, "Date", &value));
        if (i < 2)
            assert_str(value, "Fri, 20 Nov 2026 12:00:00 GMT");
        else
            assert_str(value, "Fri, 20 Nov 2026 12:00:01 GMT");
    }
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time__a_head_that_drips_is_408_ten_seconds_after_its_first_byte),
        cmocka_unit_test(time__a_silent_connection_is_closed_without_a_word),
        cmocka_unit_test(time__an_answer_renews_the_idle_time),
        cmocka_unit_test(time__a_large_answer_renews_the_idle_time),
        cmocka_unit_test(time__empty_lines_do_not_renew_the_idle_time),
        cmocka_unit_test(time__does_not_pass_for_a_client_that_waits_for_its_answer),
        cmocka_unit_test(time__a_body_at_the_least_rate_may_take_long),
        cmocka_unit_test(time__a_body_below_the_least_rate_is_408),
        cmocka_unit_test(time__a_body_that_is_dropped_must_come_in_time_too),
        cmocka_unit_test(time__a_reader_that_makes_progress_is_not_cut_off),
        cmocka_unit_test(time__not_reading_is_not_held_against_the_client),
        cmocka_unit_test(time__date_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
