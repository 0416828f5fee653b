/* A transport without sockets: what the client sends is handed to the server at once, what the
 * server answers is collected. For tests of handlers and for the simulator. */
#ifndef ORDERLY_INFRA_HTTP_LOOPBACK_H
#define ORDERLY_INFRA_HTTP_LOOPBACK_H
#include "orderly/base/buf.h"
#include "orderly/infra/http/http.h"
#include <stdbool.h>

struct loopback {
    struct http_server *server;

    /* What the client has seen. */
    struct buf received; /* all bytes from the server */
    bool is_shut;        /* the server sends no more */
    bool is_closed;      /* the connection has ended */
    bool is_reading;     /* the server wants bytes */

    /* The client's behaviour. */
    size_t window; /* bytes that the client takes before it stalls; SIZE_MAX at first */

    /* Own. */
    struct transport transport;
    struct buf unread; /* sent while the server did not read */
    const char *writing;
    size_t writing_len, writing_done;
    bool is_eof_sent, is_eof_told, is_closing, is_broken;
};

/* A client from 127.0.0.1. l stays put until loopback_deinit. */
void loopback_connect(struct loopback *l, struct http_server *server);
void loopback_connect_from(struct loopback *l, struct http_server *server,
                           const struct transport_peer *peer);
/* Gives the bytes to the server and lets it write its answers. */
void loopback_send(struct loopback *l, struct str bytes);
/* The same, one call for each byte. */
void loopback_send_bytewise(struct loopback *l, struct str bytes);
/* The client sends no more (half close). */
void loopback_shutdown(struct loopback *l);
/* The client is gone: a reset. */
void loopback_reset(struct loopback *l);
/* One turn of the loop: flush, deliver what waits, tell closings. Call it after answers that were
 * given from outside a read. */
void loopback_turn(struct loopback *l);
/* Ends the connection if it is still there, and frees. */
void loopback_deinit(struct loopback *l);
#endif
