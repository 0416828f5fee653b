/* The adapter for Kafka, on librdkafka.
 *
 * One topic holds all messages; an order's are in one partition, because its id is their key. A
 * producer and a consumer, each with threads of librdkafka's, which put what they have into queues
 * of theirs that are bounded by settings.c; the relay's thread reads these, and waits for both by one
 * eventfd. Where one is lost, both are begun anew. */
#include "consumer.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "producer.h"
#include "reason.h"
#include "settings.h"
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SERVE_MESSAGES_MAX 512u
/* To leave the group, and for the library's threads to end: a second together. */
#define CLOSE_MS 700
#define END_MS 200
#define LOOK_MS 1000 /* for what comes with time and not with an event */

struct kafka {
    struct broker broker;
    const struct broker_config *config;
    int event_fd;
    unsigned sasl; /* the way to log in that is tried next; settings.h */
    struct producer producer;
    struct consumer consumer;
    bool receives, has_more;
};

static struct kafka *kafka_of(struct broker *b)
{
    return (struct kafka *)b; /* its first member */
}

static enum broker_result connect_once(struct kafka *k, int64_t deadline_ms)
{
    enum broker_result r = producer_connect(&k->producer, k->sasl, k->event_fd, deadline_ms);

    if (r == BROKER_OK && k->receives)
        r = consumer_connect(&k->consumer, k->sasl, k->event_fd);
    if (r != BROKER_OK)
        producer_disconnect(&k->producer, producer_now_ms() + END_MS);
    return r;
}

/* Each way to log in, from the one that was good the last time. Of their reasons the one is told that
 * is not only that the broker does not know the way. */
static enum broker_result kafka_connect(struct broker *b, int timeout_ms)
{
    struct kafka *k = kafka_of(b);
    int64_t deadline_ms = producer_now_ms() + timeout_ms;
    char best[BROKER_WHY_MAX] = "";

    k->has_more = true;
    for (unsigned i = 0; i < settings_n_sasl(k->config); i++) {
        enum broker_result r = connect_once(k, deadline_ms);

        if (r == BROKER_OK || !k->producer.is_refused_login)
            return r;
        if (!best[0] || !reason_is_of_mechanism(b->why))
            memcpy(best, b->why, sizeof(best));
        k->sasl = (k->sasl + 1) % settings_n_sasl(k->config);
    }
    memcpy(b->why, best, sizeof(best));
    return BROKER_LOST;
}

static void kafka_disconnect(struct broker *b)
{
    struct kafka *k = kafka_of(b);

    if (k->receives)
        consumer_disconnect(&k->consumer, producer_now_ms() + CLOSE_MS);
    producer_disconnect(&k->producer, producer_now_ms() + END_MS);
}

static void kafka_destroy(struct broker *b)
{
    struct kafka *k = kafka_of(b);

    producer_deinit(&k->producer);
    if (k->receives)
        consumer_deinit(&k->consumer);
    close(k->event_fd);
    mem_free(k);
}

static enum broker_result kafka_publish(struct broker *b, const struct broker_message *m)
{
    return producer_publish(&kafka_of(b)->producer, m);
}

static enum broker_result kafka_ack(struct broker *b, uint64_t handle)
{
    struct kafka *k = kafka_of(b);

    if (k->receives)
        consumer_ack(&k->consumer, handle);
    return BROKER_OK;
}

static void kafka_stop_receiving(struct broker *b)
{
    struct kafka *k = kafka_of(b);

    if (k->receives)
        consumer_stop(&k->consumer);
}

/* *n: what was told or looked at. */
static bool work(struct kafka *k, unsigned *n)
{
    uint64_t count;
    unsigned in = 0;

    /* Before the queues are read, so that what comes while they are makes it readable again. */
    if (read(k->event_fd, &count, sizeof(count)) < 0)
        INVARIANT(errno == EAGAIN || errno == EINTR);
    if (!producer_serve(&k->producer) ||
        (k->receives && !consumer_serve(&k->consumer, SERVE_MESSAGES_MAX, &in)))
        return false;
    k->has_more = in == SERVE_MESSAGES_MAX;
    *n = k->producer.n_told + in;
    return true;
}

static enum broker_result kafka_serve(struct broker *b, int wake_fd, int wait_ms)
{
    struct kafka *k = kafka_of(b);
    struct pollfd p[2] = { { .fd = wake_fd, .events = POLLIN },
                           { .fd = k->event_fd, .events = POLLIN } };
    int64_t deadline_ms = producer_now_ms() + wait_ms;
    unsigned n = 0;

    for (;;) {
        int64_t left;
        int wait;

        if (!work(k, &n))
            return BROKER_LOST;
        left = deadline_ms - producer_now_ms();
        if (n || k->has_more || left <= 0 || (p[0].revents & POLLIN))
            return BROKER_OK;
        wait = left < LOOK_MS ? (int)left : LOOK_MS;
        if (k->receives)
            wait = consumer_wait_ms(&k->consumer, wait);
        if (poll(p, 2, wait) < 0 && errno != EINTR) {
            reason_write(b->why, "poll fails");
            return BROKER_LOST;
        }
    }
}

static const struct broker_ops kafka_ops = { .destroy = kafka_destroy,
                                             .connect = kafka_connect,
                                             .publish = kafka_publish,
                                             .ack = kafka_ack,
                                             .serve = kafka_serve,
                                             .stop_receiving = kafka_stop_receiving,
                                             .disconnect = kafka_disconnect };

static bool is_possible(const struct broker_config *config, char *why)
{
    rd_kafka_conf_t *conf = settings_common(config, 0, why);
    bool is_ok = conf && settings_for_producer(conf, config, false, why) &&
                 (config->n_listens == 0 || settings_for_consumer(conf, config, why));

    if (conf)
        rd_kafka_conf_destroy(conf);
    return is_ok;
}

static struct broker *kafka_create(const struct broker_config *config, struct broker_host *host,
                                   char *why)
{
    struct kafka *k;
    int fd;

    if (!is_possible(config, why))
        return NULL;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        reason_write(why, "there is no file descriptor left");
        return NULL;
    }
    k = mem_zalloc(sizeof(*k));
    k->broker.ops = &kafka_ops;
    k->config = config;
    k->event_fd = fd;
    k->receives = config->n_listens > 0;
    producer_init(&k->producer, config, host, k->broker.why);
    if (k->receives)
        consumer_init(&k->consumer, config, host, k->broker.why);
    return &k->broker;
}

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

extern const struct broker_module broker_module;
__attribute__((visibility("default")))
const struct broker_module broker_module = { .abi = BROKER_ABI,
                                             .name = "kafka",
                                             .schemes = "kafka kafka+tls",
                                             .library = "librdkafka " TEXT_OF(RD_KAFKA_VERSION),
                                             .attribute_prefix = "ce_",
                                             .create = kafka_create };
