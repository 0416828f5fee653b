/* Bytes to requests. Everything works on one piece of memory: the adapter's read buffer while it
 * is enough, else the stash, which then begins with the head that is not complete yet. */
#include "conn.h"
#include "orderly/base/mem.h"

#define STASH_SMALL 1024
#define WRITE_EARLY 65536 /* output that does not wait for the end of the loop's turn */

static const struct http_limits *limits_of(const struct http_conn *c)
{
    return &c->server->config.limits;
}

static void forget_head(struct http_conn *c)
{
    c->scan = (struct head_scan){ 0 };
    c->head_started_us = 0;
    c->empty_lines = 0;
}

/* The reader lets go of the request that it was reading. */
static void release_current(struct http_conn *c)
{
    struct http_request *req = c->current;

    c->current = NULL;
    request_unref(req);
}

static struct http_request *create_current(struct http_conn *c)
{
    struct http_request *req = request_create(c);

    if (c->scan.line_is_valid) {
        req->method = c->scan.method;
        req->is_head = req->method == HTTP_METHOD_HEAD;
        req->version_minor = c->scan.version_minor;
    }
    request_ref(req);
    c->current = req;
    return req;
}

void input_fault(struct http_conn *c, enum http_fault fault)
{
    if (c->current == NULL)
        create_current(c);
    conn_stop_input(c);
    if (!c->current->is_answered)
        request_fault(c->current, fault, true);
    release_current(c);
}

static void call_on_headers(struct http_conn *c, struct http_request *req)
{
    struct http_handler *h = &c->server->config.handler;

    if (h->on_headers == NULL)
        return;
    req->is_handed = true;
    h->on_headers(h->ctx, req);
    if (req->is_answered)
        return;
    req->is_handed = false;
    if (req->is_gone) { /* the handler has closed the connection: nobody owes the answer now */
        c->server->counters.requests_in_flight--;
        request_unref(req);
    }
}

/* The request is whole. */
static void complete(struct http_conn *c)
{
    struct http_request *req = c->current;
    struct http_handler *h = &c->server->config.handler;

    req->is_received = true;
    if (c->phase != PHASE_OVER)
        c->phase = PHASE_HEAD;
    if (!req->keeps_alive)
        conn_stop_input(c); /* the last one */
    if (!req->is_answered && !req->is_gone) {
        req->is_handed = true;
        h->on_request(h->ctx, req);
    }
    release_current(c);
}

static void start_body(struct http_conn *c, struct http_request *req, bool has_bytes)
{
    c->phase = req->is_chunked ? PHASE_CHUNKS : PHASE_BODY;
    c->body_left = req->content_length;
    c->body_started_ms = server_now_ms(c->server);
    chunks_init(&c->chunks);
    if (req->is_answered)
        return;
    body_start(req, req->is_chunked ? 0 : req->content_length);
    /* Not for a body that is coming already (RFC 9110 §10.1.1). */
    req->continue_due = req->expects_continue && !has_bytes;
    if (req->continue_due && request_output(req) == &c->out) {
        answer_write_continue(c->server, &c->out);
        req->continue_due = false;
        conn_mark_dirty(c);
    }
}

/* The head is p[0..n). */
static void start_request(struct http_conn *c, const char *p, size_t n, bool has_more)
{
    struct http_request *req = create_current(c);
    enum http_fault fault;
    bool is_valid = parse_head(c, req, p, n, &fault);

    forget_head(c);
    if (!is_valid) {
        input_fault(c, fault);
        return;
    }
    req->is_head_valid = true;
    req->is_received = !req->has_body;
    c->server->counters.requests++;
    c->server->counters.requests_in_flight++;
    call_on_headers(c, req);
    if (c->is_closed || c->has_ended ||
        (req->is_answered && !req->is_received && req->closes_after)) {
        conn_stop_input(c);
        release_current(c);
    } else if (!req->has_body) {
        complete(c);
    } else if (!req->is_answered && !req->is_chunked && req->content_length > req->body_max) {
        input_fault(c, HTTP_FAULT_BODY_SIZE);
    } else {
        start_body(c, req, has_more);
    }
}

/* Returns how much of p is used; 0: the head is not complete. */
static size_t take_head(struct http_conn *c, const char *p, size_t n)
{
    if (c->scan.searched == 0 && c->scan.at == 0 && (p[0] == '\r' || p[0] == '\n')) {
        if (p[0] == '\r' && n == 1)
            return 0;
        if (p[0] == '\n' || p[1] != '\n')
            input_fault(c, HTTP_FAULT_REQUEST_LINE);
        else if (++c->empty_lines > limits_of(c)->empty_lines_max)
            input_fault(c, HTTP_FAULT_EMPTY_LINES);
        return p[0] == '\n' ? 1 : 2;
    }
    if (c->head_started_us == 0)
        c->head_started_us = c->server->now_us;
    switch (head_scan(&c->scan, p, n, limits_of(c))) {
    case HEAD_MORE:
        return 0;
    case HEAD_FAULT:
        input_fault(c, c->scan.fault);
        return n;
    case HEAD_DONE: {
        size_t len = c->scan.at;

        start_request(c, p, len, len < n);
        return len;
    }
    }
    UNREACHABLE("result of a scan");
}

static size_t take_body(struct http_conn *c, const char *p, size_t n)
{
    size_t step = n < c->body_left ? n : (size_t)c->body_left;

    c->current->continue_due = false;
    if (!c->current->is_answered)
        body_add(c->current, p, step);
    c->body_left -= step;
    if (c->body_left == 0)
        complete(c);
    return step;
}

static size_t take_chunks(struct http_conn *c, const char *p, size_t n)
{
    size_t used = n;
    enum chunks_result r =
        chunks_watch(&c->chunks, p, n, c->current->body_max, limits_of(c), &used);

    c->current->continue_due = false;
    if (r == CHUNKS_FAULT)
        input_fault(c, c->chunks.fault);
    else if (!parse_chunks(c, p, used) || c->is_message_done != (r == CHUNKS_DONE))
        input_fault(c, HTTP_FAULT_CHUNK);
    else if (r == CHUNKS_DONE)
        complete(c);
    return used;
}

static bool is_answering_long(const struct http_conn *c)
{
    const struct http_request *last;

    if (list_is_empty(&c->requests))
        return false;
    last = container_of(c->requests.prev, struct http_request, link);
    return last->is_long && !last->is_finished;
}

static bool is_blocked(const struct http_conn *c)
{
    return c->phase == PHASE_HEAD &&
           (c->n_requests >= limits_of(c)->pipeline_max || is_answering_long(c) ||
            output_waiting(c) > limits_of(c)->output_max);
}

/* Returns how many bytes are used up. */
static size_t process(struct http_conn *c, const char *p, size_t n)
{
    size_t at = 0;
    size_t used = 1;

    c->is_processing = true;
    while (at < n && used > 0 && !c->is_closed) {
        switch (c->phase) {
        case PHASE_HEAD:
            used = is_blocked(c) ? 0 : take_head(c, p + at, n - at);
            break;
        case PHASE_BODY:
            used = take_body(c, p + at, n - at);
            break;
        case PHASE_CHUNKS:
            used = take_chunks(c, p + at, n - at);
            break;
        case PHASE_OVER:
            used = n - at;
            c->discarded += used;
            break;
        }
        at += used;
        if (buf_len(&c->out) > WRITE_EARLY)
            output_write(c);
    }
    c->is_processing = false;
    return at;
}

static void process_stash(struct http_conn *c)
{
    size_t n = buf_len(&c->stash);

    if (n > 0)
        c->stash.start += process(c, c->stash.p + c->stash.start, n);
    if (buf_len(&c->stash) == 0)
        output_release(c->server, &c->stash);
}

/* After the bytes at hand are used as far as can be. */
static void settle(struct http_conn *c)
{
    bool was_blocked = c->is_blocked;
    bool is_beyond = c->phase == PHASE_OVER && c->discarded > limits_of(c)->linger_max;

    if (c->is_closed)
        return;
    if (is_beyond && c->is_lingering) {
        c->server->counters.closed_linger_limit++;
        conn_close(c);
        return;
    }
    c->is_blocked = is_blocked(c);
    if (c->is_blocked && !was_blocked)
        c->server->counters.reading_stopped++;
    conn_set_reading(c, !c->is_blocked && !is_beyond && !c->is_eof);
    conn_update_wait(c);
}

/* A small piece of a head gets a small buffer: many slow clients then cost little. */
static void start_stash(struct http_conn *c, const char *p, size_t n)
{
    if (c->stash.p == NULL && n <= STASH_SMALL)
        c->stash = (struct http_buf){ .p = mem_alloc(STASH_SMALL), .cap = STASH_SMALL };
    output_add(c->server, &c->stash, p, n);
}

void input_take(struct http_conn *c, const char *p, size_t n)
{
    c->server->counters.bytes_in += n;
    if (buf_len(&c->stash) > 0) {
        output_add(c->server, &c->stash, p, n);
        process_stash(c);
    } else {
        size_t used = process(c, p, n);

        if (used < n && !c->is_closed)
            start_stash(c, p + used, n - used);
    }
    settle(c);
}

static void finish_input(struct http_conn *c)
{
    bool is_partial = c->phase == PHASE_BODY || c->phase == PHASE_CHUNKS ||
                      (c->phase == PHASE_HEAD && c->head_started_us != 0);

    if (is_partial)
        input_fault(c, HTTP_FAULT_INCOMPLETE);
    conn_stop_input(c);
    conn_mark_dirty(c);
}

void input_end(struct http_conn *c)
{
    c->is_eof = true;
    if (!is_blocked(c))
        finish_input(c);
    settle(c);
}

void input_resume(struct http_conn *c)
{
    if (!c->is_blocked || c->is_processing || is_blocked(c))
        return;
    if (c->head_started_us != 0) /* while nothing was read the client was not slow */
        c->head_started_us = c->server->now_us;
    process_stash(c);
    if (c->is_eof && !c->is_closed && !is_blocked(c))
        finish_input(c);
    settle(c);
}
