/* The loop's side of a relay. */
#include "orderly/infra/relay/broker_relay.h"
#include "orderly/base/mem.h"
#include "relay_private.h"
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct broker_relay *relay_of_port(struct relay *port)
{
    return container_of(port, struct broker_relay, port);
}

static void wake(struct broker_relay *r)
{
    const uint64_t one = 1;
    ssize_t n;

    do {
        n = write(r->wake_fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    ENSURE(n == (ssize_t)sizeof(one) || errno == EAGAIN); /* full: it can be read anyway */
}

/* ---- out ------------------------------------------------------------------------------------- */

static void on_delivery(struct relay *port, struct delivery *d)
{
    struct broker_relay *r = relay_of_port(port);
    struct relay_item *item;
    bool was_empty;

    if (list_is_empty(&r->free)) { /* the window, and lanes that are read back beside it */
        delivery_unavailable(d);
        return;
    }
    item = container_of(list_pop_front(&r->free), struct relay_item, letter.link);
    item->delivery = d;
    item->message = d->message;
    uv_mutex_lock(&r->lock);
    was_empty = list_is_empty(&r->handed);
    list_push_back(&r->handed, &item->letter.link);
    uv_mutex_unlock(&r->lock);
    if (was_empty)
        wake(r);
}

static void end_item(struct broker_relay *r, struct relay_item *item)
{
    struct delivery *d = item->delivery;
    struct failure failure = { .code = FAILURE_CODE_REFUSED_BY_BROKER };

    item->delivery = NULL;
    item->message = NULL;
    list_push_back(&r->free, &item->letter.link);
    switch (item->outcome) {
    case RELAY_ACKED:
        delivery_done(d);
        break;
    case RELAY_UNAVAILABLE:
        delivery_unavailable(d);
        break;
    case RELAY_REFUSED:
        failure.detail = str_of(item->why);
        delivery_failed(d, &failure);
        mem_free(item->why);
        item->why = NULL;
        break;
    }
}

/* ---- in -------------------------------------------------------------------------------------- */

static void on_settled(void *ctx, struct relay_received *received)
{
    struct broker_relay *r = ctx;
    bool was_empty;

    uv_mutex_lock(&r->lock);
    was_empty = list_is_empty(&r->settled);
    list_push_back(&r->settled, &received->letter.link);
    uv_mutex_unlock(&r->lock);
    if (was_empty)
        wake(r);
}

static void on_inbound_ready(void *ctx)
{
    struct broker_relay *r = ctx;

    mailbox_ring(&r->mailbox);
}

/* What it listens to is another's to say than what it passes on: contexts that are elsewhere, or whose
 * settings leave the answers to others. */
static void listen_now(struct broker_relay *r)
{
    struct str patterns[APP_LISTENS_MAX];
    unsigned n = r->config.listens ? app_listens(r->config.app, patterns) : 0;
    bool is_same = n == r->n_listens;

    for (unsigned i = 0; i < n && is_same; i++)
        is_same = str_eq(patterns[i], r->listens[i]);
    if (is_same)
        return;
    uv_mutex_lock(&r->lock);
    for (unsigned i = 0; i < n; i++)
        r->listens[i] = patterns[i];
    r->n_listens = n;
    r->asked_to_listen = true;
    uv_mutex_unlock(&r->lock);
    wake(r);
}

static void on_contexts_changed(struct relay *port)
{
    listen_now(relay_of_port(port));
}

/* ---- what people are told -------------------------------------------------------------------- */

static void say(struct broker_relay *r, enum log_level level, const char *event, const char *why)
{
    char behind[24];
    int n = snprintf(behind, sizeof(behind), "%llu",
                     (unsigned long long)subscription_lag(r->port.subscription));
    const struct log_field fields[] = {
        { "relay", subscription_name(r->config.id) },
        { "broker", r->config.broker.address },
        { "behind", { behind, (size_t)n } },
        { "why", str_of(why) },
    };

    log_write(r->config.log, level, event, fields, ARRAY_LEN(fields) - (why[0] == 0));
}

/* Connecting, losing and what else keeps a relay from getting on, once for each reason. */
static void take_status(struct broker_relay *r)
{
    struct relay *port = &r->port;
    struct relay_status status;
    bool is_news;

    uv_mutex_lock(&r->lock);
    status = r->status;
    uv_mutex_unlock(&r->lock);
    is_news = strcmp(status.why, port->why) != 0;
    if (status.is_connected) {
        if (!port->is_connected)
            say(r, LOG_INFO, "relay_connected", "");
        if (is_news && status.why[0])
            say(r, LOG_WARN, "relay_stuck", status.why);
        else if (is_news && port->is_connected)
            say(r, LOG_INFO, "relay_goes_on", "");
    } else if (port->is_connected) {
        if (!r->is_closing)
            say(r, LOG_WARN, "relay_lost", status.why);
    } else if (is_news && status.why[0]) {
        say(r, LOG_WARN, "relay_unreachable", status.why);
    }
    port->counts = status.counts;
    port->is_connected = status.is_connected;
    memcpy(port->why, status.why, sizeof(port->why));
}

/* ---- pace ------------------------------------------------------------------------------------ */

static int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static struct relay_pace_totals totals_of(const struct broker_relay *r)
{
    const struct histogram *h = &app_metrics(r->config.app)->publish_accepted;

    return (struct relay_pace_totals){ h->n, h->sum_us, r->port.counts.published };
}

/* Whenever the thread has told something, which it does as long as it publishes or has a limit. */
static void set_pace(struct broker_relay *r)
{
    struct relay_pace_totals totals = totals_of(r);

    if (!relay_pace_look(&r->pace, now_ms(), &totals) || r->port.limit == r->pace.limit)
        return;
    r->port.limit = r->pace.limit;
    uv_mutex_lock(&r->lock);
    r->limit_wanted = r->port.limit;
    uv_mutex_unlock(&r->lock);
}

/* ---- letters --------------------------------------------------------------------------------- */

static void on_mailbox_closed(struct mailbox *m)
{
    struct broker_relay *r = container_of(m, struct broker_relay, mailbox);

    r->on_closed(r->closed_ctx); /* last: it may destroy the relay */
}

static void take_letter(struct broker_relay *r, struct relay_letter *letter)
{
    switch ((enum relay_letter_kind)letter->kind) {
    case RELAY_LETTER_ITEM:
        end_item(r, container_of(letter, struct relay_item, letter));
        break;
    case RELAY_LETTER_RECEIVED:
        relay_inbound_take(&r->inbound, container_of(letter, struct relay_received, letter));
        break;
    case RELAY_LETTER_STATUS:
        uv_mutex_lock(&r->lock);
        r->is_status_posted = false;
        uv_mutex_unlock(&r->lock);
        take_status(r); /* behind that: what comes later is posted again */
        break;
    case RELAY_LETTER_ENDED:
        ENSURE(uv_thread_join(&r->thread) == 0);
        r->has_thread = false;
        mailbox_close(&r->mailbox, on_mailbox_closed);
        break;
    }
}

/* A broker may send faster than messages are read: what a turn has no time for waits for the next,
 * and clients have theirs between the two. */
static void on_letters(struct mailbox *m, struct list *letters)
{
    struct broker_relay *r = container_of(m, struct broker_relay, mailbox);
    uint64_t end_ns = uv_hrtime() + RELAY_TURN_US_MAX * UINT64_C(1000);
    unsigned n = 0;

    take_status(r);
    set_pace(r);
    do {
        if (!list_is_empty(letters))
            take_letter(r, container_of(list_pop_front(letters), struct relay_letter, link));
        else if (relay_inbound_is_ready(&r->inbound))
            relay_inbound_hand_over(&r->inbound);
        else
            return;
    } while (++n < RELAY_TURN_LETTERS_MAX && uv_hrtime() < end_ns);
    if (relay_inbound_is_ready(&r->inbound))
        mailbox_ring(m);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void make_items(struct broker_relay *r)
{
    unsigned n = r->config.broker.window;

    r->items = mem_zalloc(n * sizeof(*r->items));
    list_init(&r->free);
    for (unsigned i = 0; i < n; i++) {
        r->items[i].letter.kind = RELAY_LETTER_ITEM;
        r->items[i].index = i;
        list_push_back(&r->free, &r->items[i].letter.link);
    }
}

struct broker_relay *broker_relay_create(const struct broker_relay_config *config, char *why)
{
    struct broker_relay *r = mem_zalloc(sizeof(*r));

    REQUIRE(config->broker.window >= 1 && config->broker.window <= RELAY_WINDOW_MAX);
    REQUIRE(config->broker.unacked_max >= 1 && config->broker.unacked_max <= RELAY_UNACKED_MAX);
    r->config = *config;
    r->host = relay_host;
    atomic_init(&r->held, 0);
    r->made_with[0] = r->config.broker;
    r->broker = config->module->create(&r->made_with[0], &r->host, why);
    if (!r->broker) {
        mem_free(r);
        return NULL;
    }
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->wake_fd < 0) {
        (void)snprintf(why, BROKER_WHY_MAX, "the system gives it no descriptor: %s",
                       strerror(errno));
        r->broker->ops->destroy(r->broker);
        mem_free(r);
        return NULL;
    }
    ENSURE(uv_mutex_init(&r->lock) == 0);
    mailbox_init(&r->mailbox, config->loop, on_letters);
    list_init(&r->handed);
    list_init(&r->settled);
    list_init(&r->to_ack);
    list_init(&r->todo);
    list_init(&r->unacked);
    make_items(r);
    r->status_letter.kind = RELAY_LETTER_STATUS;
    r->ended_letter.kind = RELAY_LETTER_ENDED;
    relay_render_init(&r->render, config);
    r->port.id = config->id;
    r->port.window = config->broker.window;
    r->port.begins_now = config->from == RELAY_FROM_NOW;
    r->port.handle = on_delivery;
    r->port.contexts_changed = on_contexts_changed;
    memcpy(r->port.topics, config->topics, sizeof(r->port.topics));
    app_add_relay(config->app, &r->port);
    r->inbound.ready = on_inbound_ready;
    r->inbound.settle = on_settled;
    r->inbound.ctx = r;
    relay_inbound_init(&r->inbound, config->app, config->id, config->reader,
                       config->broker.unacked_max);
    return r;
}

void broker_relay_start(struct broker_relay *r)
{
    struct relay_pace_totals totals = totals_of(r);

    REQUIRE(!r->has_thread);
    relay_pace_init(&r->pace, r->config.slack_percent, now_ms(), &totals);
    listen_now(r);
    r->has_thread = uv_thread_create(&r->thread, relay_thread_run, r) == 0;
    if (!r->has_thread) { /* no order waits for a broker, nor does the server for a thread */
        (void)snprintf(r->port.why, sizeof(r->port.why), "the system has no thread left for it");
        say(r, LOG_ERROR, "relay_stuck", r->port.why);
    }
}

/* What the thread has not taken: all of it where it is not connected. */
static void give_back_handed(struct broker_relay *r)
{
    struct list handed;

    uv_mutex_lock(&r->lock);
    list_take_all(&handed, &r->handed);
    r->asked_to_drain = true;
    uv_mutex_unlock(&r->lock);
    while (!list_is_empty(&handed)) {
        struct relay_item *item =
            container_of(list_pop_front(&handed), struct relay_item, letter.link);

        item->outcome = RELAY_UNAVAILABLE;
        end_item(r, item);
    }
}

void broker_relay_drain(struct broker_relay *r)
{
    relay_inbound_drain(&r->inbound);
    give_back_handed(r);
    if (r->has_thread)
        wake(r);
}

void broker_relay_close(struct broker_relay *r, void (*on_closed)(void *ctx), void *ctx)
{
    REQUIRE(!r->is_closing);
    r->is_closing = true;
    r->on_closed = on_closed;
    r->closed_ctx = ctx;
    relay_inbound_drain(&r->inbound); /* where nobody has asked for it */
    uv_mutex_lock(&r->lock);
    r->asked_to_drain = r->asked_to_end = true;
    uv_mutex_unlock(&r->lock);
    if (r->has_thread)
        wake(r);
    else
        mailbox_close(&r->mailbox, on_mailbox_closed);
}

void broker_relay_destroy(struct broker_relay *r)
{
    REQUIRE(!r->has_thread);
    /* Whatever the thread had it has given back before it ended, and the loop what it had not taken. */
    ENSURE(list_is_empty(&r->handed));
    ENSURE(list_is_empty(&r->todo));
    ENSURE(list_is_empty(&r->unacked));
    ENSURE(list_is_empty(&r->settled));
    ENSURE(list_is_empty(&r->to_ack));
    relay_inbound_deinit(&r->inbound, r->config.broker.unacked_max);
    relay_render_deinit(&r->render);
    r->broker->ops->destroy(r->broker);
    uv_mutex_destroy(&r->lock);
    (void)close(r->wake_fd);
    mem_free(r->items);
    mem_free(r);
}
