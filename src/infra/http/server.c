#include "conn.h"
#include "orderly/base/mem.h"

#define FREE_CONNS_MAX 1024
#define REFUSED_LINGERING_MAX 256 /* refused ones that get the time to read why, at most … */
#define REFUSED_TOLD_MS 1000
#define FLUSH_ROUNDS 32

static struct http_server *server_of(struct transport_acceptor *a)
{
    return container_of(a, struct http_server, acceptor);
}

static struct http_conn *conn_of(struct list *link)
{
    return container_of(link, struct http_conn, link);
}

void server_read_clock(struct http_server *s)
{
    s->now_us = scheduler_mono_us(s->config.clock);
}

static void acceptor_flush(struct transport_acceptor *a)
{
    http_server_flush(server_of(a));
}

static void tell_refused(struct http_server *s)
{
    int64_t now_ms = server_now_ms(s);
    uint64_t count = s->refused_untold;

    if (count == 0 || now_ms - s->refused_told_ms < REFUSED_TOLD_MS)
        return;
    s->refused_untold = 0;
    s->refused_told_ms = now_ms;
    if (s->config.handler.on_refused != NULL)
        s->config.handler.on_refused(s->config.handler.ctx, count);
}

static void acceptor_tick(struct transport_acceptor *a)
{
    struct http_server *s = server_of(a);

    server_read_clock(s);
    wheel_advance(&s->wheel, server_now_ms(s));
    tell_refused(s);
    http_server_flush(s);
}

static const struct transport_acceptor_ops acceptor_ops = {
    .accept = server_accept,
    .flush = acceptor_flush,
    .tick = acceptor_tick,
};

void http_server_init(struct http_server *s, const struct http_config *config)
{
    REQUIRE(config->handler.on_request != NULL);
    *s = (struct http_server){ .acceptor = { &acceptor_ops }, .config = *config, .date_s = -1 };
    server_read_clock(s);
    s->refused_told_ms = server_now_ms(s) - REFUSED_TOLD_MS;
    wheel_init(&s->wheel, server_now_ms(s));
    list_init(&s->conns);
    list_init(&s->dirty);
    list_init(&s->free_conns);
    list_init(&s->free_requests);
    map_init(&s->addresses, &config->map_key);
}

void http_server_deinit(struct http_server *s)
{
    REQUIRE(list_is_empty(&s->conns));
    REQUIRE(s->counters.requests_in_flight == 0);
    INVARIANT(s->addresses.len == 0);
    while (!list_is_empty(&s->free_conns))
        mem_free(conn_of(list_pop_front(&s->free_conns)));
    while (!list_is_empty(&s->free_requests))
        mem_free(container_of(list_pop_front(&s->free_requests), struct http_request, link));
    while (s->free_bufs != NULL) {
        char *p = s->free_bufs;

        memcpy(&s->free_bufs, p, sizeof(char *));
        mem_free(p);
    }
    map_deinit(&s->addresses);
}

void http_server_flush(struct http_server *s)
{
    s->date_is_fresh = false;
    if (list_is_empty(&s->dirty))
        return;
    server_read_clock(s);
    /* Flushing may make more dirty: a request that was held back, a stream that goes on. A few
     * rounds settle that; a stream that never ends must not keep the loop. */
    for (unsigned round = 0; round < FLUSH_ROUNDS && !list_is_empty(&s->dirty); round++) {
        struct list now;

        list_take_all(&now, &s->dirty);
        while (!list_is_empty(&now))
            conn_flush(container_of(list_pop_front(&now), struct http_conn, dirty_link));
    }
}

static void tell_empty(struct http_server *s)
{
    if ((!s->is_draining && !s->is_closing) || s->is_empty_told || !list_is_empty(&s->conns))
        return;
    s->is_empty_told = true;
    if (s->config.handler.on_empty != NULL)
        s->config.handler.on_empty(s->config.handler.ctx);
}

void http_server_drain(struct http_server *s)
{
    s->is_draining = true;
    for (struct list *at = s->conns.next; at != &s->conns; at = at->next)
        if (conn_is_idle(conn_of(at)))
            conn_close(conn_of(at));
    tell_empty(s);
}

void http_server_close(struct http_server *s)
{
    s->is_closing = true;
    for (struct list *at = s->conns.next; at != &s->conns; at = at->next)
        conn_close(conn_of(at));
    tell_empty(s);
}

/* An IPv6 client owns its /64, so that is what is counted. */
static void address_key(const struct transport_peer *peer, uint8_t key[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    memcpy(key, peer->address, 16);
    if (memcmp(key, mapped, sizeof(mapped)) != 0)
        memset(key + 8, 0, 8);
}

/* NULL: the address has as many connections as it may. */
static struct http_address *count_address(struct http_server *s, const struct transport_peer *peer)
{
    uint8_t key[16];
    struct map_node *node;
    struct http_address *a;

    address_key(peer, key);
    node = map_find(&s->addresses, (struct str){ (const char *)key, sizeof(key) });
    if (node != NULL) {
        a = container_of(node, struct http_address, node);
        if (a->connections >= s->config.limits.connections_per_address_max)
            return NULL;
    } else {
        a = mem_zalloc(sizeof(*a));
        memcpy(a->key, key, sizeof(key));
        map_insert(&s->addresses, &a->node, (struct str){ (const char *)a->key, sizeof(a->key) });
    }
    a->connections++;
    return a;
}

static void uncount_address(struct http_server *s, struct http_address *a)
{
    if (a == NULL || --a->connections > 0)
        return;
    map_remove(&s->addresses, &a->node);
    mem_free(a);
}

/* … and as a share of the others, so that all of them need a known number of descriptors. */
static size_t refused_lingering_max(const struct http_server *s)
{
    size_t share = s->config.limits.connections_max / HTTP_REFUSED_SHARE + 1;

    return share < REFUSED_LINGERING_MAX ? share : REFUSED_LINGERING_MAX;
}

static void refuse(struct http_conn *c, uint64_t *counter)
{
    struct http_server *s = c->server;

    ++*counter;
    s->refused_untold++;
    tell_refused(s);
    input_fault(c, HTTP_FAULT_CONNECTIONS);
    if (s->refused_lingering >= refused_lingering_max(s)) {
        output_write(c);
        conn_close(c);
        return;
    }
    c->is_refused = true;
    s->refused_lingering++;
    conn_set_reading(c, true);
}

void server_accept(struct transport_acceptor *a, struct transport *t,
                   const struct transport_peer *peer)
{
    struct http_server *s = server_of(a);
    struct http_conn *c;

    if (list_is_empty(&s->free_conns)) {
        c = mem_alloc(sizeof(*c));
    } else {
        c = conn_of(list_pop_front(&s->free_conns));
        s->n_free_conns--;
    }
    server_read_clock(s);
    conn_init(c, s, t, peer);
    t->user = &c->user;
    list_push_back(&s->conns, &c->link);
    s->counters.connections_accepted++;
    if (s->is_draining || s->is_closing) {
        s->counters.refused_closing++;
        conn_close(c);
        return;
    }
    if (s->counters.connections_open >= s->config.limits.connections_max) {
        refuse(c, &s->counters.refused_cap);
        return;
    }
    if (!peer->is_loopback) {
        c->address = count_address(s, peer);
        if (c->address == NULL) {
            refuse(c, &s->counters.refused_address);
            return;
        }
    }
    c->is_counted = true;
    s->counters.connections_open++;
    conn_set_reading(c, true);
    conn_update_wait(c);
}

void server_forget_conn(struct http_conn *c)
{
    struct http_server *s = c->server;

    uncount_address(s, c->address);
    if (c->is_counted)
        s->counters.connections_open--;
    if (c->is_refused)
        s->refused_lingering--;
    list_remove(&c->link);
    if (s->n_free_conns == FREE_CONNS_MAX) {
        mem_free(c);
    } else {
        list_push_front(&s->free_conns, &c->link);
        s->n_free_conns++;
    }
    tell_empty(s);
}
