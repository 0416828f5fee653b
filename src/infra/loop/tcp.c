#include "orderly/infra/loop/tcp.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#define FAILURES_TOLD_MS 1000
#define TICK_LATE_MS 1000

struct tcp_conn {
    uv_tcp_t handle;
    uv_write_t write_req;
    uv_shutdown_t shutdown_req;
    struct transport transport;
    struct tcp_listener *listener;
    struct list link; /* in the free list, or alone */
    bool is_closing;
};

struct tcp_listener {
    struct tcp_listener_config config;
    uv_tcp_t server;
    uv_check_t check;     /* after a poll: what its callbacks answered */
    uv_prepare_t prepare; /* before the loop blocks: what idle handles and timers answered */
    uv_timer_t tick;
    uint64_t ticked_ms; /* when the last one came */
    bool is_tick_late;  /* it came too late, and was left out */
    unsigned handles_open;
    unsigned n_conns;
    struct list free_conns;
    unsigned n_free_conns;
    int error; /* of libuv, 0: none */
    bool is_stopped, is_closing, is_finishing;
    uint64_t failures_untold;
    uint64_t failures_told_ms;
    void (*closed)(void *ctx);
    void *closed_ctx;
    char read_buf[TCP_READ_SIZE];
};

static struct tcp_conn *conn_of(const struct transport *t)
{
    return container_of(t, struct tcp_conn, transport);
}

static uv_stream_t *stream_of(struct tcp_conn *c)
{
    return (uv_stream_t *)&c->handle;
}

/* The listener's end: its handles, once nothing else is open. */

static void on_own_handle_closed(uv_handle_t *handle)
{
    struct tcp_listener *l = handle->data;
    void (*closed)(void *ctx) = l->closed;
    void *ctx = l->closed_ctx;

    if (--l->handles_open > 0)
        return;
    while (!list_is_empty(&l->free_conns))
        mem_free(container_of(list_pop_front(&l->free_conns), struct tcp_conn, link));
    mem_free(l);
    if (closed != NULL)
        closed(ctx);
}

static void finish_if_over(struct tcp_listener *l)
{
    if (!l->is_closing || l->is_finishing || l->n_conns > 0)
        return;
    l->is_finishing = true;
    uv_close((uv_handle_t *)&l->check, on_own_handle_closed);
    uv_close((uv_handle_t *)&l->prepare, on_own_handle_closed);
    uv_close((uv_handle_t *)&l->tick, on_own_handle_closed);
}

/* One connection. */

static void on_conn_closed(uv_handle_t *handle)
{
    struct tcp_conn *c = handle->data;
    struct tcp_listener *l = c->listener;

    if (c->transport.user != NULL)
        c->transport.user->ops->on_closed(c->transport.user);
    if (l->n_free_conns < TCP_FREE_CONNECTIONS_MAX) {
        list_push_front(&l->free_conns, &c->link);
        l->n_free_conns++;
    } else {
        mem_free(c);
    }
    if (--l->n_conns == 0)
        (void)uv_timer_stop(&l->tick);
    finish_if_over(l);
}

static void transport_close(struct transport *t)
{
    struct tcp_conn *c = conn_of(t);

    REQUIRE(!c->is_closing);
    c->is_closing = true;
    uv_close((uv_handle_t *)&c->handle, on_conn_closed);
}

static long transport_try_write(struct transport *t, const char *p, size_t n)
{
    uv_buf_t b = { .base = (char *)p, .len = n };
    int done = uv_try_write(stream_of(conn_of(t)), &b, 1);

    if (done == UV_EAGAIN)
        return 0;
    return done < 0 ? -1 : done;
}

static void on_write_done(uv_write_t *req, int status)
{
    struct tcp_conn *c = req->data;
    struct transport_user *u = c->transport.user;

    if (c->is_closing)
        return;
    if (status < 0)
        u->ops->on_broken(u);
    else
        u->ops->on_written(u);
}

static void transport_write(struct transport *t, const char *p, size_t n)
{
    struct tcp_conn *c = conn_of(t);
    uv_buf_t b = { .base = (char *)p, .len = n };
    int rc;

    c->write_req.data = c;
    /* Fails only without memory for its list of buffers, and one needs none. */
    rc = uv_write(&c->write_req, stream_of(c), &b, 1, on_write_done);
    ENSURE(rc == 0);
}

static size_t transport_unsent(const struct transport *t)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn_of(t)->handle);
}

static size_t transport_unconfirmed(const struct transport *t)
{
    int in_system = 0;
    uv_os_fd_t fd;

    /* The system takes megabytes at once and says that there is room again when a third of it is
     * free: a slow reader's progress is seen in its queue only. */
    if (uv_fileno((const uv_handle_t *)&conn_of(t)->handle, &fd) == 0)
        (void)ioctl(fd, SIOCOUTQ, &in_system);
    return transport_unsent(t) + (size_t)in_system;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tcp_conn *c = handle->data;

    (void)suggested;
    *out = (uv_buf_t){ .base = c->listener->read_buf, .len = sizeof(c->listener->read_buf) };
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tcp_conn *c = stream->data;
    struct transport_user *u = c->transport.user;

    if (n > 0)
        u->ops->on_read(u, buf->base, (size_t)n);
    else if (n == UV_EOF)
        u->ops->on_eof(u);
    else if (n < 0)
        u->ops->on_broken(u);
}

static void transport_set_reading(struct transport *t, bool on)
{
    struct tcp_conn *c = conn_of(t);

    /* Starting fails on a connection that is broken already; a write or a timeout finds out. */
    if (on)
        (void)uv_read_start(stream_of(c), on_alloc, on_read);
    else
        (void)uv_read_stop(stream_of(c));
}

static void on_shutdown_done(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

static void transport_shutdown(struct transport *t)
{
    struct tcp_conn *c = conn_of(t);

    /* A peer that has gone already needs no word; the user's timeout ends the connection. */
    (void)uv_shutdown(&c->shutdown_req, stream_of(c), on_shutdown_done);
}

static const struct transport_ops ops = {
    .try_write = transport_try_write,
    .write = transport_write,
    .unsent = transport_unsent,
    .unconfirmed = transport_unconfirmed,
    .set_reading = transport_set_reading,
    .shutdown = transport_shutdown,
    .close = transport_close,
};

static void read_peer(struct tcp_conn *c, struct transport_peer *peer)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    struct sockaddr_storage sa = { 0 };
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;
    int len = sizeof(sa);

    *peer = (struct transport_peer){ 0 };
    if (uv_tcp_getpeername(&c->handle, (struct sockaddr *)&sa, &len) != 0)
        return; /* gone already, which the first read will say */
    if (sa.ss_family == AF_INET) {
        memcpy(peer->address, mapped, sizeof(mapped));
        memcpy(peer->address + sizeof(mapped), &in4->sin_addr, 4);
        peer->port = ntohs(in4->sin_port);
    } else {
        memcpy(peer->address, &in6->sin6_addr, 16);
        peer->port = ntohs(in6->sin6_port);
    }
    peer->is_loopback =
        IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)peer->address) ||
        (memcmp(peer->address, mapped, sizeof(mapped)) == 0 && peer->address[12] == 127);
}

/* Listening. */

static void tell_failure(struct tcp_listener *l, int status)
{
    uint64_t now_ms = uv_now(l->config.loop);

    l->failures_untold++;
    if (l->config.on_accept_failed == NULL || now_ms - l->failures_told_ms < FAILURES_TOLD_MS)
        return;
    l->failures_told_ms = now_ms;
    l->config.on_accept_failed(l->config.ctx, l->failures_untold, uv_strerror(status));
    l->failures_untold = 0;
}

/* A process that was stopped, or starved, comes back to timers that are due before it has looked at what
 * its clients sent meanwhile. Nobody is judged by such a tick; the next one has a poll before it. One
 * is left out at most, so that timeouts are only late where every turn is. */
static void on_tick(uv_timer_t *timer)
{
    struct tcp_listener *l = timer->data;
    uint64_t now_ms = uv_hrtime() / 1000000; /* not the loop's, which may be from before the stop */

    l->is_tick_late = !l->is_tick_late && now_ms - l->ticked_ms > TICK_LATE_MS;
    l->ticked_ms = now_ms;
    if (!l->is_tick_late)
        l->config.acceptor->ops->tick(l->config.acceptor);
}

static struct tcp_conn *create_conn(struct tcp_listener *l)
{
    struct tcp_conn *c;
    int rc;

    if (list_is_empty(&l->free_conns)) {
        c = mem_alloc(sizeof(*c));
    } else {
        c = container_of(list_pop_front(&l->free_conns), struct tcp_conn, link);
        l->n_free_conns--;
    }
    *c = (struct tcp_conn){ .transport = { &ops, NULL }, .listener = l };
    list_init(&c->link);
    rc = uv_tcp_init(l->config.loop, &c->handle);
    ENSURE(rc == 0); /* opens no socket yet */
    c->handle.data = c;
    if (l->n_conns++ == 0) {
        l->ticked_ms = uv_hrtime() / 1000000;
        (void)uv_timer_start(&l->tick, on_tick, TCP_TICK_MS, TCP_TICK_MS);
    }
    return c;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct tcp_listener *l = server->data;
    struct transport_peer peer;
    struct tcp_conn *c;

    if (status < 0) {
        tell_failure(l, status);
        return;
    }
    c = create_conn(l);
    status = uv_accept(server, stream_of(c));
    if (status < 0) {
        tell_failure(l, status);
        transport_close(&c->transport);
        return;
    }
    (void)uv_tcp_nodelay(&c->handle, 1); /* an answer is one write; without it it is only later */
    read_peer(c, &peer);
    l->config.acceptor->ops->accept(l->config.acceptor, &c->transport, &peer);
    ENSURE(c->transport.user != NULL);
}

static void on_check(uv_check_t *check)
{
    struct tcp_listener *l = check->data;

    l->config.acceptor->ops->flush(l->config.acceptor);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct tcp_listener *l = prepare->data;

    l->config.acceptor->ops->flush(l->config.acceptor);
}

struct tcp_listener *tcp_listener_create(const struct tcp_listener_config *config)
{
    struct tcp_listener *l = mem_zalloc(sizeof(*l));
    int rc;

    l->config = *config;
    list_init(&l->free_conns);
    rc = uv_tcp_init(config->loop, &l->server);
    ENSURE(rc == 0);
    (void)uv_check_init(config->loop, &l->check); /* these three always succeed */
    (void)uv_prepare_init(config->loop, &l->prepare);
    (void)uv_timer_init(config->loop, &l->tick);
    l->server.data = l->check.data = l->prepare.data = l->tick.data = l;
    l->handles_open = 4;
    (void)uv_check_start(&l->check, on_check);
    (void)uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->check);
    uv_unref((uv_handle_t *)&l->prepare);
    return l;
}

enum err tcp_listener_start(struct tcp_listener *l, const struct tcp_address *address)
{
    REQUIRE(!l->is_stopped);
    l->error = uv_tcp_bind(&l->server, (const struct sockaddr *)&address->sa, 0);
    if (l->error == UV_EAFNOSUPPORT && address->is_any) {
        /* A machine without IPv6. */
        struct sockaddr_in any = { .sin_family = AF_INET };

        any.sin_port = ((const struct sockaddr_in6 *)&address->sa)->sin6_port;
        l->error = uv_tcp_bind(&l->server, (const struct sockaddr *)&any, 0);
    }
    if (l->error == 0)
        l->error = uv_listen((uv_stream_t *)&l->server, TCP_BACKLOG, on_connection);
    return l->error == 0 ? ERR_OK : ERR_IO;
}

const char *tcp_listener_error(const struct tcp_listener *l)
{
    return l->error == 0 ? "" : uv_strerror(l->error);
}

void tcp_listener_address(const struct tcp_listener *l, struct tcp_address *out)
{
    int len = sizeof(out->sa);
    char text[TCP_ADDRESS_TEXT_MAX];
    enum err e;

    *out = (struct tcp_address){ 0 };
    if (uv_tcp_getsockname(&l->server, (struct sockaddr *)&out->sa, &len) != 0)
        return;
    /* The way over the text sets what else is known of an address. */
    tcp_address_format(out, text);
    e = tcp_address_parse(str_of(text), out);
    ENSURE(e == ERR_OK);
}

unsigned tcp_listener_port(const struct tcp_listener *l)
{
    struct tcp_address a;

    tcp_listener_address(l, &a);
    if (a.sa.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&a.sa)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&a.sa)->sin_port);
}

void tcp_listener_stop(struct tcp_listener *l)
{
    if (l->is_stopped)
        return;
    l->is_stopped = true;
    uv_close((uv_handle_t *)&l->server, on_own_handle_closed);
}

void tcp_listener_close(struct tcp_listener *l, void (*closed)(void *ctx), void *ctx)
{
    REQUIRE(!l->is_closing);
    l->is_closing = true;
    l->closed = closed;
    l->closed_ctx = ctx;
    tcp_listener_stop(l);
    finish_if_over(l);
}
