#include "orderly/infra/http/loopback.h"
#include "orderly/base/mem.h"

static struct loopback *loopback_of(const struct transport *t)
{
    return container_of(t, struct loopback, transport);
}

/* Moves what the client takes now from p to `received`. */
static size_t deliver(struct loopback *l, const char *p, size_t n)
{
    if (n > l->window)
        n = l->window;
    if (n > 0)
        buf_add(&l->received, p, n);
    if (l->window != SIZE_MAX)
        l->window -= n;
    return n;
}

static long try_write(struct transport *t, const char *p, size_t n)
{
    struct loopback *l = loopback_of(t);

    REQUIRE(!l->is_closing && !l->is_shut);
    REQUIRE(l->writing == NULL);
    if (l->is_broken)
        return -1;
    return (long)deliver(l, p, n);
}

static void write_all(struct transport *t, const char *p, size_t n)
{
    struct loopback *l = loopback_of(t);

    REQUIRE(!l->is_closing && !l->is_shut);
    REQUIRE(l->writing == NULL);
    l->writing = p;
    l->writing_len = n;
    l->writing_done = 0;
}

static size_t unsent(const struct transport *t)
{
    const struct loopback *l = loopback_of(t);

    return l->writing != NULL ? l->writing_len - l->writing_done : 0;
}

static void set_reading(struct transport *t, bool on)
{
    loopback_of(t)->is_reading = on;
}

static void shut(struct transport *t)
{
    struct loopback *l = loopback_of(t);

    REQUIRE(l->writing == NULL);
    REQUIRE(!l->is_shut);
    l->is_shut = true;
}

static void close_transport(struct transport *t)
{
    struct loopback *l = loopback_of(t);

    REQUIRE(!l->is_closing);
    l->is_closing = true;
    l->is_reading = false;
    l->is_shut = true;
    l->writing = NULL;
}

static const struct transport_ops ops = {
    .try_write = try_write,
    .write = write_all,
    .unsent = unsent,
    .unconfirmed = unsent,
    .set_reading = set_reading,
    .shutdown = shut,
    .close = close_transport,
};

void loopback_connect_from(struct loopback *l, struct http_server *server,
                           const struct transport_peer *peer)
{
    struct transport_acceptor *a = http_server_acceptor(server);

    *l = (struct loopback){ .server = server, .window = SIZE_MAX, .transport = { &ops, NULL } };
    a->ops->accept(a, &l->transport, peer);
    loopback_turn(l);
}

void loopback_connect(struct loopback *l, struct http_server *server)
{
    static const struct transport_peer local = {
        .address = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
        .port = 49152,
        .is_loopback = true,
    };

    loopback_connect_from(l, server, &local);
}

/* One thing that the connection has to be told; false if there is none. */
static bool step(struct loopback *l)
{
    struct transport_user *u = l->transport.user;

    if (l->is_closing) {
        l->is_closed = true;
        u->ops->on_closed(u);
        return false;
    }
    if (l->is_broken) {
        u->ops->on_broken(u);
        return true;
    }
    if (l->writing != NULL && l->window > 0) {
        l->writing_done +=
            deliver(l, l->writing + l->writing_done, l->writing_len - l->writing_done);
        if (l->writing_done < l->writing_len)
            return false;
        l->writing = NULL;
        u->ops->on_written(u);
        return true;
    }
    if (!l->is_reading)
        return false;
    if (l->unread.n > 0) {
        struct buf bytes = l->unread;

        l->unread = (struct buf){ 0 };
        u->ops->on_read(u, bytes.p, bytes.n);
        buf_deinit(&bytes);
        return true;
    }
    if (l->is_eof_sent && !l->is_eof_told) {
        l->is_eof_told = true;
        u->ops->on_eof(u);
        return true;
    }
    return false;
}

void loopback_turn(struct loopback *l)
{
    http_server_flush(l->server);
    while (!l->is_closed && step(l))
        http_server_flush(l->server);
}

void loopback_send(struct loopback *l, struct str bytes)
{
    REQUIRE(!l->is_eof_sent);
    if (l->is_closed || bytes.n == 0)
        return; /* as a socket: what is sent to nobody is lost */
    buf_add(&l->unread, bytes.p, bytes.n);
    loopback_turn(l);
}

void loopback_send_bytewise(struct loopback *l, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        loopback_send(l, (struct str){ bytes.p + i, 1 });
}

void loopback_shutdown(struct loopback *l)
{
    l->is_eof_sent = true;
    loopback_turn(l);
}

void loopback_reset(struct loopback *l)
{
    l->is_broken = true;
    loopback_turn(l);
}

void loopback_deinit(struct loopback *l)
{
    if (!l->is_closed)
        loopback_reset(l);
    ENSURE(l->is_closed);
    buf_deinit(&l->received);
    buf_deinit(&l->unread);
}
