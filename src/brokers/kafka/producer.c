#include "producer.h"
#include "ending.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "reason.h"
#include "settings.h"
#include <stdint.h>
#include <time.h>

#define ATTRIBUTE_PREFIX "ce_"
#define ASK_FIRST_MS 250
#define SCRATCH_BLOCK 4096u
#define END_MS 100 /* for the library's threads when a connection was not to be had */

int64_t producer_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void producer_init(struct producer *p, const struct broker_config *config, struct broker_host *host,
                   char *why)
{
    *p = (struct producer){ .config = config, .host = host, .why = why };
    arena_init(&p->scratch, NULL, SCRATCH_BLOCK);
    p->tags = mem_alloc(config->window * sizeof(*p->tags));
    p->free_tags = mem_alloc(config->window * sizeof(*p->free_tags));
}

void producer_deinit(struct producer *p)
{
    REQUIRE(!p->rk);
    arena_deinit(&p->scratch);
    mem_free(p->tags);
    mem_free(p->free_tags);
}

/* what: before the library's reason; empty: nothing. */
static void lose(struct producer *p, const char *what, const char *reason)
{
    if (!p->is_lost)
        reason_write_foreign(p->why, what, reason);
    p->is_lost = true;
}

/* ---- what librdkafka says; on the relay's thread, within its poll */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct producer *p = opaque;
    char text[256];

    switch (code) {
    case RD_KAFKA_RESP_ERR__FATAL:
        lose(p, "", rd_kafka_fatal_error(rk, text, sizeof(text)) ? text : reason);
        break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        p->is_refused_login = true;
        lose(p, reason_of((rd_kafka_resp_err_t)code), reason);
        break;
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        lose(p, reason_of((rd_kafka_resp_err_t)code), reason);
        break;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        lose(p, "", p->trouble[0] ? p->trouble : reason);
        break;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        /* One broker's; the reason why all are down, where they are. */
        (void)snprintf(p->trouble, sizeof(p->trouble), "%s", reason);
        break;
    default:
        break; /* librdkafka tries again */
    }
}

/* The limits of a batch are not those of a message: only where it was alone, it is too large. */
static bool was_alone(const struct producer *p, const rd_kafka_message_t *m)
{
    return p->is_one_by_one || m->len + m->key_len > SETTINGS_BATCH_MAX;
}

static void end_one(struct producer *p, uint64_t tag, const rd_kafka_message_t *m)
{
    const char *name = rd_kafka_err2str(m->err);

    p->n_told++;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        p->host->acked(p->host, tag);
        return;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        if (was_alone(p, m)) {
            p->host->refused(p->host, tag, str_of(name));
            return;
        }
        p->is_one_by_one = true;
        lose(p, "", "it takes no batches as large as ours: from now on each message goes alone");
        return;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        /* What the topic's own rules say, as a compacted one says of messages without a key. */
        p->host->refused(p->host, tag, str_of(name));
        return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        /* Of the topic or the producer, not of this message: all the others would end the same way,
         * so none is given up for it. */
        lose(p, reason_of(m->err), name);
        return;
    default:
        p->host->again(p->host, tag, str_of(name));
        return;
    }
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct producer *p = opaque;
    const uint64_t *tag = m->_private;

    (void)rk;
    p->free_tags[p->n_free++] = (uint32_t)(tag - p->tags);
    if (!p->is_lost)
        end_one(p, *tag, m);
}

/* ---- a connection's beginning and end */

static bool create(struct producer *p, unsigned sasl, int event_fd)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf = settings_common(p->config, sasl, p->why);
    rd_kafka_queue_t *queue;
    char reason[256];

    if (!conf)
        return false;
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    if (settings_for_producer(conf, p->config, p->is_one_by_one, p->why)) {
        p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
        if (!p->rk)
            reason_write_new(p->why, p->config, reason);
    }
    if (!p->rk) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    queue = rd_kafka_queue_get_main(p->rk);
    rd_kafka_queue_io_event_enable(queue, event_fd, &one, sizeof(one));
    rd_kafka_queue_destroy(queue);
    p->topic = rd_kafka_topic_new(p->rk, p->config->channel.p, NULL);
    if (!p->topic)
        reason_write(p->why, "%s", rd_kafka_err2str(rd_kafka_last_error()));
    return p->topic != NULL;
}

/* The topic's own state, as the broker tells it. */
static rd_kafka_resp_err_t ask_topic(struct producer *p, int timeout_ms)
{
    const struct rd_kafka_metadata *answer;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 0, p->topic, &answer, timeout_ms);

    if (err)
        return err;
    err = answer->topic_cnt == 1 ? answer->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    rd_kafka_metadata_destroy(answer);
    return err;
}

/* Asks for the topic with the broker's own count of partitions and replicas. */
static bool make_topic(struct producer *p, int timeout_ms)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(p->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(p->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    char reason[256];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(p->config->channel.p, -1, -1, reason, sizeof(reason));
    rd_kafka_event_t *event = NULL;
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__INVALID_ARG;
    const char *why = reason;

    if (topic && rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, reason,
                                                           sizeof(reason)) == 0) {
        rd_kafka_CreateTopics(p->rk, &topic, 1, options, queue);
        event = rd_kafka_queue_poll(queue, timeout_ms);
        why = event ? rd_kafka_event_error_string(event) : "no answer in time";
        err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    if (event && !err) {
        const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
        size_t n = 0;
        const rd_kafka_topic_result_t **topics =
            result ? rd_kafka_CreateTopics_result_topics(result, &n) : NULL;

        if (n == 1) {
            err = rd_kafka_topic_result_error(topics[0]);
            why = rd_kafka_topic_result_error_string(topics[0]);
        }
    }
    if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        reason_write(p->why, "the topic '%s' is not there and can't be made: %s",
                     p->config->channel.p, why ? why : rd_kafka_err2str(err));
    if (event)
        rd_kafka_event_destroy(event);
    if (topic)
        rd_kafka_NewTopic_destroy(topic);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return !err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
}

static int until(int64_t deadline_ms, int64_t most_ms)
{
    int64_t left = deadline_ms - producer_now_ms();

    return (int)(left < 1 ? 1 : left < most_ms ? left : most_ms);
}

/* Until the topic is there. Each question waits longer than the one before, so that a slow broker is
 * heard in the end, and one that refuses all connections is not waited for. */
static bool find_topic(struct producer *p, int64_t deadline_ms)
{
    bool has_made = false;

    for (int64_t wait_ms = ASK_FIRST_MS;; wait_ms *= 2) {
        rd_kafka_resp_err_t err = ask_topic(p, until(deadline_ms, wait_ms));

        rd_kafka_poll(p->rk, 0);
        switch (err) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
        case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE: /* new: librdkafka waits for it */
            p->is_lost = false;
            return true;
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
            if (!has_made && !p->config->declares) {
                reason_write(p->why, "there is no topic '%s', and none is to be declared",
                             p->config->channel.p);
                return false;
            }
            if (!has_made && !make_topic(p, until(deadline_ms, SETTINGS_REQUEST_MS)))
                return false;
            has_made = true;
            break;
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
            reason_write(p->why, "the topic '%s': %s", p->config->channel.p, rd_kafka_err2str(err));
            return false;
        default:
            if (p->is_lost)
                return false;
            break;
        }
        if (producer_now_ms() >= deadline_ms) {
            if (p->trouble[0])
                reason_write_foreign(p->why, "", p->trouble);
            else if (err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__TIMED_OUT)
                reason_write(p->why, "no answer in time");
            else
                reason_write(p->why, "%s", rd_kafka_err2str(err));
            return false;
        }
    }
}

enum broker_result producer_connect(struct producer *p, unsigned sasl, int event_fd,
                                    int64_t deadline_ms)
{
    p->trouble[0] = '\0';
    p->is_lost = p->is_refused_login = false;
    for (p->n_free = 0; p->n_free < p->config->window; p->n_free++)
        p->free_tags[p->n_free] = p->config->window - 1 - p->n_free;
    if (ending_count() >= ENDING_MAX) {
        reason_write(p->why, "%d earlier connections still hang in a name server", ENDING_MAX);
        return BROKER_LOST;
    }
    if (create(p, sasl, event_fd) && find_topic(p, deadline_ms))
        return BROKER_OK;
    producer_disconnect(p, producer_now_ms() + END_MS);
    return BROKER_LOST;
}

void producer_disconnect(struct producer *p, int64_t deadline_ms)
{
    if (p->topic)
        rd_kafka_topic_destroy(p->topic);
    if (p->rk)
        ending_begin(p->rk, 0, deadline_ms);
    p->topic = NULL;
    p->rk = NULL;
}

/* ---- out */

static void add_header(rd_kafka_headers_t *headers, struct str name, struct str value)
{
    rd_kafka_resp_err_t err = rd_kafka_header_add(headers, name.p, (ssize_t)name.n,
                                                  value.n ? value.p : "", (ssize_t)value.n);

    ENSURE(err == RD_KAFKA_RESP_ERR_NO_ERROR);
}

static rd_kafka_headers_t *headers_of(struct producer *p, const struct broker_message *m)
{
    struct str prefix = p->config->attribute_prefix;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->n_attributes + 5);

    if (prefix.n == 0)
        prefix = STR(ATTRIBUTE_PREFIX);
    add_header(headers, STR("topic"), m->topic);
    add_header(headers, STR("message-id"), m->id);
    if (m->correlation_id.n)
        add_header(headers, STR("correlation-id"), m->correlation_id);
    if (m->content_type.n)
        add_header(headers, STR("content-type"), m->content_type);
    for (unsigned i = 0; i < m->n_attributes; i++) {
        struct str name = m->attributes[i].name;

        add_header(headers,
                   arena_printf(&p->scratch, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(name)),
                   m->attributes[i].value);
    }
    if (m->origin.n)
        add_header(headers, STR(BROKER_ORIGIN_HEADER), m->origin);
    return headers;
}

enum broker_result producer_publish(struct producer *p, const struct broker_message *m)
{
    rd_kafka_headers_t *headers;
    rd_kafka_resp_err_t err;
    uint64_t *tag;
    union {
        const char *from;
        void *to;
    } body = { m->body.n ? m->body.p
                         : "" }; /* the library's type has no const; it only copies it */

    if (p->is_lost)
        return BROKER_LOST;
    if (p->n_free == 0)
        return BROKER_BUSY;
    headers = headers_of(p, m);
    arena_reset(&p->scratch);
    tag = &p->tags[p->free_tags[p->n_free - 1]];
    *tag = m->tag;
    err = rd_kafka_producev(
        p->rk, RD_KAFKA_V_RKT(p->topic), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(m->key.p, m->key.n),
        RD_KAFKA_V_VALUE(body.to, m->body.n), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(tag),
        RD_KAFKA_V_END);
    if (!err) {
        p->n_free--;
        return BROKER_OK;
    }
    rd_kafka_headers_destroy(headers);
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return BROKER_BUSY;
    if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        reason_write(p->why, "%zu bytes: %s", m->body.n, rd_kafka_err2str(err));
        return BROKER_REFUSED;
    }
    lose(p, "", rd_kafka_err2str(err));
    return BROKER_LOST;
}

bool producer_serve(struct producer *p)
{
    p->n_told = 0;
    rd_kafka_poll(p->rk, 0);
    return !p->is_lost;
}
