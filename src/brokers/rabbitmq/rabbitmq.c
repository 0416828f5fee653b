/* The adapter for RabbitMQ: AMQP 0-9-1 by rabbitmq-c's codec.
 *
 * Out: a topic exchange, routed by topic; messages are persistent and confirmed. In: a durable queue
 * bound to that exchange; what is not acked comes again. Each way has a connection of its own
 * (link.h says why); where one is lost, both are begun anew. */
#include "attributes.h"
#include "lookup.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "reason.h"
#include "receiver.h"
#include "sender.h"
#include <errno.h>
#include <poll.h>

#define SERVE_FRAMES_MAX 1024u /* of each way, in one call of serve */
#define CLOSE_MS 1000
#define USER_MAX 255u
#define PASSWORD_MAX 4096u

struct rabbitmq {
    struct broker broker;
    const struct broker_config *config;
    struct address address;
    unsigned host_next; /* where the next connect begins: behind the host that failed last */
    struct sender sender;
    struct receiver receiver;
    bool receives;
    char name_out[SHORT_STRING_MAX], name_in[SHORT_STRING_MAX];
};

static struct rabbitmq *rabbitmq_of(struct broker *b)
{
    return (struct rabbitmq *)b; /* its first member */
}

/* ---- a connection's beginning and end */

static bool connect_to(struct rabbitmq *r, struct address_host *host, SSL_CTX *tls,
                       int64_t deadline_ms)
{
    struct link *out = &r->sender.link, *in = &r->receiver.link;

    if (!link_open(out, host, tls, r->address.vhost, r->config, r->name_out, deadline_ms))
        return false;
    if (sender_begin(&r->sender, deadline_ms)) {
        if (!r->receives)
            return true;
        if (link_open(in, host, tls, r->address.vhost, r->config, r->name_in, deadline_ms)) {
            if (receiver_begin(&r->receiver, deadline_ms))
                return true;
            link_close(in, stream_now_ms());
        }
    }
    link_close(out, stream_now_ms());
    return false;
}

static enum broker_result rabbitmq_connect(struct broker *b, int timeout_ms)
{
    struct rabbitmq *r = rabbitmq_of(b);
    unsigned n = r->address.n_hosts;
    int64_t now_ms = stream_now_ms(), deadline_ms = now_ms + timeout_ms;
    SSL_CTX *tls = NULL;
    bool done = false;

    if (r->address.is_tls && !(tls = stream_tls_context(r->config, b->why)))
        return BROKER_LOST;
    for (unsigned i = 0; i < n && !done && (i == 0 || now_ms < deadline_ms); i++) {
        /* Each host has its share of the time that is left: one that is silent keeps none from
         * being asked. */
        done = connect_to(r, &r->address.hosts[r->host_next], tls,
                          now_ms + (deadline_ms - now_ms) / (n - i));
        if (!done)
            r->host_next = (r->host_next + 1) % n;
        now_ms = stream_now_ms();
    }
    SSL_CTX_free(tls);
    return done ? BROKER_OK : BROKER_LOST;
}

static void rabbitmq_disconnect(struct broker *b)
{
    struct rabbitmq *r = rabbitmq_of(b);
    int64_t deadline_ms = stream_now_ms() + CLOSE_MS;

    /* Acks first: what is published and not confirmed is published again in any case. */
    if (r->receives)
        link_close(&r->receiver.link, deadline_ms);
    link_close(&r->sender.link, deadline_ms);
}

static void rabbitmq_destroy(struct broker *b)
{
    struct rabbitmq *r = rabbitmq_of(b);

    sender_deinit(&r->sender);
    if (r->receives)
        receiver_deinit(&r->receiver);
    for (unsigned i = 0; i < r->address.n_hosts; i++)
        lookup_leave(&r->address.hosts[i]);
    mem_free(r);
}

/* ---- in between */

static enum broker_result rabbitmq_publish(struct broker *b, const struct broker_message *m)
{
    return sender_publish(&rabbitmq_of(b)->sender, m);
}

static enum broker_result rabbitmq_ack(struct broker *b, uint64_t handle)
{
    struct rabbitmq *r = rabbitmq_of(b);

    if (!r->receives)
        return BROKER_OK;
    receiver_ack(&r->receiver, handle);
    if (link_waiting(&r->receiver.link) < LINK_OUT_MAX || link_flush(&r->receiver.link))
        return BROKER_OK;
    return BROKER_LOST;
}

static void rabbitmq_stop_receiving(struct broker *b)
{
    struct rabbitmq *r = rabbitmq_of(b);

    if (r->receives)
        receiver_stop(&r->receiver);
}

static bool flush(struct rabbitmq *r)
{
    return link_flush(&r->sender.link) && (!r->receives || link_flush(&r->receiver.link));
}

/* *n: frames that were read; more of them than fit in a call count as read too. */
static bool work(struct rabbitmq *r, unsigned *n)
{
    unsigned out = 0, in = 0;

    if (!flush(r) || !sender_serve(&r->sender, SERVE_FRAMES_MAX, &out) ||
        (r->receives && !receiver_serve(&r->receiver, SERVE_FRAMES_MAX, &in)))
        return false;
    *n = out + in;
    return true;
}

static struct pollfd poll_of(const struct link *l, bool is_read)
{
    short events = stream_events(&l->stream, link_waiting(l) > 0);

    if (!is_read && !l->stream.write_wants_data)
        events &= (short)~POLLIN;
    return (struct pollfd){ .fd = l->stream.fd, .events = events };
}

/* Heartbeats, on each way by itself: one may be silent while the other has all the work. */
static bool tick(struct rabbitmq *r, int64_t now_ms, int64_t *due_ms)
{
    return link_tick(&r->sender.link, now_ms, due_ms) &&
           (!r->receives || link_tick(&r->receiver.link, now_ms, due_ms));
}

/* Until something may be done, the broker's silence must be looked at, or it is due_ms. */
static bool wait_for_any(struct rabbitmq *r, int wake_fd, int64_t now_ms, int64_t due_ms)
{
    struct pollfd p[3] = { { .fd = wake_fd, .events = POLLIN }, poll_of(&r->sender.link, true) };
    nfds_t n = 2;

    if (r->receives)
        p[n++] = poll_of(&r->receiver.link, !r->receiver.is_full);
    if (poll(p, n, due_ms > now_ms ? (int)(due_ms - now_ms) : 0) < 0 && errno != EINTR) {
        reason_write(r->broker.why, "poll fails");
        return false;
    }
    if (r->receives && r->receiver.is_full && p[2].revents & (POLLERR | POLLHUP)) {
        /* Nobody reads what would say it. */
        reason_write(r->broker.why, "the broker has closed the connection");
        return false;
    }
    return true;
}

static enum broker_result rabbitmq_serve(struct broker *b, int wake_fd, int wait_ms)
{
    struct rabbitmq *r = rabbitmq_of(b);
    int64_t now_ms, due_ms;
    unsigned n = 0;

    if (!work(r, &n))
        return BROKER_LOST;
    now_ms = stream_now_ms();
    due_ms = now_ms + wait_ms;
    if (!tick(r, now_ms, &due_ms))
        return BROKER_LOST;
    if (n == 0 && (!wait_for_any(r, wake_fd, now_ms, due_ms) || !work(r, &n)))
        return BROKER_LOST;
    return flush(r) ? BROKER_OK : BROKER_LOST; /* acks that the host gave meanwhile */
}

/* ---- configuration */

static bool is_short(struct str s, const char *what, size_t max, char *why)
{
    if (s.n <= max)
        return true;
    reason_write(why, "its %s has more than %zu bytes", what, max);
    return false;
}

static bool is_possible(const struct broker_config *c, const struct address *a, char *why)
{
    if (c->channel.n == 0) {
        reason_write(why, "the channel is empty, and messages can't be sent to an exchange "
                          "without a name by topic");
        return false;
    }
    if (!is_short(c->channel, "channel", SHORT_STRING_MAX, why) ||
        !is_short(c->group, "group", SHORT_STRING_MAX, why) ||
        !is_short(c->user, "user", USER_MAX, why) ||
        !is_short(c->password, "password", PASSWORD_MAX, why) ||
        !is_short(c->attribute_prefix, "prefix of attributes", TABLE_KEY_MAX / 2, why))
        return false;
    for (unsigned i = 0; i < c->n_listens; i++)
        if (!is_short(c->listens[i], "pattern", SHORT_STRING_MAX, why))
            return false;
    if (c->n_listens && c->group.n == 0) {
        reason_write(why, "the group, which names the queue, is empty");
        return false;
    }
    if (c->token.n || c->credentials.n) {
        reason_write(why,
                     "RabbitMQ lets in by user and password, or by certificate; it knows no %s",
                     c->token.n ? "token" : "file of credentials");
        return false;
    }
    if (c->password.n && c->user.n == 0) {
        reason_write(why, "a password is configured, and no user whose it is");
        return false;
    }
    if (!a->is_tls && (c->tls_ca.n || c->tls_certificate.n || c->tls_key.n)) {
        reason_write(why,
                     "TLS is configured, but the URL begins with amqp://; amqps:// asks for it");
        return false;
    }
    if ((c->tls_certificate.n == 0) != (c->tls_key.n == 0)) {
        reason_write(why, "a client's certificate and its key need each other");
        return false;
    }
    return true;
}

static const struct broker_ops rabbitmq_ops = { .destroy = rabbitmq_destroy,
                                                .connect = rabbitmq_connect,
                                                .publish = rabbitmq_publish,
                                                .ack = rabbitmq_ack,
                                                .serve = rabbitmq_serve,
                                                .stop_receiving = rabbitmq_stop_receiving,
                                                .disconnect = rabbitmq_disconnect };

static struct broker *rabbitmq_create(const struct broker_config *config, struct broker_host *host,
                                      char *why)
{
    struct address address;
    struct rabbitmq *r;

    if (!address_parse(&address, config->url, why) || !is_possible(config, &address, why))
        return NULL;
    r = mem_zalloc(sizeof(*r));
    r->broker.ops = &rabbitmq_ops;
    r->config = config;
    r->address = address;
    r->receives = config->n_listens > 0;
    (void)snprintf(r->name_out, sizeof(r->name_out), "%s out", config->name.p);
    (void)snprintf(r->name_in, sizeof(r->name_in), "%s in", config->name.p);
    sender_init(&r->sender, config, host, r->broker.why);
    if (r->receives)
        receiver_init(&r->receiver, config, host, r->broker.why);
    return &r->broker;
}

extern const struct broker_module broker_module;
__attribute__((visibility("default")))
const struct broker_module broker_module = { .abi = BROKER_ABI,
                                             .name = "rabbitmq",
                                             .schemes = "amqp amqps",
                                             .library = "rabbitmq-c " AMQ_VERSION_STRING,
                                             .attribute_prefix = ATTRIBUTE_PREFIX,
                                             .create = rabbitmq_create };
