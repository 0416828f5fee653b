/* RELAYED: a broker gets what was decided here, all of it, and an order's in order.
 *
 * What it takes is durable, and of those that a relay has to pass on; and when it takes one for the
 * first time, it has all of the lane before it, but for what an operator has discarded. */
#include "witness_private.h"

void witness_relayed(struct witness *w, enum subscription_id s, uint64_t position)
{
    struct seen *m = history_at(w, position);
    const struct queue *q;

    if (w->is_violated)
        return;
    w->counts.judged++;
    if (!m || !(m->wanted & subscription_bit(s))) {
        witness_violate(w, SIM_RELAYED, m ? m->lane : NULL,
                        "the broker got position %llu, which %s", (unsigned long long)position,
                        m ? "is not for it" : "is not durable");
        return;
    }
    q = &m->lane->queues[s];
    for (unsigned i = 0; i < q->n && q->positions[i] < position && !w->is_violated; i++) {
        const struct seen *b = history_at(w, q->positions[i]);

        if (!b->is_relayed && !(b->settled & subscription_bit(s)))
            witness_violate(w, SIM_RELAYED, m->lane,
                            "the broker got position %llu, and never %llu before it",
                            (unsigned long long)position, (unsigned long long)b->position);
    }
    m->is_relayed = true;
    w->counts.relayed++;
}

static void lane_has_left(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned s = SUBSCRIPTION_NONE + 1; s < SUBSCRIPTION_COUNT; s++) {
        const struct queue *q = &l->queues[s];

        for (unsigned i = 0; subscription_is_relay((enum subscription_id)s) && i < q->n; i++) {
            const struct seen *m = history_at(w, q->positions[i]);

            if (!w->is_violated && !m->is_relayed && !(m->settled & subscription_bit(s)))
                witness_violate(w, SIM_RELAYED, l, "the broker never got position %llu",
                                (unsigned long long)m->position);
        }
    }
}

void relays_finished(struct witness *w)
{
    map_each(&w->lanes, lane_has_left, w);
}
