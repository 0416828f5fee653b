/* HTTP/1.1 server core (RFC 9110, RFC 9112): bytes in, requests up, answers down, bytes out.
 *
 * Pure: no socket, no clock. Connections come in by the transport port (infra/loop/transport.h),
 * time by the scheduler's clocks, and somebody calls flush and tick through http_server_acceptor.
 *
 * The way of a request:
 *
 *   bytes -> head complete and valid -> on_headers -> body complete -> on_request
 *                                          |                              |
 *                                          '------ http_respond, or http_stream_start,
 *                                                  exactly once, now or later
 *
 * Answers leave in the order of their requests, whatever order they are given in. What cannot be a
 * request (malformed, too large, too slow) is answered by the core itself; the body of such an
 * answer comes from render_error, so that the JSON is the owner's.
 *
 * Thread: loop thread only. No callback of a request runs after it was answered.
 */
#ifndef ORDERLY_INFRA_HTTP_HTTP_H
#define ORDERLY_INFRA_HTTP_HTTP_H
#include "orderly/app/scheduler.h"
#include "orderly/base/arena.h"
#include "orderly/base/err.h"
#include "orderly/base/list.h"
#include "orderly/base/map.h"
#include "orderly/base/str.h"
#include "orderly/infra/http/limits.h"
#include "orderly/infra/loop/transport.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_conn;
struct http_request;
struct http_server;
struct http_stream;

/* The methods that reach a handler. Any other one, and CONNECT, is answered 501 by the core. */
#define HTTP_METHOD_NAMES(X) X(GET) X(HEAD) X(POST) X(PUT) X(PATCH) X(DELETE) X(OPTIONS) X(TRACE)

enum http_method {
#define X(name) HTTP_METHOD_##name,
    HTTP_METHOD_NAMES(X)
#undef X
};
#define HTTP_METHODS 8

const char *http_method_name(enum http_method m);

/* What the core answers by itself: name, status, code on the wire, detail */
#define HTTP_FAULT_MAP(X)                                                                          \
    X(REQUEST_LINE, 400, "bad_request", "The request line is not valid.")                          \
    X(EMPTY_LINES, 400, "bad_request", "Too many empty lines before the request.")                 \
    X(HEADERS, 400, "bad_request", "The header fields are not valid.")                             \
    X(HOST, 400, "bad_host", "Exactly one valid Host field is needed.")                            \
    X(TARGET, 400, "bad_request", "The request target is not valid.")                              \
    X(CONTENT_LENGTH, 400, "bad_request", "Content-Length is not valid.")                          \
    X(FRAMING, 400, "bad_framing", "Transfer-Encoding is not valid here.")                         \
    X(CHUNK, 400, "bad_chunk", "The chunked body is not valid.")                                   \
    X(CHUNK_EXTENSIONS, 400, "bad_chunk", "The chunk extensions are too long.")                    \
    X(TRAILERS, 400, "bad_chunk", "The trailer fields are too long.")                              \
    X(INCOMPLETE, 400, "incomplete_request", "The connection ended inside the request.")           \
    X(HEADER_TIME, 408, "request_timeout", "The header did not come in time.")                     \
    X(BODY_TIME, 408, "request_timeout", "The body did not come in time.")                         \
    X(BODY_SIZE, 413, "body_too_large", "The body is larger than this resource takes.")            \
    X(LINE_SIZE, 414, "uri_too_long", "The request line is too long.")                             \
    X(EXPECT, 417, "expectation_failed", "Only 100-continue can be expected.")                     \
    X(AUTHORITY, 421, "misdirected_request", "This server does not answer for that host.")         \
    X(HEADER_SIZE, 431, "headers_too_large", "The header fields are too large or too many.")       \
    X(METHOD, 501, "method_not_implemented", "The method is not known.")                           \
    X(CODING, 501, "coding_not_implemented", "Only the transfer coding chunked is known.")         \
    X(CONNECTIONS, 503, "too_many_connections", "There are too many connections.")                 \
    X(VERSION, 505, "version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are supported.")

enum http_fault {
#define X(name, status, code, detail) HTTP_FAULT_##name,
    HTTP_FAULT_MAP(X)
#undef X
        HTTP_FAULTS
};
struct http_fault_row {
    int status;
    const char *code, *detail;
};
extern const struct http_fault_row http_fault_rows[HTTP_FAULTS];

struct http_header {
    struct str name, value;
};

/* Why a client that waits is told about (http_request_on_abort). */
enum http_gone {
    HTTP_GONE_HALF, /* sends no more but may still read: an answer now is worth while */
    HTTP_GONE,      /* nobody reads the answer any more */
};
typedef void (*http_abort_cb)(struct http_request *req, enum http_gone how);

/* An open-ended answer; see http_stream_start. */
struct http_stream {
    struct http_request *req; /* its arena lives as long as the stream */
    void *user;
    /* Core only. */
    void (*on_writable)(struct http_stream *st);
    void (*on_gone)(struct http_stream *st);
    void (*on_half)(struct http_stream *st);
    bool is_open, wants_writable;
    size_t room_most; /* on_writable is due when at most this much waits */
};

/* Bytes from start to end wait. */
struct http_buf {
    char *p;
    size_t start, end, cap;
};

#define HTTP_REQUEST_ARENA 3584

struct http_request {
    /* Set by the core before on_headers; others read only. The memory is the request's arena. */
    struct arena arena; /* anybody may allocate from it; gone with the answer */
    struct http_server *server;
    struct http_conn *conn; /* NULL once the connection is gone */
    enum http_method method;
    bool is_head;      /* no body is sent; answer as if it were GET */
    int version_minor; /* HTTP/1.x */
    struct str target; /* as received */
    struct str path;   /* raw, starts with '/'; "*" in OPTIONS * */
    struct str query;  /* raw, without '?' */
    struct str host;   /* with port, from an absolute target or else from Host; may be empty */
    const struct http_header *headers; /* as received, values trimmed */
    unsigned n_headers;
    struct transport_peer peer;
    int64_t started_us; /* monotonic, when the first bytes of the request were seen */
    bool expects_continue;
    /* Set by the core before on_request. Contiguous; eight NUL bytes follow it, and it may be
     * written to (in-situ parsing). */
    struct str body;

    /* Set by on_headers, if it likes; the core starts with limits.body_max. */
    size_t body_max;
    /* Set by on_headers where the answer may have megabytes: what comes behind it on the connection
     * is read when it is given, so that no more than one of them waits for its reader. */
    bool is_long;

    /* For the layers above; NULL and empty at first. */
    void *user;
    const void *route;
    struct str id;

    /* Core only. */
    struct list link; /* conn->requests, or a free list */
    unsigned refs;    /* the owed answer, the reader, running callbacks */
    http_abort_cb on_abort;
    char *heap_body; /* a body that outgrew the arena */
    size_t body_cap;
    struct http_buf held; /* answer bytes that wait for earlier answers */
    struct http_stream stream;
    bool is_head_valid : 1; /* counted as a request */
    bool is_handed : 1;     /* a handler has it and owes the answer */
    bool is_answered : 1;   /* respond or stream_start was called */
    bool is_finished : 1;   /* no more bytes of the answer come */
    bool is_received : 1;   /* the body is complete, or there is none */
    bool is_gone : 1, half_told : 1;
    bool keeps_alive : 1, closes_after : 1; /* what the client asks for, what the answer says */
    bool has_body : 1, is_chunked : 1, continue_due : 1;
    uint64_t content_length;
    char first[HTTP_REQUEST_ARENA]; /* the arena's first block */
};

/* Everything is copied before http_respond returns. */
struct http_response {
    int status;                        /* 200..599 */
    struct str content_type;           /* left out if empty */
    const struct http_header *headers; /* without Date, Content-Length, Connection, Content-Type */
    unsigned n_headers;
    struct str body; /* to HEAD too: gives Content-Length and is not sent; none for 204 and 304 */
    bool close;      /* the connection ends after this answer */
};

struct http_handler {
    void *ctx;
    /* The head is there and valid, the body (if any) not yet. May set req->body_max, or answer
     * in here: then on_request does not run, a body that is announced with at most
     * limits.discard_max bytes is read and dropped, and before any other the connection closes
     * lingering. An answer that takes longer waits for on_request. May be NULL. */
    void (*on_headers)(void *ctx, struct http_request *req);
    /* The request is complete. Owes one http_respond or http_stream_start. */
    void (*on_request)(void *ctx, struct http_request *req);
    /* Fills body, content_type, headers of an answer by the core; out->status is set and stays.
     * Memory from req->arena. req may be without method, target and headers. May be NULL: then the
     * body is empty. */
    void (*render_error)(void *ctx, struct http_request *req, enum http_fault fault,
                         struct http_response *out);
    /* Every answer, also the core's own, when it is given; for metrics. bytes: of the body.
     * May be NULL. */
    void (*on_answered)(void *ctx, const struct http_request *req, int status, size_t bytes);
    /* A connection was refused at a cap; called at most once a second, with the number since the
     * last call. May be NULL. */
    void (*on_refused)(void *ctx, uint64_t count);
    /* After http_server_drain or http_server_close: the last connection is gone. May be NULL. */
    void (*on_empty)(void *ctx);
};

struct http_counters {
    uint64_t connections_open; /* a level, the others count up */
    uint64_t connections_accepted;
    uint64_t refused_cap, refused_address, refused_closing;
    uint64_t closed_idle, closed_stalled, closed_broken, closed_linger_limit;
    uint64_t requests;            /* whose head was valid */
    uint64_t requests_in_flight;  /* a level: not answered yet */
    uint64_t responses[6];        /* by hundreds of the status: responses[2] are the 2xx */
    uint64_t faults[HTTP_FAULTS]; /* answered by the core itself */
    uint64_t aborted;             /* the client went before its answer */
    uint64_t reading_stopped;     /* by pipelining, a long answer in the making, or output */
    uint64_t streams_open;        /* a level */
    uint64_t bytes_in, bytes_out;
};

/* Hashed timer wheel of all connections (src/infra/http/wheel.h). */
#define HTTP_WHEEL_SLOTS 1024
struct http_wheel {
    struct list slots[HTTP_WHEEL_SLOTS];
    int64_t now_ms; /* up to here everything due has fired */
};

struct http_config {
    struct http_limits limits; /* http_limits_set_defaults first */
    struct http_handler handler;
    struct scheduler *clock; /* borrowed: mono_us and wall_ms are used, nothing else */
    struct map_key map_key;  /* random, for the table of addresses */
    /* Against DNS rebinding: only localhost, 127.0.0.1, [::1] and the names in hosts (without
     * port) are answered, any other Host gets 421. For a server that listens on loopback. */
    bool checks_host;
    const struct str *hosts; /* borrowed */
    unsigned n_hosts;
};

struct http_server {
    struct http_counters counters; /* anybody may read */

    /* Core only. */
    struct transport_acceptor acceptor;
    struct http_config config;
    struct http_wheel wheel;
    struct list conns; /* all */
    struct list dirty; /* with something to write or to go on with */
    int64_t now_us;    /* read when the core is entered */
    struct list free_conns, free_requests;
    unsigned n_free_conns, n_free_requests, n_free_bufs;
    char *free_bufs; /* each holds the address of the next */
    struct map addresses;
    int64_t date_s;
    bool date_is_fresh;
    char date[32];
    bool is_draining, is_closing, is_empty_told;
    int64_t refused_told_ms;
    uint64_t refused_untold;
    unsigned refused_lingering;
};

void http_server_init(struct http_server *s, const struct http_config *config);
/* No connection may be open and no request unanswered. */
void http_server_deinit(struct http_server *s);
/* What the listener gives new connections to and calls for flush and tick. */
static inline struct transport_acceptor *http_server_acceptor(struct http_server *s)
{
    return &s->acceptor;
}
/* Writes what waits, for those who don't come through the acceptor. */
void http_server_flush(struct http_server *s);
/* Stops gracefully: idle connections end, those in flight after their answer (Connection: close),
 * new ones are refused, and a client that takes nothing of its answer for linger_time_ms is cut
 * off. Waiters and streams are their owner's to end. on_empty runs from a later
 * callback, or from here if there is no connection. */
void http_server_drain(struct http_server *s);
/* Ends all connections now; requests in flight hear HTTP_GONE and are still owed an answer. */
void http_server_close(struct http_server *s);

/* Answers the request, exactly once. req is not to be touched afterwards. If the client has gone
 * meanwhile nothing is sent, the request is only released. */
void http_respond(struct http_request *req, const struct http_response *res);
/* Answers as the core would: status, and the body from render_error. */
void http_respond_fault(struct http_request *req, enum http_fault fault);

/* Asks to be told when the client goes away before the answer. The callback may answer (that
 * releases what waits); if it doesn't, the answer is still owed. Runs at most once for each value
 * of `how`, never inside this call; NULL takes the wish back. */
void http_request_on_abort(struct http_request *req, http_abort_cb cb);
/* The client sends no more; it may have gone. */
bool http_request_is_half_gone(const struct http_request *req);
static inline bool http_request_is_gone(const struct http_request *req)
{
    return req->is_gone;
}

/* First field of this name (compared without case), false if there is none. */
bool http_request_header(const struct http_request *req, struct str name, struct str *value);
unsigned http_request_header_count(const struct http_request *req, struct str name);

/* Open-ended answers (server-sent events).
 *
 * A client that has shut down its sending side keeps its stream: it is found gone by a write. */

/* Sends the header (res->body is not used) and keeps the answer open: chunked, or ended by the
 * connection's end for HTTP/1.0.
 *
 * Returns NULL when there is nothing to stream to: the request was HEAD, or the client has gone.
 * Then the request is over.
 *
 * The stream ends by http_stream_close, or by on_gone when the client went first; after either it
 * is gone. on_writable runs once after each http_stream_want_room. Either may be NULL. */
struct http_stream *http_stream_start(struct http_request *req, const struct http_response *res,
                                      void (*on_writable)(struct http_stream *st),
                                      void (*on_gone)(struct http_stream *st));
/* ERR_BUSY: bytes wait already, and with these they would be more than limits.stream_queue_max;
 * nothing was taken. What is larger than the limit is taken alone, or it could never be sent. */
MUST_CHECK enum err http_stream_write(struct http_stream *st, struct str bytes);
/* Bytes that wait to be written. */
size_t http_stream_queued(const struct http_stream *st);
/* Asks for on_writable when at most this many bytes wait; more must wait now. Replaces an earlier
 * wish. A write that was refused has asked already, for half of the limit. */
void http_stream_want_room(struct http_stream *st, size_t most);
/* Asks to be told, once, when the client sends no more: one that only listens looks the same as one
 * that has gone, and only writing finds out. */
void http_stream_on_half(struct http_stream *st, void (*on_half)(struct http_stream *st));
/* May be preceded by last bytes (an overflow event) that are taken whatever waits. */
void http_stream_close(struct http_stream *st, struct str last);
#endif
