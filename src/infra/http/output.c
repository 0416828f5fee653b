/* Bytes to the transport. Small buffers come from a free list and are held only while something is
 * in them, so that an idle connection holds none. */
#include "conn.h"
#include "orderly/base/mem.h"

#define BUF_SIZE 16384
#define FREE_BUFS_MAX 256
#define STALL_LOOK_MS 1000 /* how often the progress of a slow peer is looked at */

static char *take_buf(struct http_server *s)
{
    char *p = s->free_bufs;

    if (p == NULL)
        return mem_alloc(BUF_SIZE);
    memcpy(&s->free_bufs, p, sizeof(char *));
    s->n_free_bufs--;
    return p;
}

void output_release(struct http_server *s, struct http_buf *b)
{
    if (b->p == NULL)
        return;
    if (b->cap == BUF_SIZE && s->n_free_bufs < FREE_BUFS_MAX) {
        memcpy(b->p, &s->free_bufs, sizeof(char *));
        s->free_bufs = b->p;
        s->n_free_bufs++;
    } else {
        mem_free(b->p);
    }
    *b = (struct http_buf){ 0 };
}

char *output_reserve(struct http_server *s, struct http_buf *b, size_t n)
{
    size_t len = buf_len(b);
    struct http_buf next = { 0 };

    if (n <= b->cap - b->end)
        return b->p + b->end;
    if (b->start >= len && len + n <= b->cap) {
        memcpy(b->p, b->p + b->start, len);
        b->start = 0;
        b->end = len;
        return b->p + len;
    }
    next.cap = b->cap > 0 ? b->cap * 2 : BUF_SIZE;
    while (next.cap < len + n)
        next.cap *= 2;
    next.p = next.cap == BUF_SIZE ? take_buf(s) : mem_alloc(next.cap);
    if (len > 0)
        memcpy(next.p, b->p + b->start, len);
    next.end = len;
    output_release(s, b);
    *b = next;
    return b->p + len;
}

void output_add(struct http_server *s, struct http_buf *b, const char *p, size_t n)
{
    memcpy(output_reserve(s, b, n), p, n);
    b->end += n;
}

size_t output_waiting(const struct http_conn *c)
{
    size_t n = buf_len(&c->out);

    if (c->writing.p != NULL)
        n += c->transport->ops->unsent(c->transport);
    for (struct list *at = c->requests.next; at != &c->requests; at = at->next)
        n += buf_len(&container_of(at, struct http_request, link)->held);
    return n;
}

static void write_later(struct http_conn *c)
{
    struct http_server *s = c->server;

    c->writing = c->out;
    c->out = (struct http_buf){ 0 };
    c->progress_ms = server_now_ms(s);
    wheel_set(&s->wheel, &c->write_timer, c->progress_ms + STALL_LOOK_MS);
    c->transport->ops->write(c->transport, c->writing.p + c->writing.start, buf_len(&c->writing));
    c->unconfirmed_seen = c->transport->ops->unconfirmed(c->transport);
}

void output_write(struct http_conn *c)
{
    struct http_server *s = c->server;
    long n;

    if (c->is_closed || c->writing.p != NULL || buf_len(&c->out) == 0)
        return;
    n = c->transport->ops->try_write(c->transport, c->out.p + c->out.start, buf_len(&c->out));
    if (n < 0) {
        s->counters.closed_broken++;
        conn_close(c);
        return;
    }
    s->counters.bytes_out += (uint64_t)n;
    c->out.start += (size_t)n;
    if (buf_len(&c->out) == 0)
        output_release(s, &c->out);
    else
        write_later(c);
}

void output_on_written(struct http_conn *c)
{
    c->server->counters.bytes_out += buf_len(&c->writing);
    output_release(c->server, &c->writing);
    wheel_clear(&c->write_timer);
    conn_mark_dirty(c);
}

/* A drain waits for nobody who takes nothing. */
static size_t stall_ms(const struct http_server *s)
{
    const struct http_limits *l = &s->config.limits;

    return s->is_draining && l->linger_time_ms < l->write_stall_ms ? l->linger_time_ms
                                                                   : l->write_stall_ms;
}

void output_on_stall_timer(struct wheel_node *n)
{
    struct http_conn *c = container_of(n, struct http_conn, write_timer);
    struct http_server *s = c->server;
    int64_t now_ms = server_now_ms(s);
    int64_t end_ms;
    size_t unconfirmed = c->transport->ops->unconfirmed(c->transport);

    if (unconfirmed != c->unconfirmed_seen) {
        c->unconfirmed_seen = unconfirmed;
        c->progress_ms = now_ms;
        conn_mark_dirty(c); /* there may be room to read on */
    }
    end_ms = c->progress_ms + (int64_t)stall_ms(s) + 1;
    if (now_ms >= end_ms) {
        s->counters.closed_stalled++;
        conn_close(c);
        return;
    }
    wheel_set(&s->wheel, n, now_ms + STALL_LOOK_MS < end_ms ? now_ms + STALL_LOOK_MS : end_ms);
}
