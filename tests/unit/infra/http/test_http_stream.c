/* Open-ended answers. */
#include "fixture.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static void write_ok(struct http_stream *st, struct str bytes)
{
    enum err e = http_stream_write(st, bytes);

    assert_int_equal(e, ERR_OK);
}

static bool received_has(const struct fixture *f, const char *text)
{
    return memmem(f->client.received.p, f->client.received.n, text, strlen(text)) != NULL;
}

static void stream__sends_chunks_and_goes_on_with_the_next_request(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream") GET("/a"));
    assert_non_null(f.stream);
    assert_true(received_has(&f, "Transfer-Encoding: chunked\r\n"));
    assert_false(received_has(&f, "Content-Length"));
    write_ok(f.stream, STR("data: 1\n\n"));
    write_ok(f.stream, STR(""));
    loopback_turn(&f.client);
    assert_true(received_has(&f, "\r\n\r\n9\r\ndata: 1\n\n\r\n"));
    assert_false(received_has(&f, "ok"));
    http_stream_close(f.stream, STR("bye"));
    loopback_turn(&f.client);
    assert_true(received_has(&f, "3\r\nbye\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert_false(f.client.is_shut);
    fixture_deinit(&f);
}

static void stream__to_1_0_ends_with_the_connection(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    write_ok(f.stream, STR("data"));
    http_stream_close(f.stream, STR_NONE);
    loopback_turn(&f.client);
    assert_true(received_has(&f, "Connection: close\r\n\r\ndata"));
    assert_false(received_has(&f, "chunked"));
    assert_true(f.client.is_shut);
    fixture_deinit(&f);
}

static void stream__to_head_is_over_at_once(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "HEAD /stream HTTP/1.1\r\n" H "\r\n");
    assert_null(f.stream);
    assert_int_equal(fixture_reply(&f).status, 200);
    fixture_send(&f, GET("/a"));
    assert_false(f.client.is_shut);
    assert_int_equal(f.server.counters.requests, 2);
    fixture_deinit(&f);
}

static void stream__waits_for_the_answers_before_it(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold") GET("/stream"));
    write_ok(f.stream, STR("early"));
    loopback_turn(&f.client);
    assert_int_equal(f.client.received.n, 0);
    assert_true(http_stream_queued(f.stream) > 0);
    respond_text(f.held[--f.n_held], 200, STR("first"));
    loopback_turn(&f.client);
    assert_true(received_has(&f, "firstHTTP/1.1 200 OK\r\n"));
    assert_true(received_has(&f, "5\r\nearly\r\n"));
    write_ok(f.stream, STR("later"));
    http_stream_close(f.stream, STR_NONE);
    loopback_turn(&f.client);
    assert_true(received_has(&f, "5\r\nlater\r\n0\r\n\r\n"));
    fixture_deinit(&f);
}

static void stream__tells_a_refused_writer_when_there_is_room(void **state)
{
    char *bytes = mem_zalloc(600000);
    struct str big = { bytes, 600000 };
    struct fixture f;
    enum err e;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, big);
    e = http_stream_write(f.stream, big);
    assert_int_equal(e, ERR_BUSY);
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 0);
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 1);
    write_ok(f.stream, big);
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 1);
    http_stream_close(f.stream, STR_NONE);
    fixture_deinit(&f);
    mem_free(bytes);
}

static void stream__tells_when_as_little_waits_as_was_asked_for(void **state)
{
    char *bytes = mem_zalloc(2000);
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, (struct str){ bytes, 2000 });
    loopback_turn(&f.client);
    write_ok(f.stream, (struct str){ bytes, 100 });
    http_stream_want_room(f.stream, 99);
    f.client.window = 2000; /* the first is through, the second waits */
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 0);
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 1);
    write_ok(f.stream, (struct str){ bytes, 100 });
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 1); /* once for each wish */
    http_stream_close(f.stream, STR_NONE);
    fixture_deinit(&f);
    mem_free(bytes);
}

static void stream__takes_alone_what_is_larger_than_the_limit(void **state)
{
    char *bytes = mem_zalloc(3000000);
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, (struct str){ bytes, 3000000 });
    loopback_turn(&f.client);
    assert_int_equal(http_stream_write(f.stream, STR("more")), ERR_BUSY);
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_int_equal(f.stream_writable, 1);
    assert_true(f.client.received.n > 3000000);
    http_stream_close(f.stream, STR_NONE);
    fixture_deinit(&f);
    mem_free(bytes);
}

static void stream__takes_last_words_whatever_waits(void **state)
{
    char *bytes = mem_zalloc(1040000);
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, (struct str){ bytes, 1040000 });
    http_stream_close(f.stream, (struct str){ bytes, 20000 });
    f.client.window = SIZE_MAX;
    loopback_turn(&f.client);
    assert_true(f.client.received.n > 1060000);
    fixture_deinit(&f);
    mem_free(bytes);
}

static void stream__hears_when_the_client_has_gone(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    loopback_reset(&f.client);
    assert_int_equal(f.stream_gone, 1);
    assert_int_equal(f.server.counters.streams_open, 0);
    fixture_deinit(&f);
}

static void stream__goes_on_for_a_client_that_only_listens(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    http_stream_on_half(f.stream, fixture_on_half);
    loopback_shutdown(&f.client);
    assert_int_equal(f.stream_half, 1);
    assert_int_equal(f.stream_gone, 0);
    write_ok(f.stream, STR("still"));
    http_stream_close(f.stream, STR_NONE);
    loopback_turn(&f.client);
    assert_true(received_has(&f, "5\r\nstill\r\n0\r\n\r\n"));
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void stream__of_a_client_that_stalls_is_cut_off(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, STR("data"));
    loopback_turn(&f.client);
    fixture_advance_ms(&f, 30001);
    assert_int_equal(f.stream_gone, 1);
    assert_true(f.client.is_closed);
    fixture_deinit(&f);
}

static void stream__of_a_client_that_stalls_holds_a_drain_up_for_a_moment_only(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/stream"));
    f.client.window = 0;
    write_ok(f.stream, STR("data"));
    loopback_turn(&f.client);
    fixture_advance_ms(&f, 5000);
    assert_int_equal(f.stream_gone, 0);
    http_server_drain(&f.server);
    http_stream_close(f.stream, STR_NONE);
    fixture_advance_ms(&f, 1000); /* when it is looked at next */
    assert_true(f.client.is_closed);
    assert_int_equal(f.empty_told, 1);
    fixture_deinit(&f);
}

static void stream__does_not_start_for_nobody(void **state)
{
    struct http_response res = { .status = 200 };
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, GET("/hold"));
    loopback_reset(&f.client);
    assert_null(http_stream_start(f.held[--f.n_held], &res, NULL, NULL));
    assert_int_equal(f.server.counters.streams_open, 0);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__sends_chunks_and_goes_on_with_the_next_request),
        cmocka_unit_test(stream__to_1_0_ends_with_the_connection),
        cmocka_unit_test(stream__to_head_is_over_at_once),
        cmocka_unit_test(stream__waits_for_the_answers_before_it),
        cmocka_unit_test(stream__tells_a_refused_writer_when_there_is_room),
        cmocka_unit_test(stream__tells_when_as_little_waits_as_was_asked_for),
        cmocka_unit_test(stream__takes_alone_what_is_larger_than_the_limit),
        cmocka_unit_test(stream__takes_last_words_whatever_waits),
        cmocka_unit_test(stream__hears_when_the_client_has_gone),
        cmocka_unit_test(stream__goes_on_for_a_client_that_only_listens),
        cmocka_unit_test(stream__of_a_client_that_stalls_is_cut_off),
        cmocka_unit_test(stream__of_a_client_that_stalls_holds_a_drain_up_for_a_moment_only),
        cmocka_unit_test(stream__does_not_start_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
