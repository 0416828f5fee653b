/* LANE_ORDER: each subscription hears an order's messages in their order, one at a time.
 *
 * For each subscription and lane there is a queue of what it has to hear, made from the events as they
 * become durable. A process hands over the first that has not ended, and after it the next, and none is
 * left out. Where a process begins is its own affair within bounds: everything before must have ended,
 * and nothing whose effect is durable is handed over again. The same message comes again only after it
 * failed, after its subscription was not to be had, and after a crash.
 *
 * A failure counts when it is durable. Until then, and behind a dead letter that parks the lane, nothing
 * of the lane is handed over. */
#include "orderly/app/deferred_lane.h"
#include "orderly/base/check.h"
#include "witness_private.h"

#define Q_POSITION(q) ((unsigned long long)((q)->positions[(q)->next]))

static const char *name_of(enum subscription_id s)
{
    return subscription_name(s).p;
}

bool lanes_fails_for_good(const struct witness *w, enum subscription_id s, const struct seen *m)
{
    if (w->fails.is_set && w->fails.subscription == s && w->fails.position == m->position)
        return failure_is_permanent(w->fails.code);
    /* What the server finds by itself: a message that was refused when it came in, and one for an
     * order that there is not. */
    return s == SUBSCRIPTION_ORDERS && (m->verdict != VERDICT_FINE || m->lane->flow == FLOW_NONE);
}

int64_t lanes_retry_us_least(const struct witness *w, enum subscription_id s, unsigned attempt)
{
    const struct subscription_config *c = &w->subscriptions[s].config;
    int64_t us = c->retry_base_ms * 1000, max_us = c->retry_max_ms * 1000;

    for (unsigned i = 1; i < attempt && us < max_us; i++)
        us *= 4;
    us /= 2;
    return us < max_us ? us : max_us;
}

/* ---- the row of a lane that waits ------------------------------------------------------------- */

bool lanes_row(const struct witness *w, enum subscription_id s, struct lane_id lane,
               struct deferred_lane *out)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct str k = { key, sizeof(key) };
    const struct durable_row *r;

    deferred_lane_key(s, lane, key);
    r = rows_find(w, DB_LANES, k);
    return r && deferred_lane_decode(k, r->value, out) == ERR_OK;
}

/* Attempts that the durable rows know of the message. */
static unsigned attempts_known(const struct witness *w, enum subscription_id s,
                               const struct seen *m)
{
    struct deferred_lane row;

    return lanes_row(w, s, m->lane->id, &row) && row.head_position == m->position ? row.attempts
                                                                                  : 0;
}

/* ---- handed over ------------------------------------------------------------------------------ */

/* The first of this process. False: said what is wrong. */
static bool queue_place(struct witness *w, enum subscription_id s, struct queue *q,
                        const struct seen *m)
{
    unsigned at = 0;

    while (at < q->n && q->positions[at] != m->position)
        at++;
    if (at > q->n_ended && !(s == SUBSCRIPTION_AUDIT && w->has_skipped_audit)) {
        witness_violate(w, SIM_LANE_ORDER, m->lane,
                        "%s was handed position %llu, and never handled %llu before it", name_of(s),
                        (unsigned long long)m->position,
                        (unsigned long long)q->positions[q->n_ended]);
        return false;
    }
    if (m->settled & subscription_bit(s)) {
        witness_violate(w, SIM_LANE_ORDER, m->lane,
                        "%s was handed position %llu again, whose effect is durable", name_of(s),
                        (unsigned long long)m->position);
        return false;
    }
    q->next = at;
    q->is_placed = true;
    q->attempt = attempts_known(w, s, m);
    return true;
}

static void queue_refuse(struct witness *w, enum subscription_id s, const struct queue *q,
                         const struct seen *m)
{
    unsigned long long p = m->position;

    switch (q->state) {
    case QUEUE_IN_HAND:
        witness_violate(w, SIM_LANE_ORDER, m->lane,
                        "%s was handed position %llu while it has %llu in hand", name_of(s), p,
                        Q_POSITION(q));
        return;
    case QUEUE_PARKED:
        witness_violate(w, SIM_LANE_ORDER, m->lane,
                        "%s was handed position %llu while the order is parked behind %llu",
                        name_of(s), p, Q_POSITION(q));
        return;
    case QUEUE_FAILED:
        if (q->is_permanent || q->attempt > w->subscriptions[s].config.retries)
            witness_violate(w, SIM_DEAD_LETTER, m->lane,
                            "%s failed on position %llu for good, and was handed %llu without a "
                            "dead letter",
                            name_of(s), Q_POSITION(q), p);
        else
            witness_violate(w, SIM_LANE_ORDER, m->lane,
                            "%s was handed position %llu before its failure on %llu is durable",
                            name_of(s), p, Q_POSITION(q));
        return;
    case QUEUE_IDLE:
    case QUEUE_WAITING:
        return;
    }
}

static void queue_hand_over(struct witness *w, enum subscription_id s, struct queue *q,
                            const struct seen *m, unsigned attempt)
{
    if (q->state != QUEUE_IDLE && q->state != QUEUE_WAITING) {
        queue_refuse(w, s, q, m);
        return;
    }
    if (!q->is_placed && !queue_place(w, s, q, m))
        return;
    if (q->next >= q->n || q->positions[q->next] != m->position) {
        witness_violate(w, SIM_LANE_ORDER, m->lane, "%s was handed position %llu, and %llu is next",
                        name_of(s), (unsigned long long)m->position,
                        q->next < q->n ? Q_POSITION(q) : 0);
        return;
    }
    if (attempt != q->attempt + 1) {
        witness_violate(w, SIM_DEAD_LETTER, m->lane,
                        "%s was handed position %llu as attempt %u, after %u that failed",
                        name_of(s), (unsigned long long)m->position, attempt, q->attempt);
        return;
    }
    if (q->state == QUEUE_WAITING &&
        w->mono_us < q->failed_us + lanes_retry_us_least(w, s, q->attempt)) {
        witness_violate(w, SIM_TIMER, m->lane,
                        "%s was handed position %llu %lld us after attempt %u", name_of(s),
                        (unsigned long long)m->position, (long long)(w->mono_us - q->failed_us),
                        q->attempt);
        return;
    }
    q->state = QUEUE_IN_HAND;
    q->attempt = attempt;
    q->handed_us = w->awake_us;
}

void lanes_handed_over(struct witness *w, const struct delivery *d)
{
    const struct event *e = &d->message->event;
    enum subscription_id s = d->subscription->config.id;
    const struct seen *m = history_at(w, e->position);
    struct letter *alone;

    if (!m || !uuid_eq(m->id.u, e->id.u) || !uuid_eq(m->lane->id.u, e->lane.u)) {
        /* Not only answers: nothing leaves the process before it is durable. */
        witness_violate(w, SIM_ACKNOWLEDGED, history_find_lane(w, e->lane),
                        "%s was handed position %llu, which is not durable", name_of(s),
                        (unsigned long long)e->position);
        return;
    }
    w->counts.judged++;
    alone = letters_alone_of(w, s, m->position);
    if (alone)
        letters_alone_handed_over(w, alone, d);
    else if (!(m->wanted & subscription_bit(s)))
        witness_violate(w, SIM_LANE_ORDER, m->lane, "%s was handed position %llu, not for it",
                        name_of(s), (unsigned long long)m->position);
    else
        queue_hand_over(w, s, &m->lane->queues[s], m, d->attempt);
}

/* ---- ended ------------------------------------------------------------------------------------ */

static void queue_done(struct witness *w, enum subscription_id s, struct queue *q, struct seen *m)
{
    m->done |= subscription_bit(s);
    while (q->n_ended < q->n && ((history_at(w, q->positions[q->n_ended])->done |
                                  history_at(w, q->positions[q->n_ended])->settled) &
                                 subscription_bit(s)))
        q->n_ended++;
    q->next++;
    q->state = QUEUE_IDLE;
    q->attempt = 0;
    if (s == SUBSCRIPTION_ORDERS) {
        money_handled(w, m);
        ignored_handled(w, m);
    }
    contexts_handled(w, s, q, m);
}

void lanes_ended(struct witness *w, const struct delivery *d, enum delivery_end how)
{
    enum subscription_id s = d->subscription->config.id;
    struct seen *m = history_at(w, d->message->event.position);
    struct letter *alone = m ? letters_alone_of(w, s, m->position) : NULL;
    struct queue *q = m ? &m->lane->queues[s] : NULL;

    if (alone && alone->is_in_hand) {
        letters_alone_ended(w, alone, how);
        return;
    }
    if (!q || q->state != QUEUE_IN_HAND || q->positions[q->next] != m->position) {
        witness_violate(w, SIM_LANE_ORDER, m ? m->lane : NULL,
                        "%s ended position %llu, which it does not have in hand", name_of(s),
                        (unsigned long long)d->message->event.position);
        return;
    }
    switch (how) {
    case DELIVERY_DONE:
        queue_done(w, s, q, m);
        return;
    case DELIVERY_FAILED:
        q->state = QUEUE_FAILED;
        q->is_permanent = lanes_fails_for_good(w, s, m);
        q->failed_us = w->mono_us;
        return;
    case DELIVERY_UNAVAILABLE:
        q->state = QUEUE_IDLE;
        q->attempt--;
        return;
    }
}

/* ---- what is durable -------------------------------------------------------------------------- */

static bool is_in_hand(const struct witness *w, enum subscription_id s, const struct seen *m)
{
    const struct queue *q = &m->lane->queues[s];
    const struct letter *alone = letters_alone_of(w, s, m->position);

    if (alone && alone->is_in_hand)
        return true;
    return q->state == QUEUE_IN_HAND && q->positions[q->next] == m->position;
}

/* What a message causes becomes durable while the message is in hand, and not after it was called
 * handled: a crash between the two would lose it. */
void lanes_event(struct witness *w, const struct event *e, struct seen *s)
{
    if (e->handled_by == SUBSCRIPTION_NONE || !s->cause || e->stream.type == AGGREGATE_SUBSCRIPTION)
        return;
    if (w->is_running && !is_in_hand(w, e->handled_by, history_at(w, s->cause)))
        witness_violate(w, SIM_CURSOR, s->lane,
                        "position %llu became durable when %s no longer had position %llu in hand",
                        (unsigned long long)e->position, name_of(e->handled_by),
                        (unsigned long long)s->cause);
    history_settle(w, e->handled_by, s->cause);
}

/* ---- the process ------------------------------------------------------------------------------ */

static void queues_forget(void *ctx, struct map_node *n)
{
    struct seen_lane *l = container_of(n, struct seen_lane, node);

    (void)ctx;
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        struct queue *q = &l->queues[i];

        if (q->state == QUEUE_PARKED) /* that is durable */
            continue;
        q->state = QUEUE_IDLE;
        q->is_placed = false;
        q->attempt = 0;
    }
}

void lanes_crashed(struct witness *w)
{
    map_each(&w->lanes, queues_forget, NULL);
    w->fails.is_set = false;
}

/* Audit only writes lines: where it was off for long it does not go through all of history. */
void lanes_started(struct witness *w)
{
    const struct subscription_config *c = &w->subscriptions[SUBSCRIPTION_AUDIT].config;

    if (w->n_events - w->cursors[SUBSCRIPTION_AUDIT] > c->window)
        w->has_skipped_audit = true;
}

static void queues_are_empty(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        const struct queue *q = &l->queues[i];

        if (q->n_ended == q->n || (i == SUBSCRIPTION_AUDIT && w->has_skipped_audit))
            continue;
        witness_violate(w, q->state == QUEUE_FAILED ? SIM_DEAD_LETTER : SIM_SETTLED, l,
                        "%s has not handled position %llu, and %u behind it",
                        name_of((enum subscription_id)i),
                        (unsigned long long)q->positions[q->n_ended], q->n - q->n_ended - 1);
    }
}

void lanes_finished(struct witness *w)
{
    map_each(&w->lanes, queues_are_empty, w);
}
