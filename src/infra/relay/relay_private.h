/* What the two sides of a relay share.
 *
 *   broker_relay.c   the loop's side: deliveries in, outcomes out, what people are told
 *   relay_thread.c   the relay's own thread: connecting, publishing, acknowledgements
 *   relay_inbound.c  what the broker delivers, at the loop: in and out of the inlet
 *   relay_received.c a message from the broker, on its way to the loop and back
 *   relay_render.c   a message as the broker gets it
 *
 * An item stands for one message in the relay's hands. It is in exactly one list: free (loop), handed
 * (under the lock; while there is no connection all of them are), todo or unacked (thread), or on its way back in the mailbox. Whoever has it may
 * touch it; the message itself never changes, and is kept alive by the delivery. */
#ifndef ORDERLY_SRC_INFRA_RELAY_PRIVATE_H
#define ORDERLY_SRC_INFRA_RELAY_PRIVATE_H
#include "orderly/infra/loop/mailbox.h"
#include "orderly/infra/relay/broker_relay.h"
#include "orderly/infra/relay/relay_pace.h"
#include "relay_inbound.h"
#include "relay_received.h"
#include "relay_render.h"

enum relay_outcome { RELAY_ACKED, RELAY_REFUSED, RELAY_UNAVAILABLE };

/* From the thread to the loop. */
enum relay_letter_kind {
    RELAY_LETTER_ITEM,
    RELAY_LETTER_RECEIVED,
    RELAY_LETTER_STATUS,
    RELAY_LETTER_ENDED
};

struct relay_item {
    struct relay_letter letter;
    uint32_t index;
    uint32_t turn; /* with the index the tag; counts on when a tag may not be heard any more */
    const struct message *message;
    struct delivery *delivery; /* loop only */
    bool is_unacked;
    int64_t published_ms;
    enum relay_outcome outcome;
    char *why; /* REFUSED; on the heap */
};

/* As the thread last saw it. */
struct relay_status {
    struct relay_counts counts;
    bool is_connected;
    char why[RELAY_WHY_MAX];
};

struct broker_relay {
    struct broker_relay_config config;
    int wake_fd;        /* an eventfd; the thread reads it */
    atomic_size_t held; /* bytes of received messages; the thread adds, whoever is done takes off */

    /* Loop only. */
    struct relay port;
    struct mailbox mailbox;
    uv_thread_t thread;
    bool has_thread, is_closing;
    struct relay_item *items; /* broker.window of them */
    struct list free;
    struct relay_inbound inbound;
    struct relay_pace pace;
    void (*on_closed)(void *ctx);
    void *closed_ctx;

    /* Guarded by lock. */
    uv_mutex_t lock;
    struct list handed;
    struct list settled;   /* received messages that are durable here, or are not wanted */
    uint64_t limit_wanted; /* messages a second; 0: none */
    bool asked_to_drain, asked_to_end, asked_to_listen;
    struct str listens[BROKER_LISTENS_MAX]; /* to what, where it was asked to */
    unsigned n_listens;
    struct relay_status status;
    bool is_status_posted;

    /* Thread only. */
    struct broker_host host;
    struct broker *broker;
    struct relay_letter status_letter, ended_letter;
    struct list todo, unacked; /* unacked: the longest published first */
    unsigned n_unacked;
    uint64_t limit;       /* as limit_wanted was */
    uint64_t allowed;     /* thousandths of messages that may be published under it */
    int64_t turn_ms;      /* the present turn began */
    uint64_t done_before; /* work of the turns before it */
    struct list to_ack;
    uint64_t connection;     /* counts; handles are of one */
    struct relay_status now; /* goes to status */
    bool is_connected, is_draining, is_ending, has_changed;
    /* An adapter keeps the configuration that it was made with; the next one gets the other. */
    struct broker_config made_with[2];
    unsigned made_at;            /* the present one's */
    bool must_begin_anew;        /* it listens to what was wanted before */
    int64_t anew_at_ms, anew_ms; /* of beginning anew */
    bool is_blocked;             /* the broker has said so, and will say when it no longer is */
    int64_t connected_ms, retry_at_ms, retry_ms; /* of connecting */
    int64_t paused_until_ms, pause_ms, again_ms; /* of publishing */
    int64_t head_since_ms;                       /* the first of unacked is the first since then */
    int64_t drain_ends_ms;
    bool acked_since_connect;
    struct relay_render render;
};

/* The thread's. */
extern const struct broker_host relay_host;
void relay_thread_run(void *relay);
#endif
