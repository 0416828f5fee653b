/* Receiving from one topic as a member of a consumer group.
 *
 * Partitions come and go with the group's members; the group remembers of each how far it is done,
 * and is told so only of what was acked. Where no more may wait for their ack for long the partitions
 * pause, and librdkafka is polled all the same, or the group would take the member for dead. */
#ifndef ORDERLY_BROKERS_KAFKA_CONSUMER_H
#define ORDERLY_BROKERS_KAFKA_CONSUMER_H
#include "held.h"
#include "orderly/infra/relay/broker.h"
#include <librdkafka/rdkafka.h>

struct consumer {
    const struct broker_config *config;
    struct broker_host *host;
    char *why;
    rd_kafka_t *rk; /* NULL: not connected */
    struct held held;
    bool is_lost;
    bool is_paused, is_stopped;
    int64_t full_since_ms;   /* 0: there is room */
    bool is_committing;      /* a commit is on its way */
    int64_t commit_at_ms;    /* the next one not before */
    int64_t commit_pause_ms; /* after one that failed; 0: the last one did not */
    char trouble[256];       /* see producer.h */
};

void consumer_init(struct consumer *c, const struct broker_config *config, struct broker_host *host,
                   char *why);
void consumer_deinit(struct consumer *c);
/* Joins the group, which takes its time: messages come when it has partitions. */
enum broker_result consumer_connect(struct consumer *c, unsigned sasl, int event_fd);
/* Tells the host what has come, max at most; *n: how many were looked at. False: lost. */
bool consumer_serve(struct consumer *c, unsigned max, unsigned *n);
/* How long it may be left alone: until something is to be committed, most_ms at most. */
int consumer_wait_ms(const struct consumer *c, int most_ms);
void consumer_ack(struct consumer *c, uint64_t handle);
void consumer_stop(struct consumer *c);
/* Tells the group what is acked, and leaves it; waits for that until the deadline. */
void consumer_disconnect(struct consumer *c, int64_t deadline_ms);
#endif
