/* The few requests of JetStream's API that a relay needs, as JSON over the connection: so they are
 * the same for every version of the client library and know what newer servers say. */
#ifndef ORDERLY_BROKERS_NATS_JETSTREAM_H
#define ORDERLY_BROKERS_NATS_JETSTREAM_H
#include "connection.h"
#include "yyjson.h"

#define JETSTREAM_SUBJECT_MAX 256
#define JETSTREAM_NO_STREAM 10059
#define JETSTREAM_NO_CONSUMER 10014
#define JETSTREAM_NOT_FOR_ACCOUNT 10039
#define JETSTREAM_MESSAGE_TOO_LONG 10054
#define JETSTREAM_NOT_ENABLED 10076
/* Of the consumers that are made here: what is not acked in this time is delivered again. Short,
 * since a relay that works says so in between, and after one that died nothing comes until then. */
#define JETSTREAM_ACK_WAIT_MS 5000

struct jetstream_answer {
    yyjson_doc *doc; /* NULL: no JSON came */
    yyjson_val *root;
    int code;     /* 0, or as HTTP's; 503 where nobody answers requests of this kind */
    int err_code; /* JETSTREAM_… */
    char description[BROKER_WHY_MAX / 2];
};
void jetstream_answer_read(struct jetstream_answer *a, natsMsg *m);
void jetstream_answer_free(struct jetstream_answer *a);

/* Nothing else may be under way on the connection, whose messages these two take. LOST: why. */

/* The stream is there from now on, and acknowledges. */
enum broker_result jetstream_need_stream(struct connection *c, const struct broker_config *config,
                                         const char *stream, int64_t until_ms, char *why);

struct jetstream_consumer {
    const char *name, *filter; /* a subject */
    int64_t max_pending;       /* of the consumer that is made where none is */
    /* Results. */
    int64_t ack_wait_ms; /* the longest that it waits for an ack */
    uint64_t n_pending;  /* messages that somebody was handed, and did not ack */
    uint64_t n_waiting;  /* requests of whoever waits for messages */
    uint64_t batch_max;  /* of one request; 0: no limit */
    int64_t expires_max_ms;
};
/* A durable consumer that is pulled, with acks for each message. */
enum broker_result jetstream_need_consumer(struct connection *c, const struct broker_config *config,
                                           const char *stream, struct jetstream_consumer *consumer,
                                           int64_t until_ms, char *why);

/* How many wait, and are pending, by what the server says of a consumer. */
void jetstream_read_counts(const struct jetstream_answer *a, struct jetstream_consumer *out);

/* Ask whether it is there; the answer comes to the subject reply. */
enum broker_result jetstream_ask_stream(struct connection *c, const char *stream, const char *reply,
                                        char *why);
enum broker_result jetstream_ask_consumer(struct connection *c, const char *stream,
                                          const char *consumer, const char *reply, char *why);
#endif
