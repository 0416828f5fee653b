/* A whole server on virtual time: app, API, HTTP core and one client over a loop-back. Requests are
 * answered at the time at which they are asked unless they wait. For the tests of this folder. */
#ifndef ORDERLY_TESTS_API_FIXTURE_H
#define ORDERLY_TESTS_API_FIXTURE_H
/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/infra/api/api.h"
#include "orderly/infra/http/loopback.h"
#include "support/app_fixture.h"
#include <stdio.h>
#include <yyjson.h>

#define ADDRESS_JSON                                                                               \
    "{\"street\":\"1 Main St\",\"city\":\"Springfield\",\"stateOrProvince\":\"IL\","               \
    "\"postalCode\":\"62701\",\"country\":\"US\"}"
#define ORDER_JSON                                                                                 \
    "{\"customerId\":\"customer-789\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":2,"          \
    "\"unitPrice\":19.99}],\"shippingAddress\":" ADDRESS_JSON ",\"currency\":\"USD\"}"

struct api_fixture {
    struct app_fixture app;
    struct api *api;
    struct http_server server;
    struct loopback client;
    /* Of the last request. */
    int status; /* 0: not answered yet */
    struct buf answer;
    struct str head, body;
    char header[1024];
    yyjson_doc *json;
    size_t seen; /* bytes of client.received that belong to earlier answers */
};

/* events_max: of the store; 0: no bound. */
static inline void api_fixture_init_bounded(struct api_fixture *f, const struct app_config *config,
                                            uint64_t events_max)
{
    struct http_config http;

    memset(f, 0, sizeof(*f));
    if (events_max)
        app_fixture_init_bounded(&f->app, config, events_max);
    else
        app_fixture_init(&f->app, config);
    f->api = api_create(&(struct api_config){ .app = f->app.app,
                                              .log = &f->app.log.log,
                                              .version = STR("1.2.3"),
                                              .epoch = STR("0123456789abcdef") });
    memset(&http, 0, sizeof(http));
    http_limits_set_defaults(&http.limits);
    http.handler = api_handler(f->api);
    http.clock = &f->app.ms.scheduler;
    http_server_init(&f->server, &http);
    api_attach(f->api, &f->server);
    loopback_connect(&f->client, &f->server);
}
static inline void api_fixture_init(struct api_fixture *f)
{
    struct app_config config = app_fixture_config();

    api_fixture_init_bounded(f, &config, 0);
}

static inline void api_fixture_deinit(struct api_fixture *f)
{
    yyjson_doc_free(f->json);
    loopback_deinit(&f->client);
    app_fixture_settle(&f->app);
    http_server_deinit(&f->server);
    api_destroy(f->api);
    app_fixture_deinit(&f->app);
    buf_deinit(&f->answer);
}

/* Takes the next whole answer out of what was received, if it is there. */
static inline void take_answer(struct api_fixture *f, bool has_body)
{
    struct str got = { f->client.received.p + f->seen, f->client.received.n - f->seen };
    const char *end = got.n ? memmem(got.p, got.n, "\r\n\r\n", 4) : NULL;
    const char *length;
    size_t head, body = 0;

    if (!end)
        return;
    head = (size_t)(end - got.p) + 4;
    length = memmem(got.p, head, "Content-Length: ", 16);
    if (length && has_body)
        body = strtoul(length + 16, NULL, 10);
    if (got.n < head + body)
        return;
    f->answer.n = 0;
    buf_add(&f->answer, got.p, head + body);
    buf_add(&f->answer, "", 1);
    f->seen += head + body;
    f->head = (struct str){ f->answer.p, head };
    f->body = (struct str){ f->answer.p + head, body };
    f->status = (int)strtol(f->answer.p + 9, NULL, 10);
    yyjson_doc_free(f->json);
    f->json = body ? yyjson_read(f->body.p, f->body.n, YYJSON_READ_NUMBER_AS_RAW) : NULL;
}

/* Everything that can happen now. */
static inline void settle(struct api_fixture *f)
{
    for (int i = 0; i < 4; i++) {
        app_fixture_settle(&f->app);
        loopback_turn(&f->client);
    }
}

/* headers: whole lines, or "". The answer may come later (ask_wait). */
static inline void ask_start(struct api_fixture *f, const char *method, const char *target,
                             const char *headers, const char *body)
{
    struct buf b = { NULL, 0, 0 };

    f->status = 0;
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: shop.example\r\n%s", method, target, headers);
    if (body)
        buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    if (body && !strstr(headers, "Content-Type:"))
        buf_printf(&b, "Content-Type: application/json\r\n");
    buf_printf(&b, "\r\n%s", body ? body : "");
    loopback_send(&f->client, buf_str(&b));
    buf_deinit(&b);
    settle(f);
    take_answer(f, strcmp(method, "HEAD") != 0);
}

static inline int ask_with(struct api_fixture *f, const char *method, const char *target,
                           const char *headers, const char *body)
{
    ask_start(f, method, target, headers, body);
    if (f->status == 0)
        fail_msg("%s %s was not answered", method, target);
    return f->status;
}

static inline int ask(struct api_fixture *f, const char *method, const char *target,
                      const char *body)
{
    return ask_with(f, method, target, "", body);
}
static inline int get(struct api_fixture *f, const char *target)
{
    return ask(f, "GET", target, NULL);
}
static inline int post(struct api_fixture *f, const char *target, const char *body)
{
    return ask(f, "POST", target, body);
}

static inline void pass_ms(struct api_fixture *f, int64_t ms)
{
    app_fixture_pass_ms(&f->app, ms);
    settle(f);
    if (f->status == 0)
        take_answer(f, true);
}

/* A header of the answer; "" if it is not there. */
static inline const char *header(struct api_fixture *f, const char *name)
{
    char line[80];
    const char *at, *end;
    int n = snprintf(line, sizeof(line), "\r\n%s: ", name);

    f->header[0] = 0;
    at = memmem(f->head.p, f->head.n, line, (size_t)n);
    if (at) {
        at += n;
        end = strstr(at, "\r\n");
        snprintf(f->header, sizeof(f->header), "%.*s", (int)(end - at), at);
    }
    return f->header;
}

/* A value of the answer by its pointer: texts and numbers as they are written, "" if there is
 * none, "null", "true", "false". */
static inline const char *value(struct api_fixture *f, const char *pointer)
{
    yyjson_val *v = f->json ? yyjson_doc_ptr_get(f->json, pointer) : NULL;

    f->header[0] = 0;
    if (yyjson_is_str(v))
        return yyjson_get_str(v);
    if (yyjson_is_raw(v))
        snprintf(f->header, sizeof(f->header), "%.*s", (int)yyjson_get_len(v), yyjson_get_raw(v));
    else if (yyjson_is_null(v))
        return "null";
    else if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? "true" : "false";
    return f->header;
}
static inline size_t count(struct api_fixture *f, const char *pointer)
{
    yyjson_val *v = f->json ? yyjson_doc_ptr_get(f->json, pointer) : NULL;

    return yyjson_is_obj(v) ? yyjson_obj_size(v) : yyjson_arr_size(v);
}

#define assert_value(f, pointer, expected) assert_string_equal(value((f), (pointer)), (expected))
#define assert_header(f, name, expected) assert_string_equal(header((f), (name)), (expected))
#define assert_body(f, expected) assert_string_equal((f)->body.p, (expected))
/* A problem with this status and code. */
#define assert_problem(f, status_, code_)                                                          \
    do {                                                                                           \
        assert_int_equal((f)->status, (status_));                                                  \
        assert_header((f), "Content-Type", "application/problem+json");                            \
        assert_value((f), "/code", (code_));                                                       \
        assert_value((f), "/type", "/problems/" code_);                                            \
        assert_int_equal(strlen(value((f), "/requestId")), UUID_TEXT_LEN);                         \
    } while (0)

/* "/orders/" and an id and "/pay": good until the third next call. */
static inline const char *path_of(const char *before, const char *id, const char *after)
{
    static char paths[4][1200];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof(paths[0]), "%s%s%s", before, id, after);
    return path;
}
static inline const char *new_id(struct api_fixture *f, const char *pointer)
{
    static char ids[4][UUID_TEXT_LEN + 1];
    static unsigned at;
    char *id = ids[at++ % 4];

    assert_int_equal(strlen(value(f, pointer)), UUID_TEXT_LEN);
    memcpy(id, value(f, pointer), UUID_TEXT_LEN + 1);
    return id;
}
#endif
