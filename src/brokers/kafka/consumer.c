#include "consumer.h"
#include "ending.h"
#include "orderly/base/check.h"
#include "producer.h"
#include "reason.h"
#include "settings.h"

#define CLOSE_LOOK_MS 20
#define END_MS 100   /* for the library's threads, whoever has them */
#define FULL_MS 2000 /* until partitions pause; a rebalance waits as long */
/* Between commits: each is a record of the broker's own, and what is not committed comes again. */
#define COMMIT_MS 100
#define COMMIT_RETRY_MS_MAX 5000 /* between those that fail, each twice as long as the one before */

void consumer_init(struct consumer *c, const struct broker_config *config, struct broker_host *host,
                   char *why)
{
    *c = (struct consumer){ .config = config, .host = host, .why = why };
    held_init(&c->held, config->unacked_max);
}

void consumer_deinit(struct consumer *c)
{
    REQUIRE(!c->rk);
    held_deinit(&c->held);
}

/* what: before the library's reason; empty: nothing. */
static void lose(struct consumer *c, const char *what, const char *reason)
{
    if (!c->is_lost)
        reason_write_foreign(c->why, what, reason);
    c->is_lost = true;
}

/* ---- places */

static bool has_moved(const struct held_partition *p)
{
    return p->is_assigned && p->place >= 0 && p->place != p->committed;
}

static bool any_has_moved(const struct consumer *c)
{
    for (size_t i = 0; i < c->held.n_partitions; i++)
        if (has_moved(&c->held.partitions[i]))
            return true;
    return false;
}

/* Of the partitions whose place has moved since the broker was told; NULL: of none. */
static rd_kafka_topic_partition_list_t *list_moved(struct consumer *c)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    for (size_t i = 0; i < c->held.n_partitions; i++) {
        struct held_partition *p = &c->held.partitions[i];

        if (!has_moved(p))
            continue;
        if (!list)
            list = rd_kafka_topic_partition_list_new((int)c->held.n_partitions);
        rd_kafka_topic_partition_list_add(list, c->config->channel.p, p->id)->offset = p->place;
        p->committed = p->place;
    }
    return list;
}

/* Later ones go with what is acked meanwhile: what a commit did not say comes again to whoever has the
 * partition then. */
static void put_commit_off(struct consumer *c, rd_kafka_topic_partition_list_t *list)
{
    for (size_t i = 0; i < c->held.n_partitions; i++)
        if (rd_kafka_topic_partition_list_find(list, c->config->channel.p,
                                               c->held.partitions[i].id))
            c->held.partitions[i].committed = -1;
    c->commit_pause_ms = c->commit_pause_ms ? 2 * c->commit_pause_ms : COMMIT_MS;
    if (c->commit_pause_ms > COMMIT_RETRY_MS_MAX)
        c->commit_pause_ms = COMMIT_RETRY_MS_MAX;
    c->commit_at_ms = producer_now_ms() + c->commit_pause_ms;
}

/* One commit, with all that was acked since the one before. */
static void commit_now(struct consumer *c)
{
    rd_kafka_topic_partition_list_t *list = list_moved(c);

    if (!list)
        return;
    c->is_committing = rd_kafka_commit(c->rk, list, 1) == RD_KAFKA_RESP_ERR_NO_ERROR;
    c->commit_at_ms = producer_now_ms() + COMMIT_MS;
    if (!c->is_committing)
        put_commit_off(c, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void commit_in_time(struct consumer *c)
{
    if (!c->is_committing && producer_now_ms() >= c->commit_at_ms)
        commit_now(c);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                      rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct consumer *c = opaque;

    (void)rk;
    c->is_committing = false;
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        c->commit_pause_ms = 0;
        return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        lose(c, "the group may not keep its place", rd_kafka_err2str(err));
        return;
    default:
        if (list)
            put_commit_off(c, list);
        return;
    }
}

int consumer_wait_ms(const struct consumer *c, int most_ms)
{
    int64_t left;

    if (!c->rk || c->is_committing || !any_has_moved(c))
        return most_ms;
    left = c->commit_at_ms - producer_now_ms();
    return left <= 0 ? 0 : left < most_ms ? (int)left : most_ms;
}

/* ---- partitions */

static void pause_all(struct consumer *c, bool is_on)
{
    rd_kafka_topic_partition_list_t *list;

    if (rd_kafka_assignment(c->rk, &list))
        return;
    if (is_on)
        (void)rd_kafka_pause_partitions(c->rk, list);
    else
        (void)rd_kafka_resume_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    c->is_paused = is_on;
}

static void tell_assignment(struct consumer *c, rd_kafka_topic_partition_list_t *list, bool is_new)
{
    bool in_steps = strcmp(rd_kafka_rebalance_protocol(c->rk), "COOPERATIVE") == 0;
    rd_kafka_error_t *error = NULL;
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (in_steps)
        error = is_new ? rd_kafka_incremental_assign(c->rk, list)
                       : rd_kafka_incremental_unassign(c->rk, list);
    else
        err = rd_kafka_assign(c->rk, is_new ? list : NULL);
    if (error || err)
        lose(c, "", error ? rd_kafka_error_string(error) : rd_kafka_err2str(err));
    if (error)
        rd_kafka_error_destroy(error);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct consumer *c = opaque;
    bool is_new = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;

    if (err != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
        err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        lose(c, "", rd_kafka_err2str(err));
        (void)rd_kafka_assign(rk, NULL);
        return;
    }
    if (!is_new && !rd_kafka_assignment_lost(rk)) {
        /* Before they are gone, and beside a commit that is on its way. */
        commit_now(c);
    }
    for (int i = 0; i < list->cnt; i++) {
        if (is_new)
            held_assign(&c->held, list->elems[i].partition);
        else
            held_revoke(&c->held, list->elems[i].partition);
    }
    tell_assignment(c, list, is_new);
    if (!is_new)
        return;
    /* Also what goes on is said: a partition that paused when it went away comes back pausing. */
    if (c->is_paused)
        (void)rd_kafka_pause_partitions(rk, list);
    else
        (void)rd_kafka_resume_partitions(rk, list);
}

/* ---- a connection's beginning and end */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct consumer *c = opaque;
    char text[256];

    switch ((rd_kafka_resp_err_t)code) {
    case RD_KAFKA_RESP_ERR__FATAL:
        lose(c, "", rd_kafka_fatal_error(rk, text, sizeof(text)) ? text : reason);
        break;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        lose(c, "", c->trouble[0] ? c->trouble : reason);
        break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        lose(c, reason_of((rd_kafka_resp_err_t)code), reason);
        break;
    default:
        (void)snprintf(c->trouble, sizeof(c->trouble), "%s", reason);
        break;
    }
}

static bool create(struct consumer *c, unsigned sasl, int event_fd)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf = settings_common(c->config, sasl, c->why);
    rd_kafka_queue_t *queue;
    char reason[256];

    if (!conf)
        return false;
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    if (settings_for_consumer(conf, c->config, c->why)) {
        c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
        if (!c->rk)
            reason_write_new(c->why, c->config, reason);
    }
    if (!c->rk) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    (void)rd_kafka_poll_set_consumer(c->rk);
    queue = rd_kafka_queue_get_consumer(c->rk);
    rd_kafka_queue_io_event_enable(queue, event_fd, &one, sizeof(one));
    rd_kafka_queue_destroy(queue);
    return true;
}

enum broker_result consumer_connect(struct consumer *c, unsigned sasl, int event_fd)
{
    rd_kafka_topic_partition_list_t *topics;
    rd_kafka_resp_err_t err;

    held_clear(&c->held);
    c->is_lost = c->is_paused = c->is_stopped = c->is_committing = false;
    c->full_since_ms = c->commit_at_ms = c->commit_pause_ms = 0;
    c->trouble[0] = '\0';
    if (!create(c, sasl, event_fd))
        return BROKER_LOST;
    topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, c->config->channel.p, RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(c->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (!err)
        return BROKER_OK;
    reason_write(c->why, "%s", rd_kafka_err2str(err));
    ending_begin(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, producer_now_ms() + END_MS);
    c->rk = NULL;
    return BROKER_LOST;
}

void consumer_disconnect(struct consumer *c, int64_t deadline_ms)
{
    rd_kafka_queue_t *queue;
    rd_kafka_error_t *error;

    if (!c->rk)
        return;
    c->is_stopped = true;
    if (!c->is_lost) {
        /* To leave revokes all partitions, which commits what is acked of them. */
        queue = rd_kafka_queue_new(c->rk);
        error = rd_kafka_consumer_close_queue(c->rk, queue);
        if (error) {
            rd_kafka_error_destroy(error);
        } else {
            /* Not by rd_kafka_queue_poll_callback, which aborts where a message is among it. */
            while (!rd_kafka_consumer_closed(c->rk) && producer_now_ms() < deadline_ms) {
                rd_kafka_message_t *m = rd_kafka_consume_queue(queue, CLOSE_LOOK_MS);

                if (m)
                    rd_kafka_message_destroy(m);
            }
        }
        rd_kafka_queue_destroy(queue);
    }
    ending_begin(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, producer_now_ms() + END_MS);
    c->rk = NULL;
    held_clear(&c->held);
}

void consumer_stop(struct consumer *c)
{
    c->is_stopped = true;
    pause_all(c, true);
}

/* ---- messages */

static bool matches(struct str topic, struct str pattern)
{
    if (pattern.n == 0 || pattern.p[pattern.n - 1] != '*')
        return str_eq(topic, pattern);
    return str_starts_with(topic, (struct str){ pattern.p, pattern.n - 1 });
}

/* The topic of ours holds everybody's messages, also our own. One that does not say what it is about
 * is told: its body may say it. */
static bool is_wanted(const struct consumer *c, struct str topic)
{
    for (unsigned i = 0; i < c->config->n_listens; i++)
        if (matches(topic, c->config->listens[i]))
            return true;
    return topic.n == 0;
}

static struct str without(struct str s, struct str prefix)
{
    if (!str_starts_with(s, prefix))
        return STR_NONE;
    return (struct str){ s.p + prefix.n, s.n - prefix.n };
}

static void read_headers(struct consumer *c, const rd_kafka_message_t *m, struct broker_delivery *d,
                         struct broker_attribute *attributes)
{
    struct str prefix = c->config->attribute_prefix;
    rd_kafka_headers_t *headers;
    const char *name;
    const void *bytes;
    size_t n;

    if (prefix.n == 0)
        prefix = STR("ce_");
    if (rd_kafka_message_headers(m, &headers))
        return;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &bytes, &n) == 0; i++) {
        struct str key = str_of(name), value = { bytes ? bytes : "", bytes ? n : 0 };
        struct str attribute = without(key, prefix);

        if (str_eq(key, STR(BROKER_ORIGIN_HEADER))) {
            d->origin = value;
            continue;
        }
        if (attribute.n && !bytes)
            continue; /* as good as not there, as null is in JSON */
        if (attribute.n && d->n_attributes < BROKER_ATTRIBUTES_MAX)
            attributes[d->n_attributes++] = (struct broker_attribute){ attribute, value };
        else if (attribute.n)
            d->is_too_large = true;
        else if (str_eq(key, STR("topic")))
            d->topic = value;
        else if (str_eq(key, STR("message-id")))
            d->id = value;
        else if (str_eq(key, STR("content-type")))
            d->content_type = value;
    }
}

static void tell_message(struct consumer *c, const rd_kafka_message_t *m)
{
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX];
    struct broker_delivery d = { .topic = STR(""),
                                 .id = STR(""),
                                 .content_type = STR(""),
                                 .origin = STR(""),
                                 .attributes = attributes,
                                 .body = { m->payload ? m->payload : "", m->len } };

    read_headers(c, m, &d, attributes);
    if (!is_wanted(c, d.topic)) {
        held_pass(&c->held, m->partition, m->offset);
        return;
    }
    d.handle = held_add(&c->held, m->partition, m->offset);
    if (!d.handle)
        return; /* of a partition that is not ours any more */
    if (d.body.n > c->config->body_max) {
        d.is_too_large = true;
        d.body.n = c->config->body_max;
    }
    c->host->received(c->host, &d);
}

static void take(struct consumer *c, const rd_kafka_message_t *m)
{
    switch (m->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        if (!c->is_stopped)
            tell_message(c, m);
        return;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        lose(c, reason_of(m->err), rd_kafka_message_errstr(m));
        return;
    default:
        return; /* librdkafka tries again */
    }
}

static bool has_room(const struct consumer *c)
{
    return held_has_room(&c->held) && c->host->room(c->host) > 0;
}

/* Whether librdkafka may be asked for more. To pause throws away what was fetched, so it is done only
 * where there is no room for a while; until then it is just not asked. */
static bool make_way(struct consumer *c)
{
    if (has_room(c)) {
        c->full_since_ms = 0;
        if (c->is_paused && !c->is_stopped && c->held.n_unacked <= c->held.unacked_max / 2)
            pause_all(c, false);
        return true;
    }
    if (!c->full_since_ms)
        c->full_since_ms = producer_now_ms();
    if (!c->is_paused && producer_now_ms() - c->full_since_ms >= FULL_MS)
        pause_all(c, true);
    return c->is_paused;
}

bool consumer_serve(struct consumer *c, unsigned max, unsigned *n)
{
    *n = 0;
    while (*n < max && !c->is_lost && make_way(c)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, 0);

        if (!m)
            break;
        ++*n;
        if (m->err || has_room(c))
            take(c, m);
        else
            lose(c, "", "librdkafka hands over messages of partitions that pause");
        rd_kafka_message_destroy(m);
    }
    if (!c->is_lost)
        commit_in_time(c);
    return !c->is_lost;
}

void consumer_ack(struct consumer *c, uint64_t handle)
{
    (void)held_ack(&c->held, handle);
}
