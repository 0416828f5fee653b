/* Port: a message broker, as a relay sees it. Out: messages are handed to the broker, which says of
 * each when it has it. In: messages of others are handed to the relay, which says of each when it is
 * durable here. The relay (relay.h) does the rest: order, rendering, reconnecting, sending again.
 *
 * An adapter is a module, a shared object `orderly-NAME.so` that exports `struct broker_module
 * broker_module`. It is loaded only where a relay to its kind of broker is configured, so that the
 * program itself needs no broker's library.
 *
 * Thread: an adapter belongs to its relay's thread. Every function below is called there, and calls
 * its host only there, inside of connect, publish, serve or disconnect. Threads of a client library
 * hand what they have to the adapter's own queue, which is bounded, and wake serve.
 *
 * One connection's life:
 *
 *     create ─► connect ─┬─► publish* ack* serve* ─► … ─► disconnect ─► connect again | destroy
 *                        └─ fails: the relay waits, and calls connect again; no disconnect between
 *
 * Whatever was handed over before a disconnect and not acknowledged is forgotten by the adapter: the
 * relay publishes it again, and no ack of an earlier connection is told any more. Messages that were
 * received and not acked come again from the broker. */
#ifndef ORDERLY_INFRA_RELAY_BROKER_H
#define ORDERLY_INFRA_RELAY_BROKER_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define BROKER_ABI 4
#define BROKER_MODULE_SYMBOL "broker_module"
#define BROKER_LISTENS_MAX 8
#define BROKER_ATTRIBUTES_MAX 24
#define BROKER_WHY_MAX 512
/* Says with every message which log it is of, and which of its messages, beside the body and whatever
 * the encoding: a header of NATS and Kafka, an application header of AMQP. No prefix of attributes goes
 * before it. */
#define BROKER_ORIGIN_HEADER "orderly-origin"

/* All texts are also followed by a NUL, which n does not count; empty: not configured. They live as
 * long as the broker. Nothing of it is ever logged but `address` and `name`. */
struct broker_config {
    /* The URL as configured, without user and password: nats://host:port[,host:port…],
     * kafka://host:port[,…], amqp://host:port/vhost; tls:// and amqps:// ask for TLS. */
    struct str url;
    struct str address; /* host:port[,…] of it; for messages to people */
    struct str name;    /* that the connection shows to the broker */
    /* NATS: stream (upper case of it) and first word of subjects; Kafka: topic; RabbitMQ: exchange. */
    struct str channel;
    /* NATS: durable consumer; Kafka: consumer group; RabbitMQ: queue. */
    struct str group;
    struct str user, password; /* from a file or the environment, never from argv */
    struct str token;          /* NATS */
    struct str credentials;    /* path of a NATS .creds file */
    struct str tls_ca, tls_certificate, tls_key; /* paths, PEM */
    /* Before the names of CloudEvents' attributes; the broker's own way where it is empty. */
    struct str attribute_prefix;
    /* What is wanted from the broker: patterns of topics, such as `payment.*`. None: it is only
     * published. */
    struct str listens[BROKER_LISTENS_MAX];
    unsigned n_listens;
    unsigned unacked_max; /* received messages that may wait for their ack; 1..65535 */
    unsigned window;      /* published messages that may wait for the broker's word; 1..65536 */
    uint64_t body_max;    /* bytes; a longer message from outside is told with is_too_large */
    bool declares;        /* stream, topic, exchange and queue are made where they are missing */
};

/* CloudEvents' attributes: name without a prefix, value as it is meant. An adapter puts the prefix
 * before the name, and encodes the value where its binding asks for it; or takes both off. */
struct broker_attribute {
    struct str name, value;
};

/* Views that are good until publish returns. */
struct broker_message {
    uint64_t tag;              /* the relay's; names the message in acked and refused */
    struct str topic;          /* order.placed */
    struct str key;            /* of the order, or whatever else keeps its order; not empty */
    struct str id;             /* the message's */
    struct str correlation_id; /* may be empty */
    struct str content_type;
    struct str origin; /* the value of BROKER_ORIGIN_HEADER; empty: none is sent */
    const struct broker_attribute *attributes;
    unsigned n_attributes; /* 0: what the body says is all */
    struct str body;
};

/* Views that are good until received returns. */
struct broker_delivery {
    uint64_t handle;         /* the adapter's; names the message in ack, of this connection */
    struct str topic;        /* as the broker's routing says it; empty: it does not */
    struct str id;           /* of the broker's own field for it; may be empty */
    struct str content_type; /* may be empty */
    struct str origin;       /* of BROKER_ORIGIN_HEADER; empty: it says none */
    const struct broker_attribute *attributes;
    unsigned n_attributes; /* at most BROKER_ATTRIBUTES_MAX; with more it is too large */
    struct str body;       /* any bytes */
    bool is_too_large; /* the body is the first body_max bytes of it, or something else is cut */
};

/* The relay. why: one line for people; names what was refused, and no secret. */
struct broker_host {
    /* The broker has the message: as durable as this broker makes it. */
    void (*acked)(struct broker_host *h, uint64_t tag);
    /* Nobody was there to get it: where the broker can tell, beside acked, before it. */
    void (*unrouted)(struct broker_host *h, uint64_t tag);
    /* The broker will never take this message (too large, a topic it forbids). */
    void (*refused)(struct broker_host *h, uint64_t tag, struct str why);
    /* Not taken, though it may be later; the connection is well. */
    void (*again)(struct broker_host *h, uint64_t tag, struct str why);
    /* Called for at most unacked_max messages that are not acked. */
    void (*received)(struct broker_host *h, const struct broker_delivery *d);
    /* How many bytes of messages there is still room for; 0: for none. An adapter leaves with the broker
     * what there is no room for: it takes the next message only where this is not 0, and asks for no
     * more than fits, each taken for body_max long. One message may be longer than what is left. There
     * is room again when acks were given, or the host wakes serve. */
    size_t (*room)(struct broker_host *h);
    /* The broker says that it takes no messages for now (its disk is full, say), and why; empty: it
     * takes them again. Until then publish is BROKER_BUSY, and what was published before waits for its
     * word, however long that takes. A connection begins without. */
    void (*blocked)(struct broker_host *h, struct str why);
};

enum broker_result {
    BROKER_OK,
    BROKER_LOST,   /* the connection is no more; `why` says so. disconnect follows */
    BROKER_BUSY,   /* publish only: no room in the client; the same message again after serve */
    BROKER_REFUSED /* publish only: never; `why` says so. Nothing more is told of it */
};

struct broker;
struct broker_ops {
    void (*destroy)(struct broker *b); /* not connected */
    /* Works within timeout_ms, or fails; it can't be woken meanwhile. On BROKER_LOST the broker is as
     * before. */
    enum broker_result (*connect)(struct broker *b, int timeout_ms);
    /* Without waiting for the broker's word: exactly one of acked, refused, again follows in a later
     * serve of this connection. */
    enum broker_result (*publish)(struct broker *b, const struct broker_message *m);
    /* The received message is durable here. An unknown handle is passed over. */
    enum broker_result (*ack)(struct broker *b, uint64_t handle);
    /* Sends what waits to be sent, tells the host what has come, and otherwise waits: until something
     * comes, until wake_fd (level) can be read, or for wait_ms (0: not at all). Does not read wake_fd.
     * Returns after a bounded amount of work, though there may be more. */
    enum broker_result (*serve)(struct broker *b, int wake_fd, int wait_ms);
    /* Nothing more is received: what is published and acked still goes its way. */
    void (*stop_receiving)(struct broker *b);
    /* At once; sends what can be sent without waiting long (a second). */
    void (*disconnect)(struct broker *b);
};

struct broker {
    const struct broker_ops *ops;
    char why
        [BROKER_WHY_MAX]; /* of the last BROKER_LOST or BROKER_REFUSED: reason, with no address */
};

struct broker_module {
    unsigned abi;                 /* BROKER_ABI */
    const char *name;             /* nats */
    const char *schemes;          /* "nats tls" */
    const char *library;          /* what it is built on, with its version, for people */
    const char *attribute_prefix; /* that it uses where none is configured */
    /* host and config outlive the broker. Does no I/O. NULL: `why` (BROKER_WHY_MAX) says which part
     * of the configuration it can't work with. */
    struct broker *(*create)(const struct broker_config *config, struct broker_host *host,
                             char *why);
};
#endif
