/* Why an order does not move: what it waits for, from whom and since when; what may be done now and
 * why the rest may not; and the story of its events. For a person at three in the morning.
 *
 * Everything is of one moment: the order, its lanes and the last durable position are looked at
 * together on the loop, then its events up to there are read by a store_read. (But for messages of
 * dead letters that are retried beside their lane: who they are is only known then.) Lists are cut at the
 * limits below, oldest first, and say so. */
#ifndef ORDERLY_APP_EXPLAIN_H
#define ORDERLY_APP_EXPLAIN_H
#include "orderly/app/bus.h"
#include "orderly/app/dead_letters.h"
#include "orderly/app/dossier.h"
#include "orderly/app/store.h"
#include "orderly/domain/order.h"

#define EXPLAIN_EVENTS_MAX 500
#define EXPLAIN_IGNORED_MAX 100
#define EXPLAIN_DEAD_LETTERS_MAX 100 /* looked at, the newest; the open ones of them are shown */
#define EXPLAIN_WORDS_MAX 160        /* bytes of an error's detail or a reason in a sentence */

struct app;

/* Why it waits, worst first: the first that holds for an order leads the summary. */
#define EXPLAIN_WHY_MAP(X)                                                                         \
    X(PARKED, "parked")           /* the last attempt failed; waits behind a dead letter */        \
    X(REFUSED, "refused")         /* the message failed for good and parks nothing */              \
    X(DISCARDED, "discarded")     /* somebody discarded it: nothing comes by itself */             \
    X(UNANSWERED, "unanswered")   /* heard, and no answer was given: the same */                   \
    X(RETRYING, "retrying")       /* an attempt failed, the next has its time */                   \
    X(OUTSIDE, "outside")         /* an outside context has to speak */                            \
    X(TO_BE_ASKED, "to_be_asked") /* Payments waits for `pay` */                                   \
    X(BEHIND, "behind")           /* the message has not been handed over yet */                   \
    X(WORKING, "working")         /* it is in a handler's hands */                                 \
    X(PERSON, "person")           /* at rest: the next step is a person's */
enum explain_why {
#define X(name, text) EXPLAIN_##name,
    EXPLAIN_WHY_MAP(X)
#undef X
};
struct str explain_why_name(enum explain_why w);

/* For what it waits. */
#define EXPLAIN_WHAT_MAP(X)                                                                        \
    X(PAYMENT, "payment")                                                                          \
    X(STOCK, "stock")                                                                              \
    X(SHIPMENT, "shipment")                                                                        \
    X(REFUND, "refund")                                                                            \
    X(RELEASE, "release")                                                                          \
    X(RECALL, "recall")     /* of a shipment that was refused */                                   \
    X(HANDLING, "handling") /* of a message on which nothing else waits */                         \
    X(STEP, "step")         /* the store's or the carrier's next one */
enum explain_what {
#define X(name, text) EXPLAIN_##name,
    EXPLAIN_WHAT_MAP(X)
#undef X
};
struct str explain_what_name(enum explain_what w);

/* A message that is not yet handled, or more of them behind it: one lane. */
struct explained_delivery {
    struct lane_state lane;
    const struct event *message; /* at the lane's head; NULL: it could not be read */
    unsigned attempts_max;
    bool
        is_alone; /* that of a retried dead letter, beside the order's lane; dead_letter_id: whose */
};

struct explained_wait {
    enum explain_what what;
    enum explain_why why;
    struct str from;           /* payments, inventory, shipments, orders, store, carrier */
    struct text_id subject;    /* of a refund, release or recall: whose */
    int64_t since_ms;          /* 0: it is behind the events that are shown */
    const struct event *asked; /* what was said to `from`; NULL: nothing, or not shown */
    uint16_t answers[2];       /* enum event_type: what would end it by itself; 0: none */
    const struct explained_delivery *delivery; /* NULL: not a lane's */
    struct dead_letter_id dead_letter_id;      /* nil: none */
    struct str sentence;
};

struct explained_command {
    const char *name;                   /* pay … complete, dispatch, deliver */
    const struct shipment_id *shipment; /* whose command it is; NULL: the order's */
    bool is_legal;
    bool holds;     /* legal, and would change nothing: its effect is there */
    struct str why; /* not legal, or holds */
};

struct explained_ignored {
    uint64_t position;
    enum subscription_id subscription;
    enum order_status state; /* of the order, then */
    struct str why;
    const struct event *message; /* NULL: it could not be read */
};

/* In the order of a tree that is read from its top: an event, then all that it caused. */
struct explained_event {
    const struct event *event;
    unsigned depth;   /* 0: a command, a timer or somebody outside made it */
    int64_t after_ms; /* its cause, with depth > 0 */
    struct str by;    /* command, timer, outside, or the subscription that handled its cause */
};

struct explanation {
    struct str summary;
    const struct order *order;
    int64_t at_ms;     /* the moment of all this */
    uint64_t position; /* of the log, then */
    bool is_settled;   /* final or at rest, nothing due, no message and no timer pending */
    bool is_parked;
    int64_t deadline_ms; /* of the payment; 0: none that is open */
    int64_t timer_ms;    /* the next thing that happens by the clock; 0: none */
    const struct explained_delivery *timer_of; /* whose retry that is; NULL: the deadline's */

    const struct explained_wait *waits; /* worst first */
    unsigned n_waits;
    const struct explained_delivery *deliveries;
    unsigned n_deliveries;
    const struct dead_letter *letters; /* open ones, newest first */
    unsigned n_letters;
    struct explained_command commands[7];
    unsigned n_commands;
    const struct explained_ignored *ignored; /* oldest first */
    unsigned n_ignored;
    const struct explained_event *events;
    unsigned n_events;
    int64_t took_ms; /* from the first event, shown or not, to the last */
    bool letters_cut, ignored_cut, events_cut;
};

struct explain_work;
struct explain {
    /* Set by the caller. done runs once, inside start or later; e (NULL: there is no such order, or
     * status is not ERR_OK) is valid during done only. */
    struct order_id id;
    void (*done)(struct explain *x, const struct explanation *e, enum err status);
    /* App only. */
    struct app *app;
    struct dossier_wait wait;
    struct explain_work *work;
};
void explain_start(struct explain *x, struct app *a);
#endif
