/* Port: one connection that carries bytes, and the two sides that meet at it.
 *
 * A transport is implemented by an adapter (libuv TCP in loop/tcp.h, a loop-back in
 * http/loopback.h) and used by a protocol, which hands in its own functions as transport_user. The
 * port knows neither libuv nor HTTP, so that either side is tested without the other.
 *
 * Life: acceptor->ops->accept gives a new transport its user. From then on the user hears of bytes
 * until it has called close; on_closed follows later, exactly once, never inside close, and is the
 * last call. The adapter never closes by itself: it says on_eof or on_broken and waits for close.
 * Thread: loop thread.
 */
#ifndef ORDERLY_INFRA_LOOP_TRANSPORT_H
#define ORDERLY_INFRA_LOOP_TRANSPORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;
struct transport_user;
struct transport_acceptor;

struct transport_ops {
    /* Writes what the peer takes at once: the number of bytes taken (0: none now), or -1 when the
     * connection is broken. Not while an asynchronous write is under way. */
    long (*try_write)(struct transport *t, const char *p, size_t n);
    /* Starts to write all n bytes; they stay put until on_written. One at a time. */
    void (*write)(struct transport *t, const char *p, size_t n);
    /* Bytes of the asynchronous write that the system has not taken yet. */
    size_t (*unsent)(const struct transport *t);
    /* Bytes that the peer has not confirmed, those in the system's buffers included: while this
     * changes, a slow peer is alive. */
    size_t (*unconfirmed)(const struct transport *t);
    void (*set_reading)(struct transport *t, bool on);
    /* Tells the peer that no more bytes come. Reading goes on. Not while a write is under way. */
    void (*shutdown)(struct transport *t);
    /* Ends the connection, whatever is under way; on_written does not run any more. Once. */
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    struct transport_user *user; /* set by accept */
};

struct transport_user_ops {
    /* The bytes are the adapter's and gone after the call. */
    void (*on_read)(struct transport_user *u, const char *p, size_t n);
    void (*on_eof)(struct transport_user *u);     /* the peer sends no more; it may still read */
    void (*on_broken)(struct transport_user *u);  /* reset, or a write failed */
    void (*on_written)(struct transport_user *u); /* the asynchronous write is through */
    void (*on_closed)(struct transport_user *u);
};

struct transport_user {
    const struct transport_user_ops *ops;
};

struct transport_peer {
    uint8_t address[16]; /* IPv6, or IPv4 mapped into it */
    uint16_t port;
    bool is_loopback;
};

struct transport_acceptor_ops {
    /* A new connection, not reading yet. Sets t->user, which never is NULL: who does not want the
     * connection closes it in here or soon after. */
    void (*accept)(struct transport_acceptor *a, struct transport *t,
                   const struct transport_peer *peer);
    /* Once or more per turn of the loop, after callbacks have run: writes what waits. */
    void (*flush)(struct transport_acceptor *a);
    /* About every 100 ms while there are connections: looks after timeouts. */
    void (*tick)(struct transport_acceptor *a);
};

struct transport_acceptor {
    const struct transport_acceptor_ops *ops;
};
#endif
