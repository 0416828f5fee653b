/* A server on a manual clock with a handler that does what the path says, and a client over a
 * loop-back. For the tests of this folder only. */
#ifndef ORDERLY_TESTS_HTTP_FIXTURE_H
#define ORDERLY_TESTS_HTTP_FIXTURE_H
/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include "orderly/infra/http/http.h"
#include "orderly/infra/http/loopback.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include <stdio.h>

#define HELD_MAX 64

struct fixture {
    struct manual_scheduler clock;
    struct http_config config;
    struct http_server server;
    struct loopback client;

    struct buf handled; /* "GET /a|POST /b:body|" in the order of on_request */
    struct http_request *held[HELD_MAX];
    unsigned n_held;
    struct http_stream *stream;
    unsigned stream_gone, stream_writable, stream_half;
    unsigned half_told, gone_told;
    unsigned empty_told;
    uint64_t refused_told;
    unsigned answered_told;
    bool answers_on_gone;
};

static inline void respond_text(struct http_request *req, int status, struct str body)
{
    struct http_response res = { .status = status,
                                 .content_type = STR("text/plain"),
                                 .body = body };

    http_respond(req, &res);
}

static inline void fixture_on_gone(struct http_stream *st)
{
    struct fixture *f = st->user;

    f->stream = NULL;
    f->stream_gone++;
}
static inline void fixture_on_writable(struct http_stream *st)
{
    ((struct fixture *)st->user)->stream_writable++;
}

static inline void fixture_on_half(struct http_stream *st)
{
    ((struct fixture *)st->user)->stream_half++;
}

static inline void fixture_on_abort(struct http_request *req, enum http_gone how)
{
    struct fixture *f = req->user;

    if (how == HTTP_GONE_HALF)
        f->half_told++;
    else
        f->gone_told++;
    if (!f->answers_on_gone)
        return;
    for (unsigned i = 0; i < f->n_held; i++)
        if (f->held[i] == req)
            f->held[i] = f->held[--f->n_held];
    respond_text(req, 200, STR("gone"));
}

static inline void fixture_on_headers(void *ctx, struct http_request *req)
{
    req->user = ctx;
    if (str_eq(req->path, STR("/small")))
        req->body_max = 10;
    req->is_long = str_eq(req->query, STR("long"));
    if (str_eq(req->path, STR("/nowhere")))
        respond_text(req, 404, STR("nowhere"));
}

static inline size_t number_of(struct str s)
{
    uint64_t v;

    assert_true(str_to_u64(s, &v));
    return (size_t)v;
}

static inline void respond_big(struct http_request *req)
{
    size_t n = number_of(req->query);
    char *p = mem_alloc(n + 1);

    memset(p, 'x', n);
    respond_text(req, 200, (struct str){ p, n });
    mem_free(p);
}

static inline void fixture_on_request(void *ctx, struct http_request *req)
{
    struct fixture *f = ctx;
    struct str path = req->path;

    buf_printf(&f->handled, "%s " STR_FMT, http_method_name(req->method), STR_ARG(req->target));
    if (req->body.n > 0) {
        buf_add(&f->handled, ":", 1);
        buf_add_str(&f->handled, req->body);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(req->body.p[req->body.n + i], 0);
    }
    buf_add(&f->handled, "|", 1);
    if (str_eq(path, STR("/hold"))) {
        assert_true(f->n_held < HELD_MAX);
        f->held[f->n_held++] = req;
        http_request_on_abort(req, fixture_on_abort);
    } else if (str_eq(path, STR("/big"))) {
        respond_big(req);
    } else if (str_eq(path, STR("/close"))) {
        struct http_response res = { .status = 200, .body = STR("bye"), .close = true };

        http_respond(req, &res);
    } else if (str_eq(path, STR("/status"))) {
        respond_text(req, (int)number_of(req->query), STR("body"));
    } else if (str_eq(path, STR("/stream"))) {
        struct http_response res = { .status = 200, .content_type = STR("text/event-stream") };

        f->stream = http_stream_start(req, &res, fixture_on_writable, fixture_on_gone);
        if (f->stream != NULL)
            f->stream->user = f;
    } else if (str_eq(path, STR("/host"))) {
        respond_text(req, 200, req->host);
    } else {
        respond_text(req, 200, req->body.n > 0 ? req->body : STR("ok"));
    }
}

static inline void fixture_render_error(void *ctx, struct http_request *req, enum http_fault fault,
                                        struct http_response *out)
{
    (void)ctx;
    out->content_type = STR("application/problem+json");
    out->body = arena_printf(&req->arena, "{\"code\":\"%s\"}", http_fault_rows[fault].code);
}

static inline void fixture_on_answered(void *ctx, const struct http_request *req, int status,
                                       size_t bytes)
{
    (void)req;
    (void)status;
    (void)bytes;
    ((struct fixture *)ctx)->answered_told++;
}
static inline void fixture_on_refused(void *ctx, uint64_t count)
{
    ((struct fixture *)ctx)->refused_told += count;
}
static inline void fixture_on_empty(void *ctx)
{
    ((struct fixture *)ctx)->empty_told++;
}

/* f->config may be changed between fixture_config and fixture_start. */
static inline void fixture_config(struct fixture *f)
{
    *f = (struct fixture){ 0 };
    manual_scheduler_init(&f->clock);
    http_limits_set_defaults(&f->config.limits);
    f->config.clock = &f->clock.scheduler;
    f->config.handler = (struct http_handler){
        .ctx = f,
        .on_headers = fixture_on_headers,
        .on_request = fixture_on_request,
        .render_error = fixture_render_error,
        .on_answered = fixture_on_answered,
        .on_refused = fixture_on_refused,
        .on_empty = fixture_on_empty,
    };
}
static inline void fixture_start(struct fixture *f)
{
    http_server_init(&f->server, &f->config);
    loopback_connect(&f->client, &f->server);
}
static inline void fixture_init(struct fixture *f)
{
    fixture_config(f);
    fixture_start(f);
}
static inline void fixture_deinit(struct fixture *f)
{
    loopback_deinit(&f->client);
    for (unsigned i = 0; i < f->n_held; i++)
        respond_text(f->held[i], 200, STR("late"));
    assert_int_equal(f->server.counters.connections_open, 0);
    assert_int_equal(f->server.counters.requests_in_flight, 0);
    assert_int_equal(f->server.counters.streams_open, 0);
    http_server_deinit(&f->server);
    buf_deinit(&f->handled);
}

static inline void fixture_send(struct fixture *f, const char *text)
{
    loopback_send(&f->client, str_of(text));
}

/* Time goes on as it does in the server: a tick every 100 ms, and one at the end. */
static inline void fixture_advance_ms(struct fixture *f, int64_t ms)
{
    struct transport_acceptor *a = http_server_acceptor(&f->server);

    while (ms > 0) {
        int64_t step_ms = ms < 100 ? ms : 100;

        manual_scheduler_advance_us(&f->clock, step_ms * 1000);
        ms -= step_ms;
        a->ops->tick(a);
        if (!f->client.is_closed)
            loopback_turn(&f->client);
    }
}

/* One answer that the client has received. */
struct reply {
    int status;
    struct str head; /* with the status line and the empty line */
    struct str body; /* as on the wire: chunks are not decoded */
};

static inline bool reply_field(const struct reply *r, const char *name, struct str *value)
{
    struct str rest = r->head;
    size_t n = strlen(name);

    while (rest.n > 0) {
        const char *end = memmem(rest.p, rest.n, "\r\n", 2);
        size_t len = (size_t)(end - rest.p);

        if (len > n + 2 && rest.p[n] == ':' &&
            str_eq_nocase((struct str){ rest.p, n }, str_of(name))) {
            *value = (struct str){ rest.p + n + 2, len - n - 2 };
            return true;
        }
        rest = (struct str){ end + 2, rest.n - len - 2 };
    }
    *value = STR_NONE;
    return false;
}

/* Takes one answer off *rest; false if there is no whole one. Without a length everything that is
 * left is the body. */
static inline bool reply_next(struct str *rest, bool is_to_head, struct reply *r)
{
    const char *end = rest->n > 0 ? memmem(rest->p, rest->n, "\r\n\r\n", 4) : NULL;
    struct str text;
    size_t n;

    *r = (struct reply){ 0 };
    if (end == NULL)
        return false;
    assert_memory_equal(rest->p, "HTTP/1.1 ", 9);
    r->head = (struct str){ rest->p, (size_t)(end + 4 - rest->p) };
    r->status = (int)number_of((struct str){ rest->p + 9, 3 });
    n = rest->n - r->head.n;
    if (is_to_head || r->status < 200 || r->status == 204 || r->status == 304)
        n = 0;
    else if (reply_field(r, "Content-Length", &text))
        n = number_of(text);
    if (n > rest->n - r->head.n)
        return false;
    r->body = (struct str){ rest->p + r->head.n, n };
    *rest = (struct str){ rest->p + r->head.n + n, rest->n - r->head.n - n };
    return true;
}

/* "200 404!" : the statuses received, and whether the server has ended. */
static inline void fixture_summary(const struct fixture *f, char *out, size_t size)
{
    struct str rest = buf_str(&f->client.received);
    struct reply r;
    size_t n = 0;

    out[0] = '\0';
    while (reply_next(&rest, false, &r))
        n += (size_t)snprintf(out + n, size - n, "%s%d", n > 0 ? " " : "", r.status);
    assert_int_equal(rest.n, 0);
    if (f->client.is_shut)
        (void)snprintf(out + n, size - n, "!");
}

#define assert_summary(f, expected)                                                                \
    do {                                                                                           \
        char summary_[256];                                                                        \
        fixture_summary(f, summary_, sizeof(summary_));                                            \
        assert_string_equal(summary_, expected);                                                   \
    } while (0)

static inline void fixture_handled(struct fixture *f, const char *expected)
{
    buf_add(&f->handled, "", 1);
    f->handled.n--;
    assert_string_equal(f->handled.p, expected);
}

/* The only answer so far. */
static inline struct reply fixture_reply(const struct fixture *f)
{
    struct str rest = buf_str(&f->client.received);
    struct reply r;

    assert_true(reply_next(&rest, false, &r));
    assert_int_equal(rest.n, 0);
    return r;
}

#define assert_str(actual, literal)                                                                \
    do {                                                                                           \
        struct str actual_ = (actual);                                                             \
        assert_int_equal(actual_.n, sizeof(literal) - 1);                                          \
        assert_memory_equal(actual_.p, literal, sizeof(literal) - 1);                              \
    } while (0)
#endif
