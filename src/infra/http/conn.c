#include "conn.h"

static struct http_conn *conn_of(struct transport_user *u)
{
    return container_of(u, struct http_conn, user);
}

void conn_mark_dirty(struct http_conn *c)
{
    if (list_is_empty(&c->dirty_link) && !c->is_closed)
        list_push_back(&c->server->dirty, &c->dirty_link);
}

void conn_set_reading(struct http_conn *c, bool on)
{
    if (c->is_reading == on || c->is_closed)
        return;
    c->is_reading = on;
    c->transport->ops->set_reading(c->transport, on);
}

void conn_stop_input(struct http_conn *c)
{
    c->phase = PHASE_OVER;
    c->head_started_us = 0;
}

void conn_close(struct http_conn *c)
{
    if (c->is_closed)
        return;
    c->is_closed = true;
    conn_stop_input(c);
    list_remove(&c->dirty_link);
    wheel_remove(&c->read_timer);
    wheel_remove(&c->write_timer);
    c->transport->ops->close(c->transport);
    request_drop_all(c);
}

static int64_t body_deadline_ms(const struct http_conn *c)
{
    const struct http_limits *l = &c->server->config.limits;
    uint64_t received =
        c->phase == PHASE_BODY ? c->current->content_length - c->body_left : c->current->body.n;

    return c->body_started_ms + (int64_t)l->body_time_ms +
           (int64_t)(received * 1000 / l->body_rate_min) + 1;
}

static void wait_for(struct http_conn *c, enum conn_wait wait, int64_t deadline_ms)
{
    c->wait = wait;
    wheel_set(&c->server->wheel, &c->read_timer, deadline_ms);
}

void conn_update_wait(struct http_conn *c)
{
    const struct http_limits *l = &c->server->config.limits;
    int64_t now_ms = server_now_ms(c->server);

    /* A deadline is the first millisecond that is too late: n is still in time, n + 1 is not. */
    if (c->is_closed || c->is_lingering)
        return;
    if (c->phase == PHASE_BODY || c->phase == PHASE_CHUNKS) {
        wait_for(c, WAIT_BODY, body_deadline_ms(c));
    } else if (c->phase == PHASE_HEAD && c->head_started_us != 0 && !c->is_blocked) {
        wait_for(c, WAIT_HEADER, c->head_started_us / 1000 + (int64_t)l->header_time_ms + 1);
    } else if (c->phase == PHASE_OVER || c->n_requests > 0 || buf_len(&c->out) > 0 ||
               c->writing.p != NULL) {
        c->wait = WAIT_NOTHING;
        wheel_clear(&c->read_timer);
    } else if (c->wait != WAIT_IDLE) {
        wait_for(c, WAIT_IDLE, now_ms + (int64_t)l->idle_time_ms + 1);
    }
}

static void on_read_timer(struct wheel_node *n)
{
    struct http_conn *c = container_of(n, struct http_conn, read_timer);

    switch (c->wait) {
    case WAIT_NOTHING:
        return;
    case WAIT_IDLE:
        c->server->counters.closed_idle++;
        conn_close(c);
        return;
    case WAIT_LINGER:
        conn_close(c);
        return;
    case WAIT_HEADER:
        input_fault(c, HTTP_FAULT_HEADER_TIME);
        break;
    case WAIT_BODY:
        input_fault(c, HTTP_FAULT_BODY_TIME);
        break;
    }
    conn_mark_dirty(c);
    conn_update_wait(c);
}

/* Everything owed is written: says so to the peer, and waits for it to end too. */
static void start_linger(struct http_conn *c)
{
    const struct http_limits *l = &c->server->config.limits;

    if (c->is_eof) {
        conn_close(c);
        return;
    }
    c->is_lingering = true;
    c->transport->ops->shutdown(c->transport);
    conn_set_reading(c, true);
    wait_for(c, WAIT_LINGER, server_now_ms(c->server) + (int64_t)l->linger_time_ms + 1);
}

static void tell_writable(struct http_conn *c)
{
    struct http_request *req;

    if (list_is_empty(&c->requests))
        return;
    req = container_of(c->requests.next, struct http_request, link);
    if (!req->stream.is_open || !req->stream.wants_writable ||
        http_stream_queued(&req->stream) > req->stream.room_most)
        return;
    req->stream.wants_writable = false;
    if (req->stream.on_writable != NULL)
        req->stream.on_writable(&req->stream);
}

bool conn_is_idle(const struct http_conn *c)
{
    return c->phase == PHASE_HEAD && c->n_requests == 0 && c->head_started_us == 0 &&
           buf_len(&c->out) == 0 && c->writing.p == NULL && buf_len(&c->stash) == 0;
}

void conn_flush(struct http_conn *c)
{
    if (c->has_ended)
        request_drop_all(c);
    output_write(c);
    if (!c->is_closed)
        tell_writable(c);
    if (!c->is_closed)
        input_resume(c);
    if (c->is_closed)
        return;
    if (c->phase == PHASE_OVER && c->n_requests == 0 && buf_len(&c->out) == 0 &&
        c->writing.p == NULL && !c->is_lingering)
        start_linger(c);
    else if (c->server->is_draining && conn_is_idle(c))
        conn_close(c);
    else
        conn_update_wait(c);
}

static void on_read(struct transport_user *u, const char *p, size_t n)
{
    struct http_conn *c = conn_of(u);

    server_read_clock(c->server);
    input_take(c, p, n);
}

static void on_eof(struct transport_user *u)
{
    struct http_conn *c = conn_of(u);

    server_read_clock(c->server);
    if (c->is_lingering) {
        conn_close(c);
        return;
    }
    input_end(c);
    request_tell_half(c);
}

static void on_broken(struct transport_user *u)
{
    struct http_conn *c = conn_of(u);

    server_read_clock(c->server);
    if (!c->is_lingering)
        c->server->counters.closed_broken++;
    conn_close(c);
}

static void on_written(struct transport_user *u)
{
    server_read_clock(conn_of(u)->server);
    output_on_written(conn_of(u));
}

static void on_closed(struct transport_user *u)
{
    struct http_conn *c = conn_of(u);

    REQUIRE(c->is_closed);
    if (c->current != NULL) {
        request_unref(c->current);
        c->current = NULL;
    }
    output_release(c->server, &c->out);
    output_release(c->server, &c->writing);
    output_release(c->server, &c->stash);
    server_forget_conn(c); /* last: the connection may be gone */
}

static const struct transport_user_ops user_ops = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_broken = on_broken,
    .on_written = on_written,
    .on_closed = on_closed,
};

void conn_init(struct http_conn *c, struct http_server *s, struct transport *t,
               const struct transport_peer *peer)
{
    *c = (struct http_conn){ .user = { &user_ops }, .transport = t, .server = s, .peer = *peer };
    list_init(&c->link);
    list_init(&c->dirty_link);
    list_init(&c->requests);
    wheel_node_init(&c->read_timer, on_read_timer);
    wheel_node_init(&c->write_timer, output_on_stall_timer);
}
