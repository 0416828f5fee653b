/* Answers: their order, what ends a connection, and what happens when the client goes first. */
#include "fixture.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static void respond_held(struct fixture *f, unsigned i, const char *body)
{
    respond_text(f->held[i], 200, str_of(body));
}

/* "a b c": the bodies received. */
static void assert_bodies(const struct fixture *f, const char *expected)
{
    struct str rest = buf_str(&f->client.received);
    struct reply r;
    char text[256];
    size_t n = 0;

    text[0] = '\0';
    while (reply_next(&rest, false, &r))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" STR_FMT, n > 0 ? " " : "",
                              STR_ARG(r.body));
    assert_int_equal(rest.n, 0);
    assert_string_equal(text, expected);
}

static void pipeline__answers_in_order_when_handlers_finish_in_reverse(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/hold") GET("/now") GET("/hold"));
    assert_int_equal(f.n_held, 3);
    assert_int_equal(f.server.counters.requests_in_flight, 3);
    respond_held(&f, 2, "d");
    respond_held(&f, 1, "b");
    loopback_turn(&f.client);
    assert_bodies(&f, "");
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_bodies(&f, "a b ok d");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void pipeline__stops_reading_at_sixteen_in_flight(void **state)
{
    struct fixture f;
    char text[64];

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 20; i++)
        fixture_send(&f, GET("/hold"));
    assert_int_equal(f.n_held, 16);
    assert_false(f.client.is_reading);
    assert_int_equal(f.server.counters.reading_stopped, 1);
    /* One answered anywhere but at the front frees no place. */
    respond_held(&f, 15, "p");
    loopback_turn(&f.client);
    assert_int_equal(f.n_held, 16);
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_int_equal(f.n_held, 17);
    for (unsigned i = 1; i < 20; i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        if (i != 15)
            respond_held(&f, i, text);
        loopback_turn(&f.client);
    }
    assert_int_equal(f.n_held, 20);
    assert_true(f.client.is_reading);
    assert_bodies(&f, "a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 p 16 17 18 19");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void pipeline__reads_nothing_behind_an_answer_that_may_be_long(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/hold?long") GET("/hold?long") GET("/hold"));
    fixture_handled(&f, "GET /hold|GET /hold?long|");
    assert_false(f.client.is_reading);
    respond_held(&f, 1, "b"); /* behind the first: it is held, and the next one made */
    loopback_turn(&f.client);
    fixture_handled(&f, "GET /hold|GET /hold?long|GET /hold?long|");
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_bodies(&f, "a b");
    assert_false(f.client.is_reading);
    respond_held(&f, 2, "c");
    loopback_turn(&f.client);
    fixture_handled(&f, "GET /hold|GET /hold?long|GET /hold?long|GET /hold|");
    assert_true(f.client.is_reading);
    respond_held(&f, 3, "d");
    loopback_turn(&f.client);
    assert_bodies(&f, "a b c d");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void pipeline__puts_a_fault_after_the_answers_before_it(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") "BREW / HTTP/1.1\r\n" H "\r\n" GET("/never"));
    assert_summary(&f, "");
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_summary(&f, "200 501!");
    fixture_handled(&f, "GET /hold|");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void pipeline__drops_what_follows_an_answer_that_closes(void **state)
{
    struct http_response res = { .status = 200, .body = STR("last"), .close = true };
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/hold") GET("/hold"));
    respond_held(&f, 1, "dropped");
    http_respond(f.held[0], &res);
    loopback_turn(&f.client);
    assert_bodies(&f, "last");
    assert_true(f.client.is_shut);
    assert_int_equal(f.gone_told, 1);
    assert_true(http_request_is_gone(f.held[2]));
    respond_held(&f, 2, "nobody");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void output__stops_reading_while_too_much_waits(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.client.window = 0;
    for (unsigned i = 0; i < 20; i++)
        fixture_send(&f, GET("/big?200000"));
    assert_false(f.client.is_reading);
    assert_int_equal(f.server.counters.requests, 6); /* the sixth crosses 1 MiB */
    assert_int_equal(f.client.received.n, 0);
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_true(f.client.is_reading);
    assert_int_equal(f.server.counters.requests, 20);
    assert_true(f.client.received.n > 20 * 200000);
    fixture_deinit(&f);
}

static void output__survives_a_client_that_takes_a_byte_at_a_time(void **state)
{
    struct fixture f;
    struct reply r;

    (void)state;
    fixture_init(&f);
    f.client.window = 0;
    fixture_send(&f, GET("/big?1000"));
    for (unsigned i = 0; i < 2000; i++) {
        f.client.window = 1;
        loopback_turn(&f.client);
    }
    r = fixture_reply(&f);
    assert_int_equal(r.body.n, 1000);
    assert_int_equal(f.server.counters.bytes_out, f.client.received.n);
    fixture_deinit(&f);
}

static void head__gets_the_fields_of_get_without_the_body(void **state)
{
    struct fixture f;
    struct str rest, value;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "HEAD /big?1234 HTTP/1.1\r\n" H "\r\n" GET("/a"));
    rest = buf_str(&f.client.received);
    assert_true(reply_next(&rest, true, &r));
    assert_int_equal(r.status, 200);
    assert_true(reply_field(&r, "Content-Length", &value));
    assert_str(value, "1234");
    assert_true(reply_field(&r, "Content-Type", &value));
    assert_true(reply_next(&rest, false, &r));
    assert_str(r.body, "ok");
    assert_int_equal(rest.n, 0);
    fixture_deinit(&f);
}

static void head__gets_no_body_with_a_fault_either(void **state)
{
    struct fixture f;
    struct str rest;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "HEAD /a HTTP/1.1\r\n\r\n");
    rest = buf_str(&f.client.received);
    assert_true(reply_next(&rest, true, &r));
    assert_int_equal(r.status, 400);
    assert_int_equal(rest.n, 0);
    fixture_deinit(&f);
}

static void answer__has_no_body_with_204_and_304(void **state)
{
    static const char *const paths[] = { GET("/status?204"), GET("/status?304") };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
        struct fixture f;
        struct str value;
        struct reply r;

        fixture_init(&f);
        fixture_send(&f, paths[i]);
        r = fixture_reply(&f);
        assert_false(reply_field(&r, "Content-Length", &value));
        assert_int_equal(r.body.n, 0);
        fixture_deinit(&f);
    }
}

static void expect__sends_100_when_the_body_is_wanted(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "POST /a HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    assert_str(buf_str(&f.client.received), "HTTP/1.1 100 Continue\r\n\r\n");
    fixture_send(&f, "hi");
    assert_summary(&f, "100 200");
    fixture_handled(&f, "POST /a:hi|");
    fixture_deinit(&f);
}

static void expect__waits_its_turn_in_the_pipeline(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") "POST /a HTTP/1.1\r\n" H
                                  "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_summary(&f, "");
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_summary(&f, "200 100");
    fixture_send(&f, "0\r\n\r\n");
    assert_summary(&f, "200 100 200");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void expect__sends_no_100_for_a_body_that_is_not_wanted(void **state)
{
    static const char *const texts[] = {
        "POST /nowhere HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        "POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
        "POST /a HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n",
    };
    static const char *const answers[] = { "404!", "413!", "417!" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        struct fixture f;

        fixture_init(&f);
        fixture_send(&f, texts[i]);
        assert_summary(&f, answers[i]);
        fixture_deinit(&f);
    }
}

static void expect__sends_no_100_without_a_body_or_to_1_0(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /a HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n");
    fixture_send(&f, "POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_summary(&f, "200");
    fixture_send(&f, "hi");
    assert_summary(&f, "200 200!");
    fixture_deinit(&f);
}

static void linger__takes_the_rest_of_an_unread_body_before_it_closes(void **state)
{
    struct fixture f;
    char bytes[1000] = { 0 };

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "POST /a HTTP/1.1\r\n" H "Content-Length: 100000000\r\n\r\n");
    assert_summary(&f, "413!");
    for (unsigned i = 0; i < 100; i++)
        loopback_send(&f.client, (struct str){ bytes, sizeof(bytes) });
    assert_false(f.client.is_closed);
    loopback_shutdown(&f.client);
    assert_true(f.client.is_closed);
    assert_int_equal(f.server.counters.closed_broken, 0);
    fixture_deinit(&f);
}

static void linger__ends_after_two_seconds(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/close"));
    assert_summary(&f, "200!");
    fixture_advance_ms(&f, 2000);
    assert_false(f.client.is_closed);
    fixture_advance_ms(&f, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void abort__is_told_once_and_the_answer_is_still_owed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/hold"));
    loopback_reset(&f.client);
    assert_int_equal(f.gone_told, 2);
    assert_int_equal(f.half_told, 0);
    assert_int_equal(f.server.counters.aborted, 2);
    assert_int_equal(f.server.counters.requests_in_flight, 2);
    assert_true(http_request_is_gone(f.held[0]));
    respond_held(&f, 0, "a");
    respond_held(&f, 1, "b");
    f.n_held = 0;
    fixture_deinit(&f);
}

static void abort__may_be_answered_from_the_callback(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.answers_on_gone = true;
    fixture_send(&f, GET("/hold") GET("/hold"));
    loopback_reset(&f.client);
    assert_int_equal(f.n_held, 0);
    assert_int_equal(f.server.counters.requests_in_flight, 0);
    fixture_deinit(&f);
}

static void half_close__still_gets_every_answer(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/a"));
    loopback_shutdown(&f.client);
    assert_int_equal(f.half_told, 1);
    assert_true(http_request_is_half_gone(f.held[0]));
    assert_false(http_request_is_gone(f.held[0]));
    assert_false(f.client.is_closed);
    respond_held(&f, 0, "a");
    loopback_turn(&f.client);
    assert_bodies(&f, "a ok");
    assert_true(f.client.is_closed);
    f.n_held = 0;
    fixture_deinit(&f);
}

static void half_close__lets_a_waiter_answer_at_once(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.answers_on_gone = true;
    fixture_send(&f, GET("/hold") GET("/hold"));
    loopback_shutdown(&f.client);
    assert_bodies(&f, "gone gone");
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void half_close__reaches_requests_that_were_not_read_yet(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (unsigned i = 0; i < 20; i++)
        fixture_send(&f, GET("/hold"));
    loopback_shutdown(&f.client);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(f.n_held > i);
        respond_held(&f, i, "x");
        loopback_turn(&f.client);
    }
    assert_bodies(&f, "x x x x x x x x x x x x x x x x x x x x");
    assert_true(f.client.is_closed);
    f.n_held = 0;
    fixture_deinit(&f);
}

static void half_close__inside_a_request_is_answered_400(void **state)
{
    static const char *const texts[] = {
        "G",
        "GET /a HTTP/1.1\r\n" H,
        "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhell",
        "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        struct fixture f;

        fixture_init(&f);
        fixture_send(&f, texts[i]);
        loopback_shutdown(&f.client);
        assert_summary(&f, "400!");
        assert_true(f.client.is_closed);
        assert_int_equal(f.server.counters.faults[HTTP_FAULT_INCOMPLETE], 1);
        fixture_deinit(&f);
    }
}

static void half_close__without_a_request_just_ends(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "\r\n\r");
    loopback_shutdown(&f.client);
    assert_int_equal(f.client.received.n, 0);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void close__inside_a_handler_leaves_the_answer_owed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold"));
    http_server_close(&f.server);
    assert_int_equal(f.gone_told, 1);
    loopback_turn(&f.client);
    assert_true(f.client.is_closed);
    assert_int_equal(f.empty_told, 1);
    fixture_deinit(&f); /* answers what is held */
}

static void close_from_headers(void *ctx, struct http_request *req)
{
    struct fixture *f = ctx;

    req->user = ctx;
    http_server_close(&f->server);
}

static void close__inside_on_headers_ends_the_request(void **state)
{
    struct fixture f;

    (void)state;
    fixture_config(&f);
    f.config.handler.on_headers = close_from_headers;
    fixture_start(&f);
    fixture_send(&f, GET("/a") GET("/b"));
    assert_true(f.client.is_closed);
    fixture_handled(&f, "");
    fixture_deinit(&f);
}

static void respond_and_close(void *ctx, struct http_request *req)
{
    struct fixture *f = ctx;

    http_server_close(&f->server);
    respond_text(req, 200, STR("nobody"));
}

static void close__before_an_answer_in_the_same_callback_is_harmless(void **state)
{
    struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fixture_config(&f);
        if (i == 0)
            f.config.handler.on_headers = respond_and_close;
        else
            f.config.handler.on_request = respond_and_close;
        fixture_start(&f);
        fixture_send(&f, GET("/a") "POST /b HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhe");
        assert_true(f.client.is_closed);
        fixture_deinit(&f);
    }
}

static void request__finds_its_fields_without_case(void **state)
{
    struct fixture f;
    struct str value;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /hold HTTP/1.1\r\n" H "X-One:  a b \t\r\nx-one: c\r\n\r\n");
    assert_true(http_request_header(f.held[0], STR("X-ONE"), &value));
    assert_str(value, "a b");
    assert_int_equal(http_request_header_count(f.held[0], STR("x-One")), 2);
    assert_false(http_request_header(f.held[0], STR("X-Two"), &value));
    assert_int_equal(f.held[0]->n_headers, 3);
    assert_int_equal(f.held[0]->started_us, f.clock.now_us);
    assert_true(f.held[0]->peer.is_loopback);
    fixture_deinit(&f);
}

static void request__keeps_a_large_body_in_one_piece(void **state)
{
    size_t n = 300000;
    char *body = mem_alloc(n);
    struct fixture f;
    struct reply r;
    char head[128];

    (void)state;
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    fixture_init(&f);
    (void)snprintf(head, sizeof(head), "POST /a HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", n);
    fixture_send(&f, head);
    for (size_t at = 0; at < n; at += 1000)
        loopback_send(&f.client, (struct str){ body + at, 1000 });
    r = fixture_reply(&f);
    assert_int_equal(r.body.n, n);
    assert_memory_equal(r.body.p, body, n);
    mem_free(body);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipeline__answers_in_order_when_handlers_finish_in_reverse),
        cmocka_unit_test(pipeline__stops_reading_at_sixteen_in_flight),
        cmocka_unit_test(pipeline__reads_nothing_behind_an_answer_that_may_be_long),
        cmocka_unit_test(pipeline__puts_a_fault_after_the_answers_before_it),
        cmocka_unit_test(pipeline__drops_what_follows_an_answer_that_closes),
        cmocka_unit_test(output__stops_reading_while_too_much_waits),
        cmocka_unit_test(output__survives_a_client_that_takes_a_byte_at_a_time),
        cmocka_unit_test(head__gets_the_fields_of_get_without_the_body),
        cmocka_unit_test(head__gets_no_body_with_a_fault_either),
        cmocka_unit_test(answer__has_no_body_with_204_and_304),
        cmocka_unit_test(expect__sends_100_when_the_body_is_wanted),
        cmocka_unit_test(expect__waits_its_turn_in_the_pipeline),
        cmocka_unit_test(expect__sends_no_100_for_a_body_that_is_not_wanted),
        cmocka_unit_test(expect__sends_no_100_without_a_body_or_to_1_0),
        cmocka_unit_test(linger__takes_the_rest_of_an_unread_body_before_it_closes),
        cmocka_unit_test(linger__ends_after_two_seconds),
        cmocka_unit_test(abort__is_told_once_and_the_answer_is_still_owed),
        cmocka_unit_test(abort__may_be_answered_from_the_callback),
        cmocka_unit_test(half_close__still_gets_every_answer),
        cmocka_unit_test(half_close__lets_a_waiter_answer_at_once),
        cmocka_unit_test(half_close__reaches_requests_that_were_not_read_yet),
        cmocka_unit_test(half_close__inside_a_request_is_answered_400),
        cmocka_unit_test(half_close__without_a_request_just_ends),
        cmocka_unit_test(close__inside_a_handler_leaves_the_answer_owed),
        cmocka_unit_test(close__inside_on_headers_ends_the_request),
        cmocka_unit_test(close__before_an_answer_in_the_same_callback_is_harmless),
        cmocka_unit_test(request__finds_its_fields_without_case),
        cmocka_unit_test(request__keeps_a_large_body_in_one_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
