/* One connection: what of it is read, answered and written.
 *
 * Input is a row of requests; `phase` says what the next byte belongs to:
 *
 *   HEAD --head complete--> BODY or CHUNKS --body complete--> HEAD
 *     |                          |
 *     '------- fault, or a request or an answer that closes -------> OVER
 *
 * In OVER no byte is a request any more. When every request is then answered and written, the
 * connection lingers: it has told the peer that no more comes, and drops what the peer still sends
 * until that ends too, because a close on unread bytes would reset the peer before it has read
 * the answer.
 *
 * Output leaves by http_server_flush only, never from within http_respond, so that no callback
 * runs inside it. A connection that waits for that is in the server's dirty list.
 *
 * In HEAD, reading stops ("blocked") while too many requests or bytes wait; bytes that were
 * received already stay in the stash.
 */
#ifndef ORDERLY_INFRA_HTTP_CONN_H
#define ORDERLY_INFRA_HTTP_CONN_H
#include "chunks.h"
#include "head.h"
#include "orderly/infra/http/http.h"
#include "wheel.h"
#include <llhttp.h>

enum conn_phase { PHASE_HEAD, PHASE_BODY, PHASE_CHUNKS, PHASE_OVER };

enum conn_wait { WAIT_NOTHING, WAIT_IDLE, WAIT_HEADER, WAIT_BODY, WAIT_LINGER };

struct http_address {
    struct map_node node;
    uint8_t key[16];
    unsigned connections;
};

struct http_conn {
    struct transport_user user;
    struct transport *transport;
    struct http_server *server;
    struct transport_peer peer;
    struct http_address *address; /* NULL: not counted */
    struct list link;             /* server->conns or free_conns */
    struct list dirty_link;

    /* Requests whose answers are not in `out` as a whole, oldest first. */
    struct list requests;
    unsigned n_requests;

    /* Input. */
    enum conn_phase phase;
    struct http_request *current; /* whose head or body is being read */
    struct head_scan scan;
    unsigned empty_lines;
    struct http_buf stash; /* received, not used yet */
    uint64_t body_left;    /* PHASE_BODY */
    struct chunks chunks;
    llhttp_t parser;
    unsigned n_headers_max;
    bool is_head_done; /* by the parser */
    bool is_message_done;
    unsigned n_hosts; /* fields seen, and what else the head says about the message */
    bool has_close, has_keep_alive, has_coding, expects_other;
    enum { CODING_NONE, CODING_CHUNKED, CODING_UNKNOWN, CODING_BAD } coding;
    bool coding_before;      /* one that is not chunked came before */
    int64_t head_started_us; /* 0: no byte of it yet */
    int64_t body_started_ms;
    size_t discarded;

    /* Output. */
    struct http_buf out;     /* next to be written */
    struct http_buf writing; /* handed to the transport */
    int64_t progress_ms;
    size_t unconfirmed_seen;

    struct wheel_node read_timer, write_timer;
    enum conn_wait wait;
    bool is_reading, is_processing, is_blocked;
    bool
        has_ended; /* an answer with Connection: close is complete; the requests after it are void */
    bool is_eof, is_lingering, is_closed;
    bool is_counted, is_refused; /* among the open ones, among those refused with an answer */
};

/* conn.c: life and timers */
void conn_init(struct http_conn *c, struct http_server *s, struct transport *t,
               const struct transport_peer *peer);
void conn_close(struct http_conn *c);
/* Nothing more is read as a request; the connection ends after what is owed. */
void conn_stop_input(struct http_conn *c);
void conn_mark_dirty(struct http_conn *c);
void conn_set_reading(struct http_conn *c, bool on);
/* Sets the read timer to what is waited for now. */
void conn_update_wait(struct http_conn *c);
/* Waits for the next request, and nothing of it is there. */
bool conn_is_idle(const struct http_conn *c);
/* Writes what waits, goes on reading if it may, ends what is over. */
void conn_flush(struct http_conn *c);

/* input.c: bytes to requests */
void input_take(struct http_conn *c, const char *p, size_t n);
/* The peer sends no more. */
void input_end(struct http_conn *c);
/* Goes on with the stash if the connection was blocked and is not any more. */
void input_resume(struct http_conn *c);
void input_fault(struct http_conn *c, enum http_fault fault);

/* parse.c: the head through llhttp, and what it means for the message */
bool parse_head(struct http_conn *c, struct http_request *req, const char *p, size_t n,
                enum http_fault *fault);
/* More of a chunked body. False: the parser does not agree. */
bool parse_chunks(struct http_conn *c, const char *p, size_t n);

/* body.c */
void body_start(struct http_request *req, uint64_t expected);
void body_add(struct http_request *req, const char *p, size_t n);

/* output.c: bytes to the transport */
void output_write(struct http_conn *c); /* what the transport takes */
void output_on_written(struct http_conn *c);
void output_on_stall_timer(struct wheel_node *n);
size_t output_waiting(const struct http_conn *c);
/* Room for n more bytes behind b->end. */
char *output_reserve(struct http_server *s, struct http_buf *b, size_t n);
void output_add(struct http_server *s, struct http_buf *b, const char *p, size_t n);
void output_release(struct http_server *s, struct http_buf *b);
static inline size_t buf_len(const struct http_buf *b)
{
    return b->end - b->start;
}

/* request.c: the life of a request, and the order of answers */
struct http_request *request_create(struct http_conn *c);
void request_ref(struct http_request *req);
void request_unref(struct http_request *req);
/* Where the bytes of its answer go now; NULL if nobody reads them. */
struct http_buf *request_output(struct http_request *req);
/* No more bytes of its answer come. */
void request_finish(struct http_request *req);
/* Lets go of all requests: their client has gone. */
void request_drop_all(struct http_conn *c);
/* The peer sends no more: tells those who want to know. */
void request_tell_half(struct http_conn *c);
/* Counts the answer, decides whether the connection ends after it. */
void request_note_answer(struct http_request *req, const struct http_response *res, bool closes);
void request_fault(struct http_request *req, enum http_fault fault, bool closes);

/* answer.c */
enum answer_framing { ANSWER_LENGTH, ANSWER_CHUNKED, ANSWER_UNTIL_CLOSE };
void answer_write_continue(struct http_server *s, struct http_buf *b);
/* closes_after of the request must be settled. */
void answer_write(struct http_request *req, const struct http_response *res,
                  enum answer_framing framing);

/* host.c */
bool host_is_allowed(const struct http_config *config, struct str name);

static inline int64_t server_now_ms(const struct http_server *s)
{
    return s->now_us / 1000;
}
void server_read_clock(struct http_server *s);
void server_accept(struct transport_acceptor *a, struct transport *t,
                   const struct transport_peer *peer);
/* The transport has let go of the connection. */
void server_forget_conn(struct http_conn *c);

#endif
