#include "call.h"
#include "api_private.h"
#include "fields.h"
#include <stdarg.h>
#include <stdio.h>

#define CALL_HEADERS_MAX 6

struct json_out *call_out(struct call *c)
{
    json_out_reset(&c->api->out);
    return &c->api->out;
}

struct str call_request_id(struct call *c)
{
    char text[UUID_TEXT_LEN];

    if (c->req->id.n == 0) {
        uuid_format(event_log_new_uuid(app_event_log(c->app)), text);
        c->req->id = arena_str(&c->req->arena, (struct str){ text, sizeof(text) });
    }
    return c->req->id;
}

struct str call_location(struct call *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    size_t n = 0;
    int got;

    if (c->has_prefix) {
        memcpy(text, "/api", 4);
        n = 4;
    }
    va_start(ap, fmt);
    got = vsnprintf(text + n, sizeof(text) - n, fmt, ap);
    va_end(ap);
    REQUIRE(got > 0);
    REQUIRE((size_t)got < sizeof(text) - n);
    return arena_str(&c->req->arena, (struct str){ text, n + (size_t)got });
}

/* ---- entity tags ----------------------------------------------------------------------------- */

struct str etag_of(struct arena *a, uint64_t tag)
{
    char *text = arena_alloc(a, 24), *p = text + 24;

    *--p = '"';
    do {
        *--p = (char)('0' + tag % 10);
        tag /= 10;
    } while (tag);
    *--p = '"';
    return (struct str){ p, (size_t)(text + 24 - p) };
}

bool call_is_unchanged(const struct call *c, uint64_t tag)
{
    struct str value;

    return call_header_list(c, "If-None-Match", &value) && field_none_match_hits(value, tag);
}

/* ---- answers --------------------------------------------------------------------------------- */

void call_send(struct call *c, int status, struct str content_type, struct str body,
               const struct call_extra *extra)
{
    struct http_header headers[CALL_HEADERS_MAX];
    struct http_response res = {
        .status = status, .content_type = content_type, .headers = headers, .body = body
    };

    if (extra && extra->etag.n)
        headers[res.n_headers++] = (struct http_header){ STR("ETag"), extra->etag };
    if (extra && extra->location.n)
        headers[res.n_headers++] = (struct http_header){ STR("Location"), extra->location };
    if (extra && extra->link.n)
        headers[res.n_headers++] = (struct http_header){ STR("Link"), extra->link };
    if (extra && extra->header)
        headers[res.n_headers++] =
            (struct http_header){ str_of(extra->header), str_of(extra->value) };
    http_respond(c->req, &res);
}

void call_send_out(struct call *c, int status, const struct call_extra *extra)
{
    call_send(c, status, CALL_TYPE_JSON, buf_str(&c->api->out.buf), extra);
}

void call_problem_with(struct call *c, const struct problem *p, const struct call_extra *extra)
{
    struct problem problem = *p;
    struct json_out *out = call_out(c);

    problem.request_id = call_request_id(c);
    render_problem(out, &problem);
    call_send(c, p->status, CALL_TYPE_PROBLEM, buf_str(&out->buf), extra);
}

void call_problem(struct call *c, int status, const char *code, const char *detail)
{
    struct problem p = { .status = status, .code = str_of(code), .detail = str_of(detail) };
    struct call_extra extra = { .header = "Retry-After", .value = "1" };

    call_problem_with(c, &p, status == 503 ? &extra : NULL);
}

void call_refuse(struct call *c, const struct json_in *in)
{
    struct problem p = {
        .status = 400, .code = STR("validation"), .faults = in->faults, .n_faults = in->n_faults
    };

    p.detail = arena_printf(&c->req->arena, "%u field%s your attention", in->n_faults,
                            in->n_faults == 1 ? " needs" : "s need");
    call_problem_with(c, &p, NULL);
}

/* "Orders", "neither Orders nor Inventory". */
static void add_missing(struct buf *b, unsigned contexts)
{
    bool is_one = (contexts & (contexts - 1)) == 0;
    const char *between = is_one ? "no " : "neither ";

    for (unsigned i = CONTEXT_ORDERS; i <= CONTEXT_SHIPMENTS; i++) {
        struct str name = context_text((enum context)i);

        if (!(contexts & (1u << i)))
            continue;
        buf_printf(b, "%s%c%.*s", between, name.p[0] - 'a' + 'A', (int)name.n - 1, name.p + 1);
        between = " nor ";
    }
}

void call_elsewhere(struct call *c, unsigned contexts)
{
    char here[CONTEXTS_TEXT_MAX];
    struct problem p = { .status = 421, .code = STR("context_elsewhere") };
    struct buf b = { 0 };

    buf_add_str(&b, STR("This process has "));
    add_missing(&b, contexts);
    buf_printf(&b, ", only " STR_FMT "; ask the one that has.",
               STR_ARG(contexts_text(app_contexts(c->app), here)));
    p.detail = arena_str(&c->req->arena, buf_str(&b));
    buf_deinit(&b);
    call_problem_with(c, &p, NULL);
}

void call_not_found(struct call *c, const char *what)
{
    struct str detail = arena_printf(&c->req->arena, "There is no such %s.", what);

    call_problem(c, 404, "not_found", detail.p);
}

void call_read_failed(struct call *c, enum err e, const char *what)
{
    switch (e) {
    case ERR_OK:
    case ERR_NOT_FOUND:
        call_not_found(c, what);
        return;
    case ERR_BUSY:
    case ERR_LIMIT:
        call_problem(c, 503, "overloaded", "The server has too much to read; try again.");
        return;
    case ERR_CANCELED:
    case ERR_SHUTTING_DOWN:
        call_problem(c, 503, "shutting_down", "The server is shutting down.");
        return;
    case ERR_DAMAGED:
        call_problem(c, 500, "damaged", "What is stored does not agree with its sum.");
        return;
    default:
        call_problem(c, 500, "store_failed", "The store could not be read.");
        return;
    }
}

/* ---- the query and the header ---------------------------------------------------------------- */

bool call_param(const struct call *c, const char *name, struct str *value)
{
    return http_query_find(&c->query, str_of(name), value) > 0;
}

void call_fault(struct json_in *in, const char *name, const char *detail)
{
    json_in_fault_named(in, FAULT_PARAMETER, str_of(name), detail);
}

void call_fault_header(struct json_in *in, const char *name, const char *detail)
{
    json_in_fault_named(in, FAULT_HEADER, str_of(name), detail);
}

const struct cloud_config *call_cloud_config(const struct call *c)
{
    return &c->api->config.cloud;
}

enum cloud_encoding call_encoding(const struct call *c, struct json_in *in, struct str media_type)
{
    enum cloud_encoding encoding = CLOUD_ENCODING_JSON;
    struct str text;
    int quality;

    if (call_param(c, "encoding", &text)) {
        if (!cloud_encoding_parse(text, &encoding))
            call_fault(in, "encoding", "must be json or cloudevents");
        return encoding;
    }
    if (!call_header_list(c, "Accept", &text))
        return encoding;
    quality = field_accept_quality(text, media_type);
    if (quality > 0 && quality >= field_accept_quality(text, CALL_TYPE_JSON))
        return CLOUD_ENCODING_CLOUDEVENTS;
    return encoding;
}

unsigned call_limit(const struct call *c, struct json_in *in)
{
    struct str text;
    uint64_t n;

    if (!call_param(c, "limit", &text))
        return 50;
    if (str_to_u64(text, &n) && n >= 1 && n <= 500)
        return (unsigned)n;
    call_fault(in, "limit", "must be an integer from 1 to 500");
    return 0;
}

enum call_place call_position(const struct call *c, struct str value, uint64_t *position)
{
    struct str epoch;

    if (!field_position(value, &epoch, position))
        return PLACE_INVALID;
    if (epoch.n && !str_eq(epoch, c->api->config.epoch))
        return PLACE_ELSEWHERE;
    return *position <= app_event_log(c->app)->durable_position ? PLACE_FINE : PLACE_ELSEWHERE;
}

void call_restored(struct call *c)
{
    call_problem(c, 410, "log_restored",
                 "The position is of another log than this one, or ahead of it.");
}

bool call_header(const struct call *c, const char *name, struct str *value)
{
    return http_request_header(c->req, str_of(name), value);
}

bool call_header_list(const struct call *c, const char *name, struct str *value)
{
    const struct http_request *req = c->req;
    struct str all = STR_NONE;
    size_t n = 0;
    char *p;

    if (http_request_header_count(req, str_of(name)) <= 1)
        return call_header(c, name, value);
    for (unsigned i = 0; i < req->n_headers; i++)
        n += str_eq_nocase(req->headers[i].name, str_of(name)) ? req->headers[i].value.n + 1 : 0;
    all.p = p = arena_alloc(&c->req->arena, n);
    for (unsigned i = 0; i < req->n_headers; i++) {
        struct str line = req->headers[i].value;

        if (!str_eq_nocase(req->headers[i].name, str_of(name)))
            continue;
        if (line.n)
            memcpy(p + all.n, line.p, line.n);
        p[all.n + line.n] = ',';
        all.n += line.n + 1;
    }
    *value = (struct str){ all.p, all.n - 1 }; /* without the last comma */
    return true;
}
