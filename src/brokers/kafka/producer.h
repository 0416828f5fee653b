/* Publishing to one topic of Kafka, idempotent and with all replicas' word.
 *
 * librdkafka sends again by itself what it can send again; what comes back with an error is final for
 * it. Its threads put reports into a queue, which is read on the relay's. */
#ifndef ORDERLY_BROKERS_KAFKA_PRODUCER_H
#define ORDERLY_BROKERS_KAFKA_PRODUCER_H
#include "orderly/base/arena.h"
#include "orderly/infra/relay/broker.h"
#include <librdkafka/rdkafka.h>

struct producer {
    const struct broker_config *config;
    struct broker_host *host;
    char *why;
    rd_kafka_t *rk; /* NULL: not connected */
    rd_kafka_topic_t *topic;
    struct arena scratch;
    /* Of what is in the air, at most config->window: the library carries a pointer to each. */
    uint64_t *tags;
    uint32_t *free_tags, n_free;
    bool is_lost;
    bool is_one_by_one; /* learnt: the broker takes smaller batches than ours */
    bool is_refused_login;
    char trouble[256]; /* the last of one broker's, which may be the reason when all are gone */
    unsigned n_told;   /* of the host's functions, in this serve */
};

void producer_init(struct producer *p, const struct broker_config *config, struct broker_host *host,
                   char *why);
void producer_deinit(struct producer *p);
/* sasl: see settings.h. event_fd: an eventfd that becomes readable when there is something to poll. */
enum broker_result producer_connect(struct producer *p, unsigned sasl, int event_fd,
                                    int64_t deadline_ms);
enum broker_result producer_publish(struct producer *p, const struct broker_message *m);
/* Tells the host what has come; false: lost. */
bool producer_serve(struct producer *p);
/* At once; what is in the air is forgotten. The library's threads have until the deadline to end. */
void producer_disconnect(struct producer *p, int64_t deadline_ms);

/* Milliseconds of a clock that only goes forward. */
int64_t producer_now_ms(void);
#endif
