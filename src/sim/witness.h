/* What can be seen of a simulated server from outside, and the invariants that are judged on it.
 *
 * The world (world.h) runs the server and tells the witness what happened, in the order in which it
 * happened; the witness never asks the server. So a fault in the server can't hide itself: what was
 * acknowledged is what a client has read, what is durable is what was committed, and what was handled
 * is what was handed over and ended.
 *
 *   answered   an answer as a client read it       handed_over, ended   a delivery
 *   committed  rows that are durable now           crashed, started     the process
 *
 * Each call judges what it changes (incrementally); crashed and finished judge the whole state. The
 * first violation is kept, and the world stops there.
 *
 * Not thread safe; no clock, no chance, no disk. */
#ifndef SRC_SIM_WITNESS_H
#define SRC_SIM_WITNESS_H
#include "orderly/app/bus.h"
#include "orderly/app/settings.h"
#include "orderly/app/store.h"
#include "orderly/base/digest.h"

/* name, what holds */
#define SIM_INVARIANT_MAP(X)                                                                       \
    X(ACKNOWLEDGED, "acknowledged is never lost")                                                  \
    X(ONCE, "one key is one effect and one answer, for 24 hours")                                  \
    X(LANE_ORDER, "each subscription hears an order's messages in their order, one at a time")     \
    X(CHARGED_ONCE, "an order is charged at most once")                                            \
    X(REFUNDED, "what was charged for an order that ended cancelled or rejected goes back once")   \
    X(STOCK, "reserved + available = on hand, nothing negative, no reservation without an order")  \
    X(STREAM, "events are dense, in the log and in each stream, and follow from the one before")   \
    X(HEARD, "a message that moves an order, or asks a context for something, is not passed over") \
    X(RELAYED, "a broker gets what was decided here: all, and an order's in order")                \
    X(RECEIVED, "what a broker brings is durable, as it was said, before it may forget it")        \
    X(STREAMED, "who follows the log, or waits for a state, hears of it: all, once, in order")     \
    X(ANSWER, "an answer says what the events say, and refuses only what may be refused")          \
    X(READ_MODEL, "snapshots and lists are what the events say")                                   \
    X(CURSOR, "no cursor is past a message that is not handled")                                   \
    X(DEAD_LETTER, "dead letters hold exactly what failed")                                        \
    X(TIMER, "a deadline fires, once, not before its time")                                        \
    X(SETTLED, "when faults stop every order is settled")

enum sim_invariant {
#define X(name, what) SIM_##name,
    SIM_INVARIANT_MAP(X)
#undef X
        SIM_INVARIANT_COUNT
};
const char *sim_invariant_name(enum sim_invariant i); /* "ACKNOWLEDGED" */
const char *sim_invariant_text(enum sim_invariant i);

#define SIM_VIOLATION_TEXT_MAX 512
struct sim_violation {
    enum sim_invariant invariant;
    bool has_order;
    struct order_id order; /* the one it is about */
    int64_t at_us;         /* simulated monotonic time */
    char text[SIM_VIOLATION_TEXT_MAX];
};

/* A command as the client sent it, and the answer as it read it. */
struct sim_answer {
    enum sim_command {
        SIM_PLACE,
        SIM_CHECKOUT,
        SIM_CANCEL,
        SIM_APPROVE,
        SIM_MARK_PAID,
        SIM_READY,
        SIM_COMPLETE,
        SIM_DISPATCH,
        SIM_DELIVER,
        SIM_MESSAGE,
        SIM_RETRY,
        SIM_DISCARD,
        SIM_SETTINGS,
        SIM_OTHER_COMMAND,
        SIM_READ,
        SIM_WAIT,
        SIM_READ_SETTINGS
    } command;
    uint64_t request; /* of the client's: the same number for each try with the same key */
    struct str key;   /* Idempotency-Key; n == 0: none */
    bool is_replayed; /* the answer says Idempotent-Replayed */
    int status;       /* of HTTP */
    bool has_order;
    struct order_id order;
    uint64_t sequence; /* from ETag; 0: none */
    uint64_t if_match; /* the version that it was sent for; 0: any */
    struct str body;
    int64_t asked_wall_ms, answered_wall_ms;
    int64_t asked_us, asked_awake_us; /* monotonic; witness_awake_us */
    enum event_type message_type;     /* SIM_MESSAGE */
    enum simulator simulator;         /* SIM_SETTINGS, SIM_READ_SETTINGS */
    uint32_t until;                   /* SIM_WAIT: bit for each state */
    int64_t wait_ms;
    bool is_ending; /* the process answers all who wait */
    struct str message_id;
};

/* An event or message as a stream says it. */
struct sim_entry {
    bool is_of_events;
    uint64_t after, position; /* of the one before, and its own */
    struct str name, data;
};

struct witness;
struct witness_config {
    struct bus *bus; /* of the first process: for `wants` and the settings of retries; borrowed */
    uint64_t seed;
    int64_t payment_timeout_ms;
    unsigned retries;
    bool lacks_inventory; /* somebody outside has it */
};
struct witness *witness_create(const struct witness_config *config);
void witness_destroy(struct witness *w);

/* Every call first says when it is. */
void witness_time(struct witness *w, int64_t mono_us, int64_t wall_ms);
/* Time in which the process could have done something. */
int64_t witness_awake_us(const struct witness *w);

/* These groups of rows (linked by store_write.link) are durable now. */
void witness_committed(struct witness *w, const struct list *writes);
void witness_answered(struct witness *w, const struct sim_answer *a);
void witness_streamed(struct witness *w, const struct sim_entry *e);
/* A stream was to go on from one position, and says that it does from another. */
void witness_streamed_from(struct witness *w, uint64_t asked, uint64_t from);
/* Nothing happens any more, and a follower has come so far. */
void witness_followed(struct witness *w, bool is_of_events, uint64_t position);
void witness_handed_over(struct witness *w, const struct delivery *d);
void witness_ended(struct witness *w, const struct delivery *d, enum delivery_end how);
/* The world is going to make this delivery fail, with that code, in place of its handler. */
void witness_fails(struct witness *w, const struct delivery *d, enum failure_code code);
/* A broker has taken it, for the first time or again. */
void witness_relayed(struct witness *w, enum subscription_id s, uint64_t position);
/* The outside Payments or Inventory says it; a broker is going to bring it. */
struct sim_said {
    struct str id;        /* the message's */
    enum event_type type; /* that it is to become; MESSAGE_REFUSED: nobody can receive it */
    struct order_id order;
    struct payment_id payment_id;
    int64_t amount; /* minor units; of a payment or refund */
    struct currency currency;
    struct reservation_id reservation_id;
    struct str body; /* MESSAGE_REFUSED: its bytes */
};
void witness_said(struct witness *w, const struct sim_said *said);
/* The broker was told that a message which was said is durable, for the first time or again. */
void witness_received(struct witness *w, struct str id);
/* The process is gone, and all that was not committed. The view shows what is durable. */
void witness_crashed(struct witness *w, const struct store_view *v);
/* A new process has loaded. bus: its own. */
void witness_started(struct witness *w, struct bus *bus);
/* Placed when faults had stopped, of what there is, with contexts that behave: it goes its whole way. */
void witness_expects(struct witness *w, const struct order_id *id);
/* Faults have stopped, and for long this was asked for without an answer that is one. */
void witness_unanswered(struct witness *w, const char *what);
/* Faults have stopped, dead letters were retried by an operator, and nothing happens any more. */
void witness_finished(struct witness *w, const struct store_view *v);

/* NULL: all holds so far. */
const struct sim_violation *witness_violation(const struct witness *w);
/* Orders that were acknowledged, events and deliveries seen: for the report. */
struct witness_counts {
    uint64_t acknowledged, events, commits, deliveries, failures, judged, whole_judged;
    uint64_t passed_over, refused, waited, streamed, relayed, received;
};
void witness_counts(const struct witness *w, struct witness_counts *out);
#endif
