#include "conn.h"
#include "orderly/base/mem.h"

#define FREE_REQUESTS_MAX 1024

static struct http_request *request_of(struct list *link)
{
    return container_of(link, struct http_request, link);
}

struct http_request *request_create(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_request *req;

    if (list_is_empty(&s->free_requests)) {
        req = mem_alloc(sizeof(*req));
    } else {
        req = request_of(list_pop_front(&s->free_requests));
        s->n_free_requests--;
    }
    memset(req, 0, offsetof(struct http_request, first));
    arena_init(&req->arena, req->first, sizeof(req->first));
    req->server = s;
    req->conn = c;
    req->peer = c->peer;
    req->started_us = c->head_started_us != 0 ? c->head_started_us : s->now_us;
    req->body_max = s->config.limits.body_max;
    req->version_minor = 1;
    req->refs = 1; /* the owed answer */
    list_push_back(&c->requests, &req->link);
    c->n_requests++;
    c->wait =
        WAIT_NOTHING; /* idle time begins anew with the answer, which may be all written at once */
    return req;
}

void request_ref(struct http_request *req)
{
    REQUIRE(req->refs > 0);
    req->refs++;
}

void request_unref(struct http_request *req)
{
    struct http_server *s = req->server;

    REQUIRE(req->refs > 0);
    if (--req->refs > 0)
        return;
    INVARIANT(list_is_empty(&req->link));
    arena_deinit(&req->arena);
    mem_free(req->heap_body);
    output_release(s, &req->held);
    if (s->n_free_requests == FREE_REQUESTS_MAX) {
        mem_free(req);
        return;
    }
    list_push_front(&s->free_requests, &req->link);
    s->n_free_requests++;
}

static bool is_first(const struct http_request *req)
{
    return req->conn->requests.next == &req->link;
}

static bool is_last(const struct http_request *req)
{
    return req->conn->requests.prev == &req->link;
}

struct http_buf *request_output(struct http_request *req)
{
    if (req->conn == NULL || req->conn->has_ended || req->conn->is_closed)
        return NULL;
    return is_first(req) ? &req->conn->out : &req->held;
}

static void unlink_request(struct http_conn *c, struct http_request *req)
{
    list_remove(&req->link);
    INVARIANT(c->n_requests > 0);
    c->n_requests--;
}

/* The request has come to the front: what it has so far goes out. */
static void move_held(struct http_conn *c, struct http_request *req)
{
    if (buf_len(&req->held) > 0)
        output_add(c->server, &c->out, req->held.p + req->held.start, buf_len(&req->held));
    output_release(c->server, &req->held);
    if (req->continue_due)
        answer_write_continue(c->server, &c->out);
    req->continue_due = false;
}

/* Lets finished requests leave from the front of the queue. */
static void advance(struct http_conn *c)
{
    while (!list_is_empty(&c->requests)) {
        struct http_request *req = request_of(c->requests.next);
        bool closes = req->closes_after;

        move_held(c, req);
        if (!req->is_finished)
            return;
        unlink_request(c, req);
        request_unref(req);
        if (closes) {
            c->has_ended = true;
            conn_stop_input(c);
            return;
        }
    }
}

void request_finish(struct http_request *req)
{
    struct http_conn *c = req->conn;

    REQUIRE(!req->is_finished);
    req->is_finished = true;
    if (c == NULL) {
        request_unref(req);
        return;
    }
    conn_mark_dirty(c);
    if (c->has_ended || c->is_closed) {
        unlink_request(c, req);
        req->conn = NULL;
        request_unref(req);
    } else if (is_first(req)) {
        advance(c);
    }
}

/* Nobody reads its answer any more. If a handler owes one, it is told, and goes on owing. */
static void drop(struct http_request *req)
{
    struct http_server *s = req->server;
    bool is_owed = req->is_handed && !req->is_answered;

    req->conn = NULL;
    req->is_gone = true;
    if (!req->is_finished)
        s->counters.aborted++;
    if (is_owed) {
        if (req->on_abort != NULL)
            req->on_abort(req, HTTP_GONE);
        return;
    }
    if (!req->is_answered && req->is_head_valid)
        s->counters.requests_in_flight--;
    if (req->stream.is_open) {
        req->stream.is_open = false;
        s->counters.streams_open--;
        if (req->stream.on_gone != NULL)
            req->stream.on_gone(&req->stream);
    }
    request_unref(req);
}

void request_drop_all(struct http_conn *c)
{
    while (!list_is_empty(&c->requests)) {
        struct http_request *req = request_of(c->requests.next);

        unlink_request(c, req);
        drop(req);
    }
}

static bool wants_half(const struct http_request *req)
{
    if (req->half_told)
        return false;
    return req->stream.is_open ? req->stream.on_half != NULL
                               : req->on_abort != NULL && !req->is_answered;
}

void request_tell_half(struct http_conn *c)
{
    struct list *at = c->requests.next;

    while (at != &c->requests && !c->is_closed) {
        struct http_request *req = request_of(at);

        at = at->next;
        if (!wants_half(req))
            continue;
        req->half_told = true;
        if (req->stream.is_open)
            req->stream.on_half(&req->stream);
        else
            req->on_abort(req, HTTP_GONE_HALF);
        at = c->requests.next; /* the callback may have answered any of them */
    }
}

void http_request_on_abort(struct http_request *req, http_abort_cb cb)
{
    REQUIRE(!req->is_answered);
    req->on_abort = cb;
}

bool http_request_is_half_gone(const struct http_request *req)
{
    return req->conn == NULL || req->conn->is_eof;
}

/* A body that was announced as small is read and dropped, and the connection lives on; before any
 * other, and when the client waits for 100 Continue, that would cost more than a new connection. */
static bool may_discard_body(const struct http_request *req)
{
    return !req->is_chunked && !req->expects_continue &&
           req->content_length <= req->server->config.limits.discard_max;
}

void request_note_answer(struct http_request *req, const struct http_response *res, bool closes)
{
    struct http_server *s = req->server;

    REQUIRE(!req->is_answered);
    REQUIRE(res->status >= 200 && res->status <= 599);
    req->is_answered = true;
    req->on_abort = NULL;
    req->continue_due = false;
    if (req->is_head_valid)
        s->counters.requests_in_flight--;
    if (req->conn == NULL)
        return;
    /* In a drain the connection ends with the last answer that is owed. */
    req->closes_after = closes || res->close || !req->keeps_alive ||
                        (s->is_draining && is_last(req)) ||
                        (!req->is_received && !may_discard_body(req));
    s->counters.responses[res->status / 100]++;
    if (s->config.handler.on_answered != NULL)
        s->config.handler.on_answered(s->config.handler.ctx, req, res->status, res->body.n);
}

static void respond(struct http_request *req, const struct http_response *res, bool closes)
{
    request_note_answer(req, res, closes);
    if (request_output(req) != NULL)
        answer_write(req, res, ANSWER_LENGTH);
    request_finish(req);
}

void http_respond(struct http_request *req, const struct http_response *res)
{
    REQUIRE(req->is_handed);
    respond(req, res, false);
}

void request_fault(struct http_request *req, enum http_fault fault, bool closes)
{
    struct http_server *s = req->server;
    struct http_response res = { .status = http_fault_rows[fault].status };

    REQUIRE(fault < HTTP_FAULTS);
    s->counters.faults[fault]++;
    if (s->config.handler.render_error != NULL)
        s->config.handler.render_error(s->config.handler.ctx, req, fault, &res);
    res.status = http_fault_rows[fault].status;
    respond(req, &res, closes);
}

void http_respond_fault(struct http_request *req, enum http_fault fault)
{
    REQUIRE(req->is_handed);
    request_fault(req, fault, false);
}

bool http_request_header(const struct http_request *req, struct str name, struct str *value)
{
    for (unsigned i = 0; i < req->n_headers; i++) {
        if (str_eq_nocase(req->headers[i].name, name)) {
            *value = req->headers[i].value;
            return true;
        }
    }
    *value = STR_NONE;
    return false;
}

unsigned http_request_header_count(const struct http_request *req, struct str name)
{
    unsigned count = 0;

    for (unsigned i = 0; i < req->n_headers; i++)
        count += str_eq_nocase(req->headers[i].name, name);
    return count;
}
