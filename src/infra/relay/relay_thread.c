/* The relay's own thread. One turn: take what was handed over, publish, let the adapter work until
 * something comes, look at the clock. Between connections it waits for the next try. */
#include "orderly/base/mem.h"
#include "relay_private.h"
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Messages that one turn publishes, before the broker's answers are heard. */
#define PUBLISH_MAX 256
/* How long a turn waits where nothing has to be done: the clock is looked at this often. */
#define IDLE_MS 1000
/* While the client has no room. */
#define BUSY_MS 10
/* A turn costs about the same whether it finds one message or fifty, so one that found few is not
 * followed at once. Where the loop has set a limit, turns keep to a beat, and those that have not
 * enough to publish together only listen. A turn that comes late, as on a busy machine, may publish
 * what those that it kept waiting could have, of so much time. */
#define TURN_SMALL 64
#define TURN_MS 2
#define BEAT_MS 5
#define LATE_MS 50
/* Under a limit a broker costs less where messages come to it together, as each time it writes to its
 * disk: so many, or those of a quarter of a second where that is fewer. */
#define TOGETHER 100
#define TOGETHER_PER_S 4
/* Under a limit the broker is to have no more to work off than what it is given in this time. */
#define IN_THE_AIR_MS 1000
/* A connection that held this long was a good one: the next try after it comes soon. */
#define STEADY_MS 5000

static int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static struct broker_relay *relay_of(struct broker_host *host)
{
    return container_of(host, struct broker_relay, host);
}

static struct relay_item *item_of(struct list *link)
{
    return container_of(link, struct relay_item, letter.link);
}

/* ---- what the loop is told ------------------------------------------------------------------- */

static void post(struct broker_relay *r, struct relay_letter *letter)
{
    mailbox_post(&r->mailbox, &letter->link);
}

static void say_why(struct broker_relay *r, const char *why)
{
    char line[RELAY_WHY_MAX];

    (void)snprintf(line, sizeof(line), "%s", why);
    if (strcmp(line, r->now.why) == 0)
        return;
    memcpy(r->now.why, line, sizeof(line));
    r->has_changed = true;
}

/* The counts go with it whenever something else goes; a change goes by itself. */
static void publish_status(struct broker_relay *r)
{
    bool post_it;

    uv_mutex_lock(&r->lock);
    r->status = r->now;
    post_it = r->has_changed && !r->is_status_posted;
    r->is_status_posted |= post_it;
    uv_mutex_unlock(&r->lock);
    r->has_changed = false;
    if (post_it)
        post(r, &r->status_letter);
}

/* Whoever hears of the item finds it counted. */
static void give_back(struct broker_relay *r, struct relay_item *item, enum relay_outcome outcome)
{
    item->outcome = outcome;
    item->is_unacked = false;
    item->turn++;
    uv_mutex_lock(&r->lock);
    r->status.counts = r->now.counts;
    uv_mutex_unlock(&r->lock);
    post(r, &item->letter);
}

/* ---- what the adapter tells ------------------------------------------------------------------ */

/* NULL: of an earlier connection, or of none at all. */
static struct relay_item *find_unacked(struct broker_relay *r, uint64_t tag)
{
    uint32_t index = (uint32_t)tag;
    struct relay_item *item;

    if (index >= r->config.broker.window)
        return NULL;
    item = &r->items[index];
    return item->is_unacked && item->turn == (uint32_t)(tag >> 32) ? item : NULL;
}

static struct relay_item *take_unacked(struct broker_relay *r, uint64_t tag)
{
    struct relay_item *item = find_unacked(r, tag);

    if (item) {
        if (r->unacked.next == &item->letter.link)
            r->head_since_ms = now_ms();
        list_remove(&item->letter.link);
        item->is_unacked = false;
        r->n_unacked--;
    }
    return item;
}

static void on_acked(struct broker_host *host, uint64_t tag)
{
    struct broker_relay *r = relay_of(host);
    struct relay_item *item = take_unacked(r, tag);

    if (!item)
        return;
    r->now.counts.acked++;
    r->acked_since_connect = true;
    /* Only what was published behind it says that a refusal is over. */
    if (item->published_ms > r->again_ms) {
        r->pause_ms = 0;
        if (r->now.why[0] && !r->must_begin_anew)
            say_why(r, "");
    }
    give_back(r, item, RELAY_ACKED);
}

static void on_unrouted(struct broker_host *host, uint64_t tag)
{
    struct broker_relay *r = relay_of(host);

    if (find_unacked(r, tag))
        r->now.counts.unrouted++;
}

static void refuse(struct broker_relay *r, struct relay_item *item, struct str why)
{
    if (why.n > BUS_ERROR_DETAIL_MAX)
        why.n = BUS_ERROR_DETAIL_MAX;
    item->why = mem_alloc(why.n + 1);
    memcpy(item->why, why.p, why.n);
    item->why[why.n] = 0;
    r->now.counts.refused++;
    give_back(r, item, RELAY_REFUSED);
}

static void on_refused(struct broker_host *host, uint64_t tag, struct str why)
{
    struct broker_relay *r = relay_of(host);
    struct relay_item *item = take_unacked(r, tag);

    if (item)
        refuse(r, item, why);
}

/* All of them wait then: where one is not taken, the next will hardly be. */
static void on_again(struct broker_host *host, uint64_t tag, struct str why)
{
    struct broker_relay *r = relay_of(host);
    struct relay_item *item = take_unacked(r, tag);
    char line[RELAY_WHY_MAX];

    if (!item)
        return;
    item->turn++;
    list_push_front(&r->todo, &item->letter.link);
    r->now.counts.again++;
    r->again_ms = now_ms();
    (void)snprintf(line, sizeof(line), "not taken: " STR_FMT, STR_ARG(why));
    say_why(r, line);
    if (r->paused_until_ms > now_ms())
        return;
    r->pause_ms = r->pause_ms ? 2 * r->pause_ms : RELAY_RETRY_MS;
    if (r->pause_ms > RELAY_RETRY_MS_MAX)
        r->pause_ms = RELAY_RETRY_MS_MAX;
    r->paused_until_ms = now_ms() + r->pause_ms;
}

static void on_received(struct broker_host *host, const struct broker_delivery *d)
{
    struct broker_relay *r = relay_of(host);
    struct relay_received *received;

    if (r->is_draining)
        return; /* not acknowledged: it comes again */
    received = relay_received_copy(d, r->connection, r->config.origin, &r->held);
    received->letter.kind = RELAY_LETTER_RECEIVED;
    r->now.counts.received++;
    r->now.counts.own += received->is_own;
    post(r, &received->letter);
}

static size_t on_asked_for_room(struct broker_host *host)
{
    return relay_received_room(atomic_load(&relay_of(host)->held));
}

/* Who says that he takes nothing is neither silent nor lost, and is not asked again and again. */
static void on_blocked(struct broker_host *host, struct str why)
{
    struct broker_relay *r = relay_of(host);
    char line[RELAY_WHY_MAX];

    (void)snprintf(line, sizeof(line), STR_FMT, STR_ARG(why));
    r->is_blocked = why.n > 0;
    if (r->is_blocked)
        r->again_ms = now_ms();
    else
        r->head_since_ms = now_ms();
    say_why(r, line);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void try_later(struct broker_relay *r)
{
    bool was_steady =
        r->acked_since_connect || (r->connected_ms && now_ms() - r->connected_ms >= STEADY_MS);

    r->retry_ms = was_steady || !r->retry_ms ? RELAY_RETRY_MS : 2 * r->retry_ms;
    if (r->retry_ms > RELAY_RETRY_MS_MAX)
        r->retry_ms = RELAY_RETRY_MS_MAX;
    r->retry_at_ms = now_ms() + r->retry_ms;
    r->connected_ms = 0;
    r->acked_since_connect = false;
}

/* What was published and not acknowledged is published again, before what was not yet. */
static void take_back_unacked(struct broker_relay *r)
{
    list_for_each(link, &r->unacked)
    {
        item_of(link)->is_unacked = false;
        item_of(link)->turn++;
    }
    r->n_unacked = 0;
    list_append_all(&r->unacked, &r->todo);
    list_append_all(&r->todo, &r->unacked);
}

static void lose(struct broker_relay *r, const char *why)
{
    char line[RELAY_WHY_MAX];

    (void)snprintf(line, sizeof(line), "%s", why); /* why may be the broker's own */
    r->broker->ops->disconnect(r->broker);
    r->is_connected = r->now.is_connected = r->is_blocked = false;
    r->now.counts.losses++;
    r->has_changed = true;
    say_why(r, line);
    take_back_unacked(r);
    /* Where the loop can have it back without waiting for a connect that takes its time. */
    uv_mutex_lock(&r->lock);
    list_append_all(&r->todo, &r->handed);
    list_append_all(&r->handed, &r->todo);
    uv_mutex_unlock(&r->lock);
    try_later(r);
}

static void connect_now(struct broker_relay *r)
{
    if (r->broker->ops->connect(r->broker, RELAY_CONNECT_TIMEOUT_MS) != BROKER_OK) {
        say_why(r, r->broker->why);
        try_later(r);
        return;
    }
    r->is_connected = r->now.is_connected = true;
    r->connection++;
    r->now.counts.connects++;
    r->now.why[0] = 0;
    r->has_changed = true;
    r->connected_ms = now_ms();
    r->paused_until_ms = r->pause_ms = 0;
}

/* It goes on with what it was meanwhile. */
static void begin_anew_later(struct broker_relay *r, const char *why)
{
    char line[RELAY_WHY_MAX];

    (void)snprintf(line, sizeof(line), "can't listen to other topics: %s", why);
    say_why(r, line);
    r->anew_ms = r->anew_ms ? 2 * r->anew_ms : RELAY_RETRY_MS;
    if (r->anew_ms > RELAY_RETRY_MS_MAX)
        r->anew_ms = RELAY_RETRY_MS_MAX;
    r->anew_at_ms = now_ms() + r->anew_ms;
}

/* What an adapter listens to is said when it is made. */
static void begin_anew(struct broker_relay *r)
{
    struct broker_config *config = &r->made_with[!r->made_at];
    char why[BROKER_WHY_MAX] = "";
    struct broker *next;

    *config = r->config.broker;
    next = r->config.module->create(config, &r->host, why);
    if (!next) {
        begin_anew_later(r, why);
        return;
    }
    r->must_begin_anew = false;
    if (r->is_connected)
        lose(r, "connects anew, as it listens to other topics now");
    r->broker->ops->destroy(r->broker);
    r->broker = next;
    r->made_at = !r->made_at;
    r->retry_at_ms = 0;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void take(struct broker_relay *r)
{
    bool begins_to_drain, listens_anew;
    uint64_t rings;

    (void)!read(r->wake_fd, &rings, sizeof(rings)); /* before what it announced is taken */
    uv_mutex_lock(&r->lock);
    begins_to_drain = r->asked_to_drain && !r->is_draining;
    if (r->is_connected || r->asked_to_drain)
        list_append_all(&r->todo, &r->handed);
    list_append_all(&r->to_ack, &r->settled);
    r->limit = r->limit_wanted;
    listens_anew = r->asked_to_listen;
    r->asked_to_listen = false;
    if (listens_anew) {
        memcpy(r->config.broker.listens, r->listens, sizeof(r->listens));
        r->config.broker.n_listens = r->n_listens;
    }
    r->is_ending = r->asked_to_end;
    uv_mutex_unlock(&r->lock);
    if (listens_anew) {
        r->must_begin_anew = true;
        r->anew_at_ms = r->anew_ms = 0;
    }
    if (!begins_to_drain)
        return;
    r->is_draining = true;
    r->drain_ends_ms = now_ms() + RELAY_DRAIN_MS;
    if (r->is_connected)
        r->broker->ops->stop_receiving(r->broker);
}

/* Back to the bus what is not published; what is, is waited for, but not for long. */
static void drain(struct broker_relay *r)
{
    if (r->is_ending || !r->is_connected || now_ms() >= r->drain_ends_ms)
        take_back_unacked(r);
    while (!list_is_empty(&r->todo))
        give_back(r, item_of(list_pop_front(&r->todo)), RELAY_UNAVAILABLE);
}

static enum broker_result publish_one(struct broker_relay *r, struct relay_item *item)
{
    struct broker_message m;
    enum broker_result result;

    relay_render_message(&r->render, item->message, &m);
    m.tag = (uint64_t)item->turn << 32 | item->index;
    /* Known before it is told of. */
    item->is_unacked = true;
    item->published_ms = now_ms();
    if (list_is_empty(&r->unacked))
        r->head_since_ms = item->published_ms;
    list_push_back(&r->unacked, &item->letter.link);
    r->n_unacked++;
    result = r->broker->ops->publish(r->broker, &m);
    if (result == BROKER_OK) {
        r->now.counts.published++;
    } else if (find_unacked(r, m.tag)) {
        list_remove(&item->letter.link);
        item->is_unacked = false;
        r->n_unacked--;
        if (result == BROKER_REFUSED)
            refuse(r, item, str_of(r->broker->why));
        else
            list_push_front(&r->todo, &item->letter.link);
    }
    return result;
}

static uint64_t together(uint64_t limit)
{
    uint64_t n = limit / TOGETHER_PER_S + 1;

    return n < TOGETHER ? n : TOGETHER;
}

/* Messages that this turn may publish. */
static uint64_t allowance(const struct broker_relay *r)
{
    uint64_t in_the_air = r->limit * IN_THE_AIR_MS / 1000;
    uint64_t now = r->allowed / 1000;

    if (!r->limit)
        return PUBLISH_MAX;
    if (now < together(r->limit) || r->n_unacked >= in_the_air)
        return 0;
    return now < in_the_air - r->n_unacked ? now : in_the_air - r->n_unacked;
}

/* Of the time since the turn before; what was not made use of is kept for not much longer. */
static void earn(struct broker_relay *r, int64_t ms)
{
    uint64_t most = r->limit * LATE_MS + together(r->limit) * 1000;

    r->allowed += r->limit * (uint64_t)(ms < LATE_MS ? ms : LATE_MS);
    if (r->allowed > most)
        r->allowed = most;
}

/* *wait_ms: how long the adapter may wait afterwards. */
static enum broker_result publish(struct broker_relay *r, int *wait_ms)
{
    int64_t pause_ms = r->paused_until_ms - now_ms();

    *wait_ms = IDLE_MS;
    if (r->is_blocked)
        return BROKER_OK; /* until the broker says something */
    if (pause_ms > 0) {
        *wait_ms = pause_ms < IDLE_MS ? (int)pause_ms : IDLE_MS;
        return BROKER_OK;
    }
    for (uint64_t n = allowance(r); n > 0 && !list_is_empty(&r->todo); n--) {
        enum broker_result result = publish_one(r, item_of(list_pop_front(&r->todo)));

        if (result == BROKER_LOST)
            return BROKER_LOST;
        if (result == BROKER_BUSY) {
            *wait_ms = BUSY_MS;
            return BROKER_OK;
        }
        if (r->limit)
            r->allowed -= 1000;
    }
    if (!list_is_empty(&r->todo))
        *wait_ms = 0;
    return BROKER_OK;
}

/* A broker that keeps the connection and says nothing, or has forgotten one that it was given: the
 * oldest stays the oldest. A slow one is none. */
static bool is_silent(const struct broker_relay *r)
{
    return !r->is_blocked && !list_is_empty(&r->unacked) &&
           now_ms() - r->head_since_ms >= RELAY_ACK_TIMEOUT_MS;
}

/* What an earlier connection brought has no handle any more: the broker gives it again, and it is known
 * by its id. */
static enum broker_result acknowledge(struct broker_relay *r)
{
    enum broker_result result = BROKER_OK;

    while (!list_is_empty(&r->to_ack)) {
        struct relay_received *received =
            container_of(list_pop_front(&r->to_ack), struct relay_received, letter.link);

        if (result == BROKER_OK && r->is_connected && received->connection == r->connection) {
            result = r->broker->ops->ack(r->broker, received->d.handle);
            r->now.counts.settled += result == BROKER_OK;
            r->has_changed = true; /* nothing else may come that the count could go with */
        }
        relay_received_free(received);
    }
    return result;
}

/* Of so much time that there is to wait, what is left until it is time to begin anew. */
static int within_anew(const struct broker_relay *r, int wait_ms)
{
    int64_t left_ms = r->anew_at_ms - now_ms();

    if (!r->must_begin_anew || r->is_draining || left_ms >= wait_ms)
        return wait_ms;
    return left_ms > 0 ? (int)left_ms : 0;
}

static void serve(struct broker_relay *r)
{
    int wait_ms;

    if (acknowledge(r) != BROKER_OK || publish(r, &wait_ms) != BROKER_OK ||
        r->broker->ops->serve(r->broker, r->wake_fd, within_anew(r, wait_ms)) != BROKER_OK) {
        lose(r, r->broker->why);
        return;
    }
    if (is_silent(r))
        lose(r, "no acknowledgement for 30 s");
}

static void wait_for_try(struct broker_relay *r)
{
    struct pollfd wake = { .fd = r->wake_fd, .events = POLLIN };
    int64_t left_ms = r->retry_at_ms - now_ms();

    if (r->is_draining)
        left_ms = IDLE_MS; /* only the end is waited for */
    else
        left_ms = within_anew(r, (int)left_ms);
    if (left_ms > 0)
        (void)poll(&wake, 1, (int)left_ms);
}

static uint64_t work_done(const struct broker_relay *r)
{
    const struct relay_counts *n = &r->now.counts;

    return n->published + n->acked + n->received + n->settled;
}

/* Lets more come together before the next turn, see TURN_SMALL. */
static void gather(struct broker_relay *r)
{
    uint64_t done = work_done(r);
    int64_t before_ms = r->turn_ms, left_ms = before_ms - now_ms();

    if (r->limit)
        left_ms += BEAT_MS;
    else if (done - r->done_before < TURN_SMALL)
        left_ms += TURN_MS;
    if (r->is_connected && !r->is_draining && left_ms > 0)
        uv_sleep((unsigned)left_ms);
    r->turn_ms = now_ms();
    earn(r, r->turn_ms - before_ms);
    r->done_before = done;
}

static void turn(struct broker_relay *r)
{
    gather(r);
    take(r);
    if (r->is_draining || r->is_ending)
        drain(r);
    else if (r->must_begin_anew && now_ms() >= r->anew_at_ms)
        begin_anew(r);
    if (r->is_ending || !r->is_connected)
        (void)acknowledge(r); /* of a drain's last ones the broker is told, if it is there */
    if (r->is_ending)
        return;
    if (r->is_connected)
        serve(r);
    else if (r->is_draining || now_ms() < r->retry_at_ms)
        wait_for_try(r);
    else
        connect_now(r);
    r->has_changed |= r->limit > 0; /* so that the loop looks whether there is to be one */
    publish_status(r);
}

void relay_thread_run(void *relay)
{
    struct broker_relay *r = relay;

    while (!r->is_ending)
        turn(r);
    if (r->is_connected)
        r->broker->ops->disconnect(r->broker);
    r->is_connected = r->now.is_connected = false;
    relay_render_deinit(&r->render);
    publish_status(r);
    post(r, &r->ended_letter);
}

const struct broker_host relay_host = {
    .acked = on_acked,
    .unrouted = on_unrouted,
    .refused = on_refused,
    .again = on_again,
    .received = on_received,
    .room = on_asked_for_room,
    .blocked = on_blocked,
};
