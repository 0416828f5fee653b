/* One AMQP connection with one channel: frames out of a buffer and into one, login, heartbeats, end.
 *
 * A relay has two, because a broker in an alarm stops reading from who publishes, and acks of what was
 * received, which would help it, must still get through.
 *
 * Whatever fails is written to `why`, and the link is lost: link_close is all that may follow. */
#ifndef ORDERLY_BROKERS_RABBITMQ_LINK_H
#define ORDERLY_BROKERS_RABBITMQ_LINK_H
#include "address.h"
#include "codec.h"
#include "orderly/base/buf.h"
#include "stream.h"

#define LINK_CHANNEL 1u
#define LINK_HEARTBEAT_S 10u
#define LINK_OUT_MAX (256u << 10) /* bytes that wait; no message is begun behind as many */
#define LINK_FRAME_MAX 131072u    /* bytes, with its head and end; what RabbitMQ offers */
#define LINK_FRAME_EXTRA 8u       /* bytes of a frame that are not its content */

struct link {
    struct stream stream; /* fd -1: not open */
    amqp_pool_t methods;  /* what the method that came last is made of */
    char *why;            /* BROKER_WHY_MAX */
    struct buf out;
    size_t out_at; /* of out, what is sent already */
    char *in;
    size_t in_at, in_n;
    uint64_t in_skip; /* bytes that are still to come of a frame that was cut off, with its end */
    uint32_t frame_max;
    int64_t heartbeat_ms;
    int64_t heard_ms, sent_ms; /* when the last bytes came and went */
    bool is_blocked;           /* the broker takes no messages for now */
    bool is_lost;
    char blocked_why[BROKER_WHY_MAX];
};

struct link_frame {
    uint8_t type; /* AMQP_FRAME_METHOD, HEADER or BODY; others are not told of */
    amqp_method_t method;
    /* HEADER. The broker cuts bodies into frames, but not properties: what is longer than a frame may be
     * is told as far as a frame goes. */
    uint64_t body_size;
    struct str properties;
    bool is_cut;
    struct str body; /* BODY */
};

enum link_reply {
    LINK_DONE,
    LINK_CLOSED, /* the broker closed the channel, and says why; it may be opened again */
    LINK_LOST
};

void link_init(struct link *l, char *why);
void link_deinit(struct link *l);

/* Connects, logs in, and opens the channel. name: what the broker shows of it. False: why, and the
 * link is as before. */
bool link_open(struct link *l, struct address_host *host, SSL_CTX *tls, const char *vhost,
               const struct broker_config *config, const char *name, int64_t deadline_ms);
/* A channel in place of the one that was closed. */
enum link_reply link_open_channel(struct link *l, int64_t deadline_ms);

/* Puts a method of the channel into the buffer. Its texts are of bounded size: none is longer than
 * SHORT_STRING_MAX. */
void link_put(struct link *l, amqp_method_number_t id, void *method);
/* The same, and waits for the answer; to be used only while nothing else can come on the channel. */
enum link_reply link_call(struct link *l, amqp_method_number_t id, void *method,
                          amqp_method_number_t answer, int64_t deadline_ms);
/* Puts header and body of a message behind its method. False, and nothing was put: the properties are
 * longer than a frame may be. */
bool link_put_content(struct link *l, amqp_basic_properties_t *properties, struct str body);

static inline size_t link_waiting(const struct link *l)
{
    return l->out.n - l->out_at;
}

/* Sends what the socket takes. False: lost. */
bool link_flush(struct link *l);
/* The next frame of the channel that is there already: 1; 0: none; -1: lost, also where the broker
 * closed connection or channel. The frame is good until the next call. */
int link_next(struct link *l, struct link_frame *frame);
/* A heartbeat where one is due, and whether the broker's came: false: lost. To be called when all that
 * has come was read, and by when: *due_ms is lowered to the next time that this must be looked at. */
bool link_tick(struct link *l, int64_t now_ms, int64_t *due_ms);

/* Says good-bye where the link is well, sends what it can and waits for the broker's answer until the
 * deadline, so that no ack is thrown away with the socket. */
void link_close(struct link *l, int64_t deadline_ms);
#endif
