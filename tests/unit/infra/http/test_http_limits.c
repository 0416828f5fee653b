/* Walks the table of limits: each with n, which is in order, and n + 1, which is not. A row without
 * a probe fails the test, so a new limit comes with one. */
#include "fixture.h"

#define H "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

/* Makes something that measures n against the limit; true if the server took it. */
struct probe {
    const char *limit;
    bool (*is_taken)(struct fixture *f, size_t n);
    size_t limit_used; /* smaller than the default where that would take long; 0: the default */
};

static void add_repeated(struct buf *b, char c, size_t n)
{
    memset(buf_reserve(b, n), c, n);
    b->n += n;
}

/* Sends and frees; the one status that came back. */
static int status_of(struct fixture *f, struct buf *text)
{
    struct str rest;
    struct reply r;

    loopback_send(&f->client, buf_str(text));
    buf_deinit(text);
    rest = buf_str(&f->client.received);
    if (!reply_next(&rest, false, &r))
        return 0;
    return r.status;
}

static bool took(struct fixture *f, int status, int refusal)
{
    if (status == 200) {
        assert_false(f->client.is_shut);
        return true;
    }
    assert_int_equal(status, refusal);
    assert_true(f->client.is_shut);
    return false;
}

static bool probe_request_line(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "GET /");
    add_repeated(&b, 'a', n - strlen("GET / HTTP/1.1"));
    buf_printf(&b, " HTTP/1.1\r\n" H "\r\n");
    return took(f, status_of(f, &b), 414);
}

static bool probe_header_block(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "GET /a HTTP/1.1\r\n" H "X: ");
    add_repeated(&b, 'a', n - strlen(H "X: \r\n"));
    buf_printf(&b, "\r\n\r\n");
    return took(f, status_of(f, &b), 431);
}

static bool probe_header_fields(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "GET /a HTTP/1.1\r\n" H);
    for (size_t i = 1; i < n; i++)
        buf_printf(&b, "X-%zu: 1\r\n", i);
    buf_printf(&b, "\r\n");
    return took(f, status_of(f, &b), 431);
}

static bool probe_empty_lines(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "\r\n");
    buf_printf(&b, GET("/a"));
    return took(f, status_of(f, &b), 400);
}

static bool probe_chunk_extensions(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;abcd\r\nx\r\n0;");
    add_repeated(&b, 'e', n - strlen(";abcd") - 1);
    buf_printf(&b, "\r\n\r\n");
    return took(f, status_of(f, &b), 400);
}

static bool probe_trailers(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nX: ");
    add_repeated(&b, 't', n - strlen("A: b\r\nX: \r\n"));
    buf_printf(&b, "\r\n\r\n");
    return took(f, status_of(f, &b), 400);
}

static bool probe_body(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "POST /a HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", n);
    add_repeated(&b, 'b', n);
    return took(f, status_of(f, &b), 413);
}

static bool probe_header_time(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    fixture_send(f, "G");
    fixture_advance_ms(f, (int64_t)n);
    buf_printf(&b, "ET /a HTTP/1.1\r\n" H "\r\n");
    return took(f, status_of(f, &b), 408);
}

static bool probe_body_time(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    fixture_send(f, "POST /a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n");
    fixture_advance_ms(f, (int64_t)n);
    buf_printf(&b, "x");
    return took(f, status_of(f, &b), 408);
}

/* n bytes give one second more at the limit's rate, so the n + 1 of this row goes the other way
 * round: n bytes a second are enough, n - 1 are not. */
static bool probe_body_rate(struct fixture *f, size_t n)
{
    size_t rate = 2 * f->config.limits.body_rate_min - n; /* n + 1 becomes n - 1 */
    struct buf b = { 0 };
    int64_t ms = (int64_t)f->config.limits.body_time_ms + 1000;

    fixture_send(f, "POST /a HTTP/1.1\r\n" H "Content-Length: 10000\r\n\r\n");
    add_repeated(&b, 'x', rate);
    (void)status_of(f, &b);
    fixture_advance_ms(f, ms);
    b = (struct buf){ 0 };
    add_repeated(&b, 'x', 10000 - rate);
    return took(f, status_of(f, &b), 408);
}

static bool probe_idle_time(struct fixture *f, size_t n)
{
    fixture_advance_ms(f, (int64_t)n);
    assert_int_equal(f->client.received.n, 0);
    return !f->client.is_closed;
}

static bool probe_pipeline(struct fixture *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fixture_send(f, GET("/hold"));
    return f->n_held == n;
}

/* The head of the second answer is as long as that of the first. */
static bool probe_output(struct fixture *f, size_t n)
{
    char text[128];
    size_t head;
    bool is_taken;

    fixture_send(f, GET("/big?1000000"));
    head = f->client.received.n - 1000000;
    f->client.window = 0;
    (void)snprintf(text, sizeof(text), "GET /big?%zu HTTP/1.1\r\n" H "\r\n", n - head);
    fixture_send(f, text);
    fixture_send(f, GET("/hold"));
    is_taken = f->n_held == 1;
    f->client.window = SIZE_MAX;
    loopback_turn(&f->client);
    assert_int_equal(f->n_held, 1);
    return is_taken;
}

static bool probe_write_stall(struct fixture *f, size_t n)
{
    f->client.window = 0;
    fixture_send(f, GET("/a"));
    fixture_advance_ms(f, (int64_t)n);
    return !f->client.is_closed;
}

static bool probe_stream_queue(struct fixture *f, size_t n)
{
    char *bytes = mem_zalloc(n);
    size_t queued;
    enum err e;

    fixture_send(f, GET("/stream"));
    f->client.window = 0;
    e = http_stream_write(f->stream, (struct str){ bytes, 10 });
    assert_int_equal(e, ERR_OK);
    queued = http_stream_queued(f->stream);
    assert_int_equal(queued, 10 + strlen("a\r\n\r\n"));
    e = http_stream_write(f->stream, (struct str){ bytes, n - queued });
    mem_free(bytes);
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_BUSY);
        assert_int_equal(http_stream_queued(f->stream), queued);
    }
    return e == ERR_OK;
}

static bool probe_discard(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    buf_printf(&b, "POST /nowhere HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", n);
    add_repeated(&b, 'd', n);
    assert_int_equal(status_of(f, &b), 404);
    return !f->client.is_shut;
}

static bool probe_linger(struct fixture *f, size_t n)
{
    struct buf b = { 0 };

    fixture_send(f, GET("/close"));
    assert_true(f->client.is_shut);
    add_repeated(&b, 'l', n);
    (void)status_of(f, &b);
    return !f->client.is_closed;
}

static bool probe_linger_time(struct fixture *f, size_t n)
{
    fixture_send(f, GET("/close"));
    assert_true(f->client.is_shut);
    fixture_advance_ms(f, (int64_t)n);
    return !f->client.is_closed;
}

/* The fixture's own client is the first. Of the n - 1 others only the last is looked at. */
static bool connect_many(struct fixture *f, size_t n, const struct transport_peer *peer)
{
    struct loopback *others = mem_zalloc(n * sizeof(*others));
    struct loopback *last = &others[n - 1];
    struct http_counters *c = &f->server.counters;
    bool is_taken;

    for (size_t i = 0; i < n; i++)
        loopback_connect_from(&others[i], &f->server, peer);
    loopback_send(last, str_of(GET("/a")));
    is_taken = !last->is_shut;
    if (!is_taken)
        assert_memory_equal(last->received.p, "HTTP/1.1 503 ", 13);
    assert_int_equal(c->refused_cap + c->refused_address, is_taken ? 0 : 1);
    assert_int_equal(f->refused_told, is_taken ? 0 : 1);
    for (size_t i = 0; i < n; i++)
        loopback_deinit(&others[i]);
    mem_free(others);
    return is_taken;
}

static bool probe_connections(struct fixture *f, size_t n)
{
    static const struct transport_peer peer = { .is_loopback = true };

    return connect_many(f, n - 1, &peer);
}

static bool probe_connections_per_address(struct fixture *f, size_t n)
{
    static const struct transport_peer peer = {
        .address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 },
    };

    return connect_many(f, n, &peer);
}

static const struct probe probes[] = {
    { "request_line_max", probe_request_line, 0 },
    { "header_block_max", probe_header_block, 0 },
    { "header_fields_max", probe_header_fields, 0 },
    { "empty_lines_max", probe_empty_lines, 0 },
    { "chunk_extensions_max", probe_chunk_extensions, 0 },
    { "trailers_max", probe_trailers, 0 },
    { "body_max", probe_body, 0 },
    { "header_time_ms", probe_header_time, 0 },
    { "body_time_ms", probe_body_time, 0 },
    { "body_rate_min", probe_body_rate, 0 },
    { "idle_time_ms", probe_idle_time, 0 },
    { "pipeline_max", probe_pipeline, 0 },
    { "output_max", probe_output, 0 },
    { "write_stall_ms", probe_write_stall, 0 },
    { "stream_queue_max", probe_stream_queue, 0 },
    { "discard_max", probe_discard, 0 },
    { "linger_max", probe_linger, 0 },
    { "linger_time_ms", probe_linger_time, 0 },
    { "connections_max", probe_connections, 200 },
    { "connections_per_address_max", probe_connections_per_address, 0 },
};

static const struct probe *probe_of(const struct http_limit_row *row)
{
    for (unsigned i = 0; i < ARRAY_LEN(probes); i++)
        if (strcmp(probes[i].limit, row->name) == 0)
            return &probes[i];
    fail_msg("the limit %s has no probe", row->name);
    return NULL;
}

static bool run_probe(const struct probe *p, const struct http_limit_row *row, bool is_beyond)
{
    size_t limit = p->limit_used > 0 ? p->limit_used : row->value;
    struct fixture f;
    bool is_taken;
    enum err e;

    fixture_config(&f);
    e = http_limits_set(&f.config.limits, row, limit);
    assert_int_equal(e, ERR_OK);
    fixture_start(&f);
    is_taken = p->is_taken(&f, is_beyond ? limit + 1 : limit);
    fixture_deinit(&f);
    return is_taken;
}

static void limits__each_takes_n_and_not_one_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < http_limit_rows_len; i++) {
        const struct http_limit_row *row = &http_limit_rows[i];
        const struct probe *p = probe_of(row);

        if (!run_probe(p, row, false))
            fail_msg("%s: n was refused", row->name);
        if (run_probe(p, row, true))
            fail_msg("%s: n + 1 was taken", row->name);
    }
}

static void limits__are_found_by_name_and_never_zero(void **state)
{
    struct http_limits l;
    const struct http_limit_row *row = http_limits_find(STR("body_max"));
    enum err e;

    (void)state;
    http_limits_set_defaults(&l);
    assert_non_null(row);
    assert_int_equal(http_limits_get(&l, row), 1048576);
    e = http_limits_set(&l, row, 5);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(l.body_max, 5);
    e = http_limits_set(&l, row, 0);
    assert_int_equal(e, ERR_INVALID);
    assert_int_equal(l.body_max, 5);
    assert_null(http_limits_find(STR("body")));
}

/* A size must be refused while it grows, not when it ends. */
static void limits__hold_for_lines_that_never_end(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /");
    while (!f.client.is_shut)
        fixture_send(&f, "aaaaaaaa");
    assert_summary(&f, "414!");
    assert_true(f.server.counters.bytes_in < 8192 + 16);
    fixture_deinit(&f);

    fixture_init(&f);
    fixture_send(&f, "GET /a HTTP/1.1\r\nX: ");
    while (!f.client.is_shut)
        fixture_send(&f, "aaaaaaaa");
    assert_summary(&f, "431!");
    assert_true(f.server.counters.bytes_in < 16384 + 64);
    fixture_deinit(&f);
}

/* Sizes one below, at and above the limit give the same answer however the bytes are cut. */
static void limits__do_not_care_how_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t n = 62; n <= 66; n++) {
        struct buf b = { 0 };
        char whole[256], cut[256];
        struct fixture f;

        buf_printf(&b, "GET /a HTTP/1.1\r\n" H "X: ");
        add_repeated(&b, 'a', n - strlen(H "X: \r\n"));
        buf_printf(&b, "\r\n\r\n");
        for (unsigned i = 0; i < 2; i++) {
            fixture_config(&f);
            f.config.limits.header_block_max = 64;
            fixture_start(&f);
            if (i == 0)
                loopback_send(&f.client, buf_str(&b));
            else
                loopback_send_bytewise(&f.client, buf_str(&b));
            fixture_summary(&f, i == 0 ? whole : cut, sizeof(whole));
            fixture_deinit(&f);
        }
        assert_string_equal(whole, n <= 64 ? "200" : "431!");
        assert_string_equal(whole, cut);
        buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__each_takes_n_and_not_one_more),
        cmocka_unit_test(limits__are_found_by_name_and_never_zero),
        cmocka_unit_test(limits__hold_for_lines_that_never_end),
        cmocka_unit_test(limits__do_not_care_how_bytes_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
