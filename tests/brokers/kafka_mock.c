/* A Kafka cluster of librdkafka's mock brokers, for tests/brokers.
 *
 *     kafka_mock BROKERS
 *
 * prints the addresses it listens on, and then obeys commands from stdin, one on a line, each answered
 * with a line: "ok", or an error's text.
 *
 *     topic NAME PARTITIONS        makes it; one that is only used is made with librdkafka's default
 *     error API CODE COUNT         the next COUNT requests of this kind (0: Produce, 8: OffsetCommit…)
 *                                  are answered with the code; -195: the connection is closed
 *     broker_error BROKER API CODE COUNT    the same of one broker (1 is the first)
 *     errors_left BROKER API       "ok", and how many of these were not used yet
 *     leader TOPIC PARTITION BROKER
 *     topic_error NAME CODE        what is said of the topic; 0: nothing
 *     down, up                     all brokers: connections are closed and refused, or not
 *     rtt MS                       each answer is held back for as long
 *     deaf                         the answer to the next Produce is held back, and with it all that
 *                                  are behind it on that connection, until the connection ends
 *     committed GROUP TOPIC        "ok", and how far the group is in each partition; -: nowhere
 *     put TOPIC KEY BODY NAME=VALUE…
 *                                  a message with these headers; all but TOPIC and NAME in hexadecimal,
 *                                  -: no KEY
 *     read TOPIC                   before "ok" a line for each message that has come since the last
 *                                  read; all of them where that was of another topic:
 *                                  PARTITION OFFSET KEY BODY NAME=VALUE…, as above
 *
 * Ends with its stdin. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BROKERS_MAX 9
#define ERRORS_MAX 1000
#define PARTITIONS 4 /* of which committed and read tell */
#define PATIENCE_MS 60000
#define DEAF_MS 3600000
#define PRODUCE 0
#define HEADERS_MAX 64

static bool number(const char *text, long *out)
{
    char *end;

    *out = text ? strtol(text, &end, 10) : 0;
    return text && *text && *end == '\0';
}

static rd_kafka_resp_err_t push_errors(rd_kafka_mock_cluster_t *cluster, long api, long code,
                                       long count)
{
    static rd_kafka_resp_err_t errors[ERRORS_MAX];

    if (count < 0 || count > ERRORS_MAX)
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    for (long i = 0; i < count; i++)
        errors[i] = (rd_kafka_resp_err_t)code;
    rd_kafka_mock_push_request_errors_array(cluster, (int16_t)api, (size_t)count, errors);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* One is enough: answers of one connection go in their order. It is taken, only not said so. */
static rd_kafka_resp_err_t deafen(rd_kafka_mock_cluster_t *cluster)
{
    return rd_kafka_mock_broker_push_request_error_rtts(cluster, 1, PRODUCE, 1,
                                                        RD_KAFKA_RESP_ERR_NO_ERROR, DEAF_MS);
}

static rd_kafka_resp_err_t push_broker_errors(rd_kafka_mock_cluster_t *cluster, long broker,
                                              long api, long code, long count)
{
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (count < 0 || count > ERRORS_MAX)
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    for (long i = 0; i < count && !err; i++)
        err = rd_kafka_mock_broker_push_request_error_rtts(cluster, (int32_t)broker, (int16_t)api,
                                                           1, (rd_kafka_resp_err_t)code, 0);
    return err;
}

/* Prints it behind "ok", which is all of the answer. */
static rd_kafka_resp_err_t tell_errors_left(rd_kafka_mock_cluster_t *cluster, char *words)
{
    char *broker = strsep(&words, " "), *api = strsep(&words, " ");
    rd_kafka_resp_err_t err;
    size_t n = 0;
    long a, b;

    if (!number(broker, &a) || !number(api, &b))
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    err = rd_kafka_mock_broker_error_stack_cnt(cluster, (int32_t)a, (int16_t)b, &n);
    if (!err)
        printf("ok %zu\n", n);
    return err;
}

static rd_kafka_resp_err_t obey(rd_kafka_mock_cluster_t *cluster, char *line)
{
    char *rest = line, *name = strsep(&rest, " "), *first = strsep(&rest, " ");
    char *second = strsep(&rest, " "), *third = strsep(&rest, " ");
    char *fourth = strsep(&rest, " ");
    long a, b, c, d;

    if (strcmp(name, "topic") == 0 && number(second, &a))
        return rd_kafka_mock_topic_create(cluster, first, (int)a, 1);
    if (strcmp(name, "error") == 0 && number(first, &a) && number(second, &b) && number(third, &c))
        return push_errors(cluster, a, b, c);
    if (strcmp(name, "broker_error") == 0 && number(first, &a) && number(second, &b) &&
        number(third, &c) && number(fourth, &d))
        return push_broker_errors(cluster, a, b, c, d);
    if (strcmp(name, "leader") == 0 && number(second, &a) && number(third, &b))
        return rd_kafka_mock_partition_set_leader(cluster, first, (int32_t)a, (int32_t)b);
    if (strcmp(name, "topic_error") == 0 && number(second, &a)) {
        rd_kafka_mock_topic_set_error(cluster, first, (rd_kafka_resp_err_t)a);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (strcmp(name, "down") == 0)
        return rd_kafka_mock_broker_set_down(cluster, -1);
    if (strcmp(name, "up") == 0)
        return rd_kafka_mock_broker_set_up(cluster, -1);
    if (strcmp(name, "deaf") == 0)
        return deafen(cluster);
    if (strcmp(name, "rtt") == 0 && number(first, &a))
        return rd_kafka_mock_broker_set_rtt(cluster, -1, (int)a);
    return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

static void pass_over_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

/* A client of the cluster; NULL: the reason was printed to stderr. It says nothing of what goes wrong
 * on its way: its calls do. */
static rd_kafka_t *client_of(rd_kafka_mock_cluster_t *cluster, rd_kafka_type_t type,
                             const char *group)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk = NULL;

    rd_kafka_conf_set_log_cb(conf, pass_over_log);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster),
                          reason, sizeof(reason)) == 0 &&
        rd_kafka_conf_set(conf, "group.id", group, reason, sizeof(reason)) == 0 &&
        rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "500", reason, sizeof(reason)) == 0 &&
        (type == RD_KAFKA_CONSUMER ||
         (rd_kafka_conf_set(conf, "partitioner", "murmur2_random", reason, sizeof(reason)) == 0 &&
          rd_kafka_conf_set(conf, "linger.ms", "0", reason, sizeof(reason)) == 0)))
        rk = rd_kafka_new(type, conf, reason, sizeof(reason));
    if (!rk) {
        fprintf(stderr, "kafka_mock: %s\n", reason);
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

/* Prints the places behind "ok", which is all of the answer. */
static rd_kafka_resp_err_t tell_committed(rd_kafka_mock_cluster_t *cluster, char *words)
{
    const char *group = strsep(&words, " "), *topic = words;
    rd_kafka_t *rk = topic ? client_of(cluster, RD_KAFKA_CONSUMER, group) : NULL;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t err;

    if (!rk)
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    list = rd_kafka_topic_partition_list_new(PARTITIONS);
    rd_kafka_topic_partition_list_add_range(list, topic, 0, PARTITIONS - 1);
    err = rd_kafka_committed(rk, list, PATIENCE_MS);
    if (!err) {
        printf("ok");
        for (int i = 0; i < list->cnt; i++) {
            if (list->elems[i].offset < 0)
                printf(" -");
            else
                printf(" %lld", (long long)list->elems[i].offset);
        }
        printf("\n");
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return err;
}

/* ---- messages, as somebody else sends and reads them ------------------------------------------ */

static unsigned digit(char c)
{
    return (unsigned)(c >= 'a' ? c - 'a' + 10 : c - '0');
}

/* In place; returns the bytes. */
static size_t unhex(char *text)
{
    size_t n = strlen(text) / 2;

    for (size_t i = 0; i < n; i++)
        text[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return n;
}

static void print_hex(const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++) {
        (void)putchar_unlocked(digits[p[i] >> 4]);
        (void)putchar_unlocked(digits[p[i] & 15]);
    }
}

static rd_kafka_t *putter;

static rd_kafka_resp_err_t put(rd_kafka_mock_cluster_t *cluster, char *words)
{
    char *topic = strsep(&words, " "), *key = strsep(&words, " "), *body = strsep(&words, " ");
    bool has_key = key && strcmp(key, "-") != 0;
    size_t n_key, n_body;
    rd_kafka_vu_t vus[4 + HEADERS_MAX];
    size_t n = 0;
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t err;

    if (!body || (!putter && !(putter = client_of(cluster, RD_KAFKA_PRODUCER, "put"))))
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    n_key = has_key ? unhex(key) : 0;
    n_body = unhex(body);
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY };
    vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { body, n_body } };
    if (has_key)
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { key, n_key } };
    while (words && n < sizeof(vus) / sizeof(*vus)) {
        char *value = strsep(&words, " "), *name = strsep(&value, "=");

        if (!value)
            return RD_KAFKA_RESP_ERR__INVALID_ARG;
        vus[n++] = (rd_kafka_vu_t){ .vtype = RD_KAFKA_VTYPE_HEADER,
                                    .u.header = { name, value, (ssize_t)unhex(value) } };
    }
    error = rd_kafka_produceva(putter, vus, n);
    if (!error)
        return rd_kafka_flush(putter, PATIENCE_MS);
    err = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return err;
}

static void print_message(const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *bytes;
    size_t n;

    printf("%d %lld ", (int)m->partition, (long long)m->offset);
    if (m->key)
        print_hex(m->key, m->key_len);
    else
        printf("-");
    printf(" ");
    print_hex(m->payload, m->len);
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &bytes, &n) == 0; i++) {
            printf(" %s=", name);
            print_hex(bytes, n);
        }
    }
    printf("\n");
}

/* Who reads, and how far he is. */
static struct {
    rd_kafka_t *rk;
    char topic[256];
    int64_t next[PARTITIONS];
} reader;

static rd_kafka_resp_err_t read_from_begin(const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    rd_kafka_resp_err_t err;

    for (int i = 0; i < PARTITIONS; i++) {
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = 0;
        reader.next[i] = 0;
    }
    (void)snprintf(reader.topic, sizeof(reader.topic), "%s", topic);
    err = rd_kafka_assign(reader.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

/* Up to what is there now. */
static rd_kafka_resp_err_t read_on(rd_kafka_mock_cluster_t *cluster, const char *topic)
{
    int64_t end[PARTITIONS];
    int left = 0;
    time_t until = time(NULL) + PATIENCE_MS / 1000;
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (!reader.rk && !(reader.rk = client_of(cluster, RD_KAFKA_CONSUMER, "read")))
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    if (strcmp(topic, reader.topic) != 0)
        err = read_from_begin(topic);
    for (int i = 0; i < PARTITIONS && !err; i++) {
        int64_t low;

        err = rd_kafka_query_watermark_offsets(reader.rk, topic, i, &low, &end[i], PATIENCE_MS);
        if (!err && low > reader.next[i]) /* it keeps the last 5 MiB of a partition */
            err = RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
        left += !err && reader.next[i] < end[i];
    }
    while (left && !err) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader.rk, PATIENCE_MS);
        int64_t *next = m && !m->err && strcmp(rd_kafka_topic_name(m->rkt), topic) == 0
                            ? &reader.next[m->partition]
                            : NULL;

        if (!m || time(NULL) > until) /* errors are tried again by the client */
            err = RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (next && m->offset >= *next) {
            print_message(m);
            left -= *next < end[m->partition] && m->offset + 1 >= end[m->partition];
            *next = m->offset + 1;
        }
        if (m)
            rd_kafka_message_destroy(m);
    }
    return err;
}

/* Prints it. */
static void answer(rd_kafka_mock_cluster_t *cluster, char *line)
{
    char *words = line;
    const char *name = strsep(&words, " ");
    rd_kafka_resp_err_t err;

    if (words && strcmp(name, "committed") == 0) {
        err = tell_committed(cluster, words);
        if (!err)
            return;
    } else if (words && strcmp(name, "errors_left") == 0) {
        err = tell_errors_left(cluster, words);
        if (!err)
            return;
    } else if (words && strcmp(name, "put") == 0) {
        err = put(cluster, words);
    } else if (words && strcmp(name, "read") == 0) {
        err = read_on(cluster, words);
    } else {
        if (words)
            words[-1] = ' ';
        err = obey(cluster, line);
    }
    printf("%s\n", err ? rd_kafka_err2str(err) : "ok");
}

int main(int argc, char **argv)
{
    char reason[256], *line = NULL;
    size_t cap = 0;
    ssize_t n;
    long brokers;
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;

    if (argc != 2 || !number(argv[1], &brokers) || brokers < 1 || brokers > BROKERS_MAX) {
        fprintf(stderr, "usage: kafka_mock BROKERS, 1 to %d, with commands on stdin\n",
                BROKERS_MAX);
        return 2;
    }
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, pass_over_log);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    cluster = rk ? rd_kafka_mock_cluster_new(rk, (int)brokers) : NULL;
    if (!cluster) {
        fprintf(stderr, "kafka_mock: %s\n", rk ? "no cluster" : reason);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    while ((n = getline(&line, &cap, stdin)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        answer(cluster, line);
    }
    free(line);
    if (putter)
        rd_kafka_destroy(putter);
    if (reader.rk)
        rd_kafka_destroy(reader.rk);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return 0;
}
