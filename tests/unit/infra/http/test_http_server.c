/* The server as a whole: caps on connections, and its end. */
#include "fixture.h"
#include "orderly/base/mem.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static void drain__ends_idle_connections_and_refuses_new_ones(void **state)
{
    struct fixture f;
    struct loopback late;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/a"));
    http_server_drain(&f.server);
    assert_int_equal(f.empty_told, 0); /* not before the transport has let go */
    loopback_turn(&f.client);
    assert_true(f.client.is_closed);
    assert_int_equal(f.empty_told, 1);
    loopback_connect(&late, &f.server);
    assert_true(late.is_closed);
    assert_int_equal(f.server.counters.refused_closing, 1);
    assert_int_equal(f.empty_told, 1);
    loopback_deinit(&late);
    fixture_deinit(&f);
}

static void drain__without_connections_is_over_at_once(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    loopback_reset(&f.client);
    http_server_drain(&f.server);
    assert_int_equal(f.empty_told, 1);
    fixture_deinit(&f);
}

static void drain__answers_what_is_in_flight_and_says_so(void **state)
{
    struct fixture f;
    struct str rest, value;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/hold"));
    http_server_drain(&f.server);
    loopback_turn(&f.client);
    assert_false(f.client.is_shut);
    respond_text(f.held[0], 200, STR("a"));
    respond_text(f.held[1], 200, STR("b"));
    f.n_held = 0;
    loopback_turn(&f.client);
    rest = buf_str(&f.client.received);
    assert_true(reply_next(&rest, false, &r));
    assert_false(reply_field(&r, "Connection", &value));
    assert_true(reply_next(&rest, false, &r));
    assert_true(reply_field(&r, "Connection", &value));
    assert_str(value, "close");
    assert_true(f.client.is_shut);
    assert_int_equal(f.empty_told, 0);
    loopback_shutdown(&f.client);
    assert_int_equal(f.empty_told, 1);
    fixture_deinit(&f);
}

static void drain__lets_a_request_that_has_begun_end(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhel");
    http_server_drain(&f.server);
    fixture_send(&f, "lo");
    assert_summary(&f, "200!");
    fixture_handled(&f, "POST /a:hello|");
    fixture_deinit(&f);
}

static void drain__ends_a_connection_whose_last_answer_was_still_being_written(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.client.window = 10;
    fixture_send(&f, GET("/a"));
    http_server_drain(&f.server);
    loopback_turn(&f.client);
    assert_false(f.client.is_closed);
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_true(f.client.is_closed);
    assert_int_equal(f.empty_told, 1);
    assert_summary(&f, "200!");
    fixture_deinit(&f);
}

static void close__ends_everything_now(void **state)
{
    struct loopback others[3];
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 3; i++)
        loopback_connect(&others[i], &f.server);
    fixture_send(&f, GET("/hold"));
    loopback_send(&others[0], STR(GET("/stream")));
    loopback_send(&others[1], STR("GET /half"));
    loopback_send(&others[2], STR(GET("/close")));
    http_server_close(&f.server);
    assert_int_equal(f.gone_told, 1);
    assert_int_equal(f.stream_gone, 1);
    for (unsigned i = 0; i < 3; i++)
        loopback_turn(&others[i]);
    loopback_turn(&f.client);
    assert_int_equal(f.empty_told, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(others[i].is_closed);
        loopback_deinit(&others[i]);
    }
    fixture_deinit(&f);
}

static void caps__count_an_ipv6_network_as_one_client(void **state)
{
    struct transport_peer peer = { .address = { 0x20, 1, 0xd, 0xb8 } };
    struct loopback clients[4];
    struct fixture f;

    (void)state;
    fixture_config(&f);
    f.config.limits.connections_per_address_max = 2;
    fixture_start(&f);
    for (unsigned i = 0; i < 4; i++) {
        peer.address[15] = (uint8_t)i;
        peer.address[7] = i == 3; /* the last comes from another one */
        loopback_connect_from(&clients[i], &f.server, &peer);
        assert_int_equal(clients[i].is_shut, i == 2);
    }
    for (unsigned i = 0; i < 4; i++)
        loopback_deinit(&clients[i]);
    /* Who has left does not count. */
    loopback_connect_from(&clients[0], &f.server, &peer);
    assert_false(clients[0].is_shut);
    loopback_deinit(&clients[0]);
    fixture_deinit(&f);
}

static void caps__are_told_at_most_once_a_second(void **state)
{
    struct loopback clients[3];
    struct fixture f;

    (void)state;
    fixture_config(&f);
    f.config.limits.connections_max = 1;
    fixture_start(&f);
    for (unsigned i = 0; i < 3; i++)
        loopback_connect(&clients[i], &f.server);
    assert_int_equal(f.refused_told, 1);
    fixture_advance_ms(&f, 999);
    assert_int_equal(f.refused_told, 1);
    fixture_advance_ms(&f, 1);
    assert_int_equal(f.refused_told, 3);
    for (unsigned i = 0; i < 3; i++)
        loopback_deinit(&clients[i]);
    fixture_deinit(&f);
}

static void check_refusals(unsigned within, unsigned lingering)
{
    unsigned n = within + lingering + 4;
    struct loopback *all = mem_zalloc(n * sizeof(*all));
    struct fixture f;

    fixture_config(&f);
    f.config.limits.connections_max = within + 1; /* the fixture's own is one */
    fixture_start(&f);
    for (unsigned i = 0; i < n; i++) {
        loopback_connect(&all[i], &f.server);
        if (i >= within)
            assert_memory_equal(all[i].received.p, "HTTP/1.1 503 ", 13);
        /* The first ones may still send; a flood gets the answer and nothing else. */
        assert_int_equal(all[i].is_closed, i >= within + lingering);
    }
    assert_int_equal(f.server.counters.connections_open, within + 1);
    for (unsigned i = 0; i < n; i++)
        loopback_deinit(&all[i]);
    fixture_deinit(&f);
    mem_free(all);
}

static void caps__refuse_with_an_answer_that_arrives(void **state)
{
    (void)state;
    check_refusals(0, 1);
    check_refusals(HTTP_REFUSED_SHARE - 1, 2);
    check_refusals(3 * HTTP_REFUSED_SHARE - 2, 3);
    check_refusals(3 * HTTP_REFUSED_SHARE - 1, 4);
    check_refusals(300 * HTTP_REFUSED_SHARE, 256);
}

static void server__does_not_let_one_client_disturb_another(void **state)
{
    static const char *const bad[] = {
        "GET",
        "BREW / HTTP/1.1\r\n" H "\r\n",
        "\x16\x03",
        "POST /a HTTP/1.1\r\n" H "Content-Length: 999999999\r\n\r\n",
        GET("/big?900000"),
    };
    struct loopback others[ARRAY_LEN(bad)];
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        loopback_connect(&others[i], &f.server);
        others[i].window = 0;
        loopback_send(&others[i], str_of(bad[i]));
        fixture_send(&f, GET("/a"));
    }
    assert_summary(&f, "200 200 200 200 200");
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        loopback_reset(&others[i]);
        loopback_deinit(&others[i]);
    }
    fixture_deinit(&f);
}

static void server__counts(void **state)
{
    struct fixture f;
    const struct http_counters *c = &f.server.counters;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/a") GET("/status?404") GET("/status?503") "BAD\r\n\r\n");
    assert_int_equal(c->connections_open, 1);
    assert_int_equal(c->connections_accepted, 1);
    assert_int_equal(c->requests, 3);
    assert_int_equal(c->responses[2], 1);
    assert_int_equal(c->responses[4], 2);
    assert_int_equal(c->responses[5], 1);
    assert_int_equal(c->faults[HTTP_FAULT_REQUEST_LINE], 1);
    assert_int_equal(c->bytes_out, f.client.received.n);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drain__ends_idle_connections_and_refuses_new_ones),
        cmocka_unit_test(drain__without_connections_is_over_at_once),
        cmocka_unit_test(drain__answers_what_is_in_flight_and_says_so),
        cmocka_unit_test(drain__lets_a_request_that_has_begun_end),
        cmocka_unit_test(drain__ends_a_connection_whose_last_answer_was_still_being_written),
        cmocka_unit_test(close__ends_everything_now),
        cmocka_unit_test(caps__count_an_ipv6_network_as_one_client),
        cmocka_unit_test(caps__are_told_at_most_once_a_second),
        cmocka_unit_test(caps__refuse_with_an_answer_that_arrives),
        cmocka_unit_test(server__does_not_let_one_client_disturb_another),
        cmocka_unit_test(server__counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
