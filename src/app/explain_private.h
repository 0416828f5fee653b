/* What the files of explain share.
 *
 *   explain.c           the operation: looking on the loop, reading on any thread; tree and commands
 *   explain_waits.c     for what it waits, from whom, since when, and why that does not come
 *   explain_sentence.c  the same for people */
#ifndef ORDERLY_SRC_APP_EXPLAIN_PRIVATE_H
#define ORDERLY_SRC_APP_EXPLAIN_PRIVATE_H
#include "app_private.h"
#include "orderly/app/explain.h"

/* How far a subscription is, at the moment of the look. */
struct explained_subscription {
    uint64_t taken_position, lag;
    bool is_paused, is_at_limit, is_stuck;
};

struct explain_work {
    struct explain *op;
    struct store_read read;
    struct arena arena; /* of everything that is shown */
    enum err status;
    struct explanation e;

    /* Seen on the loop. */
    struct dossier *dossier; /* pinned; only the loop may look into it */
    struct order *order;     /* of our own; given back on the loop */
    struct simulators simulators;
    unsigned contexts; /* that are here */
    struct explained_subscription subscriptions[SUBSCRIPTION_COUNT];
    bool *effect_is_ours; /* by the order's effects: the built-in context's own */
    bool payment_is_pending;
    bool has_shipment; /* that moved the order */
    struct shipment shipment;

    struct explained_delivery *deliveries; /* the order's lanes, then the retried letters' */

    /* Read. */
    const struct event **events; /* of the order's lane, in log order */
    unsigned n_events;
    struct dead_letter *letters; /* newest first, whatever their state */
    unsigned n_letters;
};

/* ---- explain.c ---- */
/* NULL: not among those that are shown. */
const struct event *explain_event_at(const struct explain_work *w, uint64_t position);

/* ---- explain_waits.c ---- */
bool explain_hears(const struct explain_work *w, enum subscription_id s, const struct event *e);
/* On the loop, last. Fills waits, is_parked, is_settled and the timers. */
void explain_waits(struct explain_work *w);
/* When the order came into its status; 0: not shown. */
int64_t explain_status_since(const struct explain_work *w);

/* ---- explain_sentence.c ---- */
struct str explain_sentence(struct explain_work *w, const struct explained_wait *wait);
struct str explain_summary(struct explain_work *w);
#endif
