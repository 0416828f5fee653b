/* librdkafka's configuration for ours. */
#ifndef ORDERLY_BROKERS_KAFKA_SETTINGS_H
#define ORDERLY_BROKERS_KAFKA_SETTINGS_H
#include "orderly/infra/relay/broker.h"
#include <librdkafka/rdkafka.h>

/* A request without an answer for as long is taken for lost, and a message of ours is, too. */
#define SETTINGS_REQUEST_MS 10000
#define SETTINGS_MESSAGE_MS 30000
/* Bytes of a batch; one that is larger holds a single message. */
#define SETTINGS_BATCH_MAX 65536u

/* What both sides need: brokers, name, TLS, user. sasl: SETTINGS_SASL_… in the order they are tried.
 * NULL: why (BROKER_WHY_MAX) says what it can't work with. */
rd_kafka_conf_t *settings_common(const struct broker_config *config, unsigned sasl, char *why);
bool settings_for_producer(rd_kafka_conf_t *conf, const struct broker_config *config,
                           bool is_one_by_one, char *why);
bool settings_for_consumer(rd_kafka_conf_t *conf, const struct broker_config *config, char *why);

/* How many ways to log in there are for this configuration; at least 1. */
unsigned settings_n_sasl(const struct broker_config *config);
#endif
