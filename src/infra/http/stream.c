#include "conn.h"
#include <stdio.h>

static const struct http_limits *limits_of(const struct http_stream *st)
{
    return &st->req->server->config.limits;
}

struct http_stream *http_stream_start(struct http_request *req, const struct http_response *res,
                                      void (*on_writable)(struct http_stream *st),
                                      void (*on_gone)(struct http_stream *st))
{
    bool is_old = req->version_minor == 0;
    struct http_response head = *res;

    REQUIRE(req->is_handed);
    head.body = STR_NONE;
    request_note_answer(req, &head, is_old && !req->is_head);
    if (request_output(req) == NULL) {
        request_finish(req);
        return NULL;
    }
    answer_write(req, &head, is_old || req->is_head ? ANSWER_UNTIL_CLOSE : ANSWER_CHUNKED);
    if (req->is_head) {
        request_finish(req);
        return NULL;
    }
    req->stream = (struct http_stream){
        .req = req,
        .on_writable = on_writable,
        .on_gone = on_gone,
        .is_open = true,
    };
    req->server->counters.streams_open++;
    conn_mark_dirty(req->conn);
    return &req->stream;
}

static void add(struct http_stream *st, struct http_buf *b, struct str bytes)
{
    struct http_server *s = st->req->server;
    bool is_chunked = st->req->version_minor == 1;
    char size[24];

    if (bytes.n == 0)
        return; /* an empty chunk would end the answer */
    if (is_chunked)
        output_add(s, b, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.n));
    output_add(s, b, bytes.p, bytes.n);
    if (is_chunked)
        output_add(s, b, "\r\n", 2);
}

size_t http_stream_queued(const struct http_stream *st)
{
    const struct http_buf *b = request_output(st->req);

    if (b == NULL)
        return 0;
    return b == &st->req->held ? buf_len(b) : output_waiting(st->req->conn);
}

void http_stream_want_room(struct http_stream *st, size_t most)
{
    REQUIRE(st->is_open);
    st->wants_writable = true;
    st->room_most = most;
}

void http_stream_on_half(struct http_stream *st, void (*on_half)(struct http_stream *st))
{
    REQUIRE(st->is_open);
    st->on_half = on_half;
}

enum err http_stream_write(struct http_stream *st, struct str bytes)
{
    struct http_buf *b = request_output(st->req);
    size_t queued;

    REQUIRE(st->is_open);
    if (b == NULL)
        return ERR_OK; /* the client has gone and on_gone is about to say so */
    queued = http_stream_queued(st);
    if (queued > 0 && queued + bytes.n > limits_of(st)->stream_queue_max) {
        http_stream_want_room(st, limits_of(st)->stream_queue_max / 2);
        return ERR_BUSY;
    }
    add(st, b, bytes);
    conn_mark_dirty(st->req->conn);
    return ERR_OK;
}

void http_stream_close(struct http_stream *st, struct str last)
{
    struct http_buf *b = request_output(st->req);

    REQUIRE(st->is_open);
    st->is_open = false;
    st->req->server->counters.streams_open--;
    if (b != NULL) {
        add(st, b, last);
        if (st->req->version_minor == 1)
            output_add(st->req->server, b, "0\r\n\r\n", 5);
    }
    request_finish(st->req);
}
