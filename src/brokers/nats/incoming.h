/* Messages from the broker: one durable consumer for each pattern, because a server before 2.10
 * filters one subject, named after the group and the pattern. They are pulled: no more is asked for
 * than may wait for its ack, and than there is room for; but what comes again was handed out before,
 * within the same bounds, and is taken whole.
 *
 * Order: JetStream hands over a consumer's messages in the order of the stream, but for those that
 * come again: what was not acked comes behind what is new, when its time is over, in the order in
 * which their times were over, or were said to be (NAK). So at the beginning of a connection a
 * consumer goes through these phases, and nothing is told before the last one:
 *
 *     OTHERS   requests wait at the server that are not of this connection, maybe of one that is half
 *              dead: what comes could go to them. They are waited for until they are over.
 *     PENDING  messages were handed to somebody and not acked: until the time of each is over.
 *     AGAIN    as many are asked for, kept, and told in the stream's order when all are here.
 *     GOING    new ones.
 *
 * Nothing is ever given back for later (NAK), for then it would come behind its successors. Several
 * processes that share a group have no order between them.
 *
 * What takes longer than that time is kept from being delivered again by saying so; where it comes
 * all the same it is the message that the relay has already. */
#ifndef ORDERLY_BROKERS_NATS_INCOMING_H
#define ORDERLY_BROKERS_NATS_INCOMING_H
#include "connection.h"
#include "orderly/base/arena.h"

#define INCOMING_REQUESTS_MAX 2
/* A request that is not filled ends after this. Then it is made again. */
#define INCOMING_REQUEST_MS 5000
/* A server that says nothing of it by then has forgotten it. */
#define INCOMING_LATE_MS 5000
/* Instead, where fewer messages may wait for their ack than there are consumers. */
#define INCOMING_TURN_MS 1000
/* That a server may be late to find out that nobody acked a message. */
#define INCOMING_SLACK_MS 500
/* A request for what comes again; it is made anew while some are missing. */
#define INCOMING_AGAIN_MS 1000
/* Beyond their time, until those that are missing are taken for deleted. */
#define INCOMING_MISSING_MS 5000
/* Between two looks whether others still wait. */
#define INCOMING_OTHERS_MS 250
/* After a request that failed. */
#define INCOMING_PAUSE_MS 500
#define INCOMING_NAME_MAX 160

struct incoming_request {
    uint32_t number;
    unsigned left; /* messages that may still come */
    int64_t asked_ms;
};

enum incoming_phase { INCOMING_OTHERS, INCOMING_PENDING, INCOMING_AGAIN, INCOMING_GOING };

struct incoming_consumer {
    char name[INCOMING_NAME_MAX], filter[INCOMING_NAME_MAX];
    struct incoming_request requests[INCOMING_REQUESTS_MAX]; /* the oldest first */
    unsigned n_requests;
    unsigned share; /* of unacked_max */
    unsigned unacked;
    int64_t ack_wait_ms;
    unsigned batch_max;     /* of a request */
    int64_t expires_max_ms; /* of a request; 0: no limit */
    int64_t ask_at_ms;      /* not before */
    enum incoming_phase phase;
    int64_t phase_ends_ms, look_at_ms;
    uint64_t n_pending;      /* as the server said it last */
    unsigned n_again, again; /* expected, and here */
};

/* A message that waits for its ack. Its place and its round are its handle. */
struct incoming_slot {
    uint64_t sequence; /* in the stream */
    int64_t said_ms;   /* that it is worked on */
    char *reply;       /* NULL: free */
    natsMsg *untold;   /* AGAIN: it was not told yet */
    uint32_t round;
    uint8_t consumer;
};

struct incoming {
    const struct broker_config *config;
    struct broker_host *host;
    struct incoming_consumer consumers[BROKER_LISTENS_MAX];
    struct incoming_slot *slots; /* config->unacked_max of them */
    unsigned *free_slots;
    unsigned n_free, next; /* next: consumer to be asked first */
    uint32_t requests;
    int64_t looked_ms; /* at what takes long */
    bool is_stopped;
    struct arena arena; /* of the message that is handed over */
};

void incoming_init(struct incoming *in, const struct broker_config *config,
                   struct broker_host *host);
void incoming_deinit(struct incoming *in);
/* Forgets what a connection had. */
void incoming_reset(struct incoming *in);
/* Makes the consumers. LOST: why. */
enum broker_result incoming_begin(struct incoming *in, struct connection *c, const char *stream,
                                  int64_t until_ms, char *why);
/* Asks for more, says what takes long. *wait_ms is lowered to when it wants to be called again. */
enum broker_result incoming_ask(struct incoming *in, struct connection *c, const char *stream,
                                int *wait_ms, char *why);
/* A message whose reply subject is one of JetStream's. *m: NULL afterwards where it is kept. */
enum broker_result incoming_take(struct incoming *in, natsMsg **m, char *why);
/* What became of a request; what: the subject behind the inbox and its letter. */
enum broker_result incoming_take_status(struct incoming *in, const char *what, natsMsg *m,
                                        char *why);
/* What the server says of a consumer that was asked for; what: likewise. */
enum broker_result incoming_take_answer(struct incoming *in, const char *what, natsMsg *m,
                                        char *why);
enum broker_result incoming_ack(struct incoming *in, struct connection *c, uint64_t handle,
                                char *why);
#endif
