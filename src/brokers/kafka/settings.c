#include "settings.h"
#include "orderly/base/check.h"
#include "reason.h"
#include <inttypes.h>
#include <stdio.h>

#define HOSTS_MAX 2048u            /* bytes of all their names and ports */
#define MESSAGE_MAX (16u << 20)    /* bytes; what a broker takes is the broker's affair */
#define PRODUCER_KBYTES_MAX 65536u /* of messages that wait for the broker */
#define CONSUMER_KBYTES_MAX 16384u /* of messages that wait to be told */
/* Who has as many fetches nothing for a second; so bytes are the bound, not messages. */
#define CONSUMER_MESSAGES_MIN 100000u
#define FETCH_PARTITION_MAX                                                                        \
    (1u << 20) /* bytes; the first message comes whole, however long it is */
#define FETCH_MAX (16u << 20)
#define RECEIVE_MAX (128u << 20) /* bytes of an answer; a broker's largest message must fit */
#define SESSION_MS 10000
#define LINGER_MS 2

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, char *why)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return true;
    reason_write(why, "librdkafka's %s: %s", name, reason);
    return false;
}

static bool set_number(rd_kafka_conf_t *conf, const char *name, uint64_t value, char *why)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    return set(conf, name, text, why);
}

static bool set_path(rd_kafka_conf_t *conf, const char *name, struct str path, char *why)
{
    return path.n == 0 || set(conf, name, path.p, why);
}

/* Without TLS PLAIN would show the password to everybody on the way, also where somebody on the way
 * says that he knows nothing else. */
static const char *const mechanisms[] = { "SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN" };

static bool is_tls(const struct broker_config *config)
{
    return str_starts_with(config->url, STR("kafka+tls://"));
}

unsigned settings_n_sasl(const struct broker_config *config)
{
    if (config->user.n == 0)
        return 1;
    return (unsigned)ARRAY_LEN(mechanisms) - (is_tls(config) ? 0 : 1);
}

/* librdkafka would write to stderr; what matters comes as errors. */
static void pass_over_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

static bool set_brokers(rd_kafka_conf_t *conf, const struct broker_config *config, char *why)
{
    struct str prefix = is_tls(config) ? STR("kafka+tls://") : STR("kafka://");
    struct str hosts = { config->url.p + prefix.n, config->url.n - prefix.n };
    char text[HOSTS_MAX + 1];
    const char *end;

    if (!str_starts_with(config->url, prefix)) {
        reason_write(why, "its URL does not begin with kafka:// or kafka+tls://");
        return false;
    }
    end = memchr(hosts.p, '/', hosts.n);
    if (end && end != hosts.p + hosts.n - 1) {
        reason_write(why, "its URL has a path, which means nothing to Kafka");
        return false;
    }
    if (hosts.n - (end ? 1 : 0) == 0) {
        reason_write(why, "its URL names no host");
        return false;
    }
    /* A slash at the end is none of librdkafka's. */
    if (end)
        hosts.n--;
    if (hosts.n >= sizeof(text)) {
        reason_write(why, "its URL names hosts of more than %zu bytes", sizeof(text) - 1);
        return false;
    }
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(hosts));
    return set(conf, "bootstrap.servers", text, why);
}

static bool set_security(rd_kafka_conf_t *conf, const struct broker_config *c, unsigned sasl,
                         char *why)
{
    static const char *const protocols[2][2] = { { "plaintext", "ssl" },
                                                 { "sasl_plaintext", "sasl_ssl" } };
    bool tls = is_tls(c), user = c->user.n > 0;

    if (!set(conf, "security.protocol", protocols[user][tls], why))
        return false;
    if (user && (!set(conf, "sasl.mechanisms", mechanisms[sasl], why) ||
                 !set(conf, "sasl.username", c->user.p, why) ||
                 !set(conf, "sasl.password", c->password.p, why)))
        return false;
    return !tls || (set(conf, "enable.ssl.certificate.verification", "true", why) &&
                    set(conf, "ssl.endpoint.identification.algorithm", "https", why) &&
                    set_path(conf, "ssl.ca.location", c->tls_ca, why) &&
                    set_path(conf, "ssl.certificate.location", c->tls_certificate, why) &&
                    set_path(conf, "ssl.key.location", c->tls_key, why));
}

static bool is_possible(const struct broker_config *c, char *why)
{
    if (c->token.n || c->credentials.n)
        reason_write(why, "Kafka lets in by user and password, or by certificate; it knows no %s",
                     c->token.n ? "token" : "file of credentials");
    else if (!is_tls(c) && (c->tls_ca.n || c->tls_certificate.n || c->tls_key.n))
        reason_write(
            why, "TLS is configured, but the URL begins with kafka://; kafka+tls:// asks for it");
    else if ((c->tls_certificate.n == 0) != (c->tls_key.n == 0))
        reason_write(why, "a client's certificate and its key need each other");
    else if (c->channel.n == 0 || c->channel.n > 249)
        reason_write(why,
                     "the channel, which names the topic, has %zu bytes; 1 to 249 are possible",
                     c->channel.n);
    else if (c->n_listens && c->group.n == 0)
        reason_write(why, "the group, which names the consumer group, is empty");
    else if (c->user.n && c->password.n == 0)
        reason_write(why, "a user needs a password");
    else
        return true;
    return false;
}

rd_kafka_conf_t *settings_common(const struct broker_config *config, unsigned sasl, char *why)
{
    rd_kafka_conf_t *conf;

    REQUIRE(sasl < settings_n_sasl(config));
    if (!is_possible(config, why))
        return NULL;
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, pass_over_log);
    if (set_brokers(conf, config, why) && set_security(conf, config, sasl, why) &&
        set(conf, "client.id", config->name.n ? config->name.p : "orderly", why) &&
        set_number(conf, "socket.timeout.ms", SETTINGS_REQUEST_MS, why) &&
        set(conf, "socket.keepalive.enable", "true", why) &&
        set(conf, "reconnect.backoff.ms", "100", why) &&
        set(conf, "reconnect.backoff.max.ms", "2000", why) &&
        set_number(conf, "message.max.bytes", MESSAGE_MAX, why) &&
        set_number(conf, "receive.message.max.bytes", RECEIVE_MAX, why))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

bool settings_for_producer(rd_kafka_conf_t *conf, const struct broker_config *config,
                           bool is_one_by_one, char *why)
{
    /* Murmur2 is what other clients take by default, so that one order's messages are in one
     * partition, whoever sends them. */
    return set(conf, "acks", "all", why) && set(conf, "enable.idempotence", "true", why) &&
           set(conf, "partitioner", "murmur2_random", why) &&
           /* Else a broker makes a topic because it is asked for, also where none is to be made. */
           set(conf, "allow.auto.create.topics", config->declares ? "true" : "false", why) &&
           set_number(conf, "message.timeout.ms", SETTINGS_MESSAGE_MS, why) &&
           set_number(conf, "queue.buffering.max.messages", config->window, why) &&
           set_number(conf, "queue.buffering.max.kbytes", PRODUCER_KBYTES_MAX, why) &&
           set_number(conf, "batch.size", SETTINGS_BATCH_MAX, why) &&
           set_number(conf, "batch.num.messages", is_one_by_one ? 1 : 10000, why) &&
           set_number(conf, "linger.ms", LINGER_MS, why);
}

bool settings_for_consumer(rd_kafka_conf_t *conf, const struct broker_config *config, char *why)
{
    return set(conf, "group.id", config->group.p, why) &&
           set(conf, "enable.auto.commit", "false", why) &&
           set(conf, "enable.auto.offset.store", "false", why) &&
           set(conf, "auto.offset.reset", "earliest", why) &&
           set(conf, "partition.assignment.strategy", "cooperative-sticky", why) &&
           set_number(conf, "session.timeout.ms", SESSION_MS, why) &&
           set_number(conf, "fetch.message.max.bytes", FETCH_PARTITION_MAX, why) &&
           set_number(conf, "fetch.max.bytes", FETCH_MAX, why) &&
           set_number(conf, "queued.max.messages.kbytes", CONSUMER_KBYTES_MAX, why) &&
           set_number(conf, "queued.min.messages", CONSUMER_MESSAGES_MIN, why);
}
