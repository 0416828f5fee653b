/* Messages to the broker. Each is published with a reply subject of its own, to which JetStream
 * sends its acknowledgement; so an ack names its message, and any order of acks will do. */
#ifndef ORDERLY_BROKERS_NATS_OUTGOING_H
#define ORDERLY_BROKERS_NATS_OUTGOING_H
#include "connection.h"
#include "orderly/base/buf.h"

struct outgoing_slot {
    uint64_t tag;
    uint32_t round; /* of its use, so that an ack that comes twice is none */
    bool is_used;
};

struct outgoing {
    const struct broker_config *config;
    struct broker_host *host;
    struct outgoing_slot *slots; /* config->window of them */
    unsigned *free_slots;
    unsigned n_free;
    struct buf text;    /* of the header that is being written */
    bool doubts_stream; /* a message met no stream */
};

void outgoing_init(struct outgoing *o, const struct broker_config *config,
                   struct broker_host *host);
void outgoing_deinit(struct outgoing *o);
/* Forgets all that was published. */
void outgoing_reset(struct outgoing *o);
enum broker_result outgoing_publish(struct outgoing *o, struct connection *c,
                                    const struct broker_message *m, char *why);
/* what: the reply's subject behind the inbox and its letter. */
void outgoing_take_reply(struct outgoing *o, const char *what, natsMsg *m);
#endif
