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
 *     topic_error NAME CODE        what is said of the topic; 0: nothing
 *     down, up                     all brokers: connections are closed and refused, or not
 *     rtt MS                       each answer is held back for as long
 *     committed GROUP TOPIC        "ok", and how far the group is in each partition; -: nowhere
 *
 * Ends with its stdin. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKERS_MAX 9
#define ERRORS_MAX 1000
#define PARTITIONS 4 /* of which committed tells */
#define PATIENCE_MS 60000

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

static rd_kafka_resp_err_t obey(rd_kafka_mock_cluster_t *cluster, char *line)
{
    char *rest = line, *name = strsep(&rest, " "), *first = strsep(&rest, " ");
    char *second = strsep(&rest, " "), *third = strsep(&rest, " ");
    long a, b, c;

    if (strcmp(name, "topic") == 0 && number(second, &a))
        return rd_kafka_mock_topic_create(cluster, first, (int)a, 1);
    if (strcmp(name, "error") == 0 && number(first, &a) && number(second, &b) && number(third, &c))
        return push_errors(cluster, a, b, c);
    if (strcmp(name, "topic_error") == 0 && number(second, &a)) {
        rd_kafka_mock_topic_set_error(cluster, first, (rd_kafka_resp_err_t)a);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (strcmp(name, "down") == 0)
        return rd_kafka_mock_broker_set_down(cluster, -1);
    if (strcmp(name, "up") == 0)
        return rd_kafka_mock_broker_set_up(cluster, -1);
    if (strcmp(name, "rtt") == 0 && number(first, &a))
        return rd_kafka_mock_broker_set_rtt(cluster, -1, (int)a);
    return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

/* Prints the places behind "ok", which is all of the answer. */
static rd_kafka_resp_err_t tell_committed(rd_kafka_mock_cluster_t *cluster, const char *group,
                                          const char *topic)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t err;

    if (!group || !topic ||
        rd_kafka_conf_set(conf, "group.id", group, reason, sizeof(reason)) != 0 ||
        rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster),
                          reason, sizeof(reason)) != 0 ||
        !(rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason)))) {
        rd_kafka_conf_destroy(conf);
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    }
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

static void pass_over_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
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
        static const char committed[] = "committed ";
        rd_kafka_resp_err_t err;

        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (strncmp(line, committed, sizeof(committed) - 1) == 0) {
            char *topic = line + sizeof(committed) - 1, *group = strsep(&topic, " ");

            err = tell_committed(cluster, group, topic);
            if (!err)
                continue;
        } else {
            err = obey(cluster, line);
        }
        printf("%s\n", err ? rd_kafka_err2str(err) : "ok");
    }
    free(line);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return 0;
}
