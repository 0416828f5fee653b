#include "orderly/app/redrive.h"
#include "bus_private.h"

static struct subscription *redrive_subscription(const struct redrive *r)
{
    struct subscription *s = r->bus->subscriptions[r->letter.subscription];

    return s ? s : r->bus->letters_of[r->letter.subscription];
}

/* The lane that waits behind the letter. */
static struct lane *redrive_parked_lane(const struct redrive *r)
{
    struct lane *l = lane_find(redrive_subscription(r), r->letter.lane);

    if (!l || l->phase != LANE_PHASE_PARKED ||
        !uuid_eq(l->deferral->dead_letter_id.u, r->letter.id.u))
        return NULL;
    return l;
}

static struct lane_id redrive_lane_alone(const struct redrive *r)
{
    return (struct lane_id){ r->letter.id.u };
}

/* The store has the letter, but the loop has not heard of it yet. */
static bool redrive_is_early(const struct redrive *r)
{
    const struct lane *l = lane_find(redrive_subscription(r), r->letter.lane);

    return l && l->phase == LANE_PHASE_WRITING &&
           uuid_eq(l->deferral->dead_letter_id.u, r->letter.id.u);
}

enum err redrive_check(const struct redrive *r)
{
    const struct subscription *s = redrive_subscription(r);

    REQUIRE(dead_letter_is_open(&r->letter));
    if (!s)
        return ERR_DAMAGED;
    if (!r->bus->subscriptions[r->letter.subscription]) /* it has no lanes here */
        return r->letter.state == DEAD_LETTER_OPEN &&
                       (r->kind == REDRIVE_ANEW || r->kind == REDRIVE_SKIP)
                   ? ERR_OK
                   : ERR_NOT_FOUND;
    if (redrive_is_early(r))
        return ERR_BUSY;
    if (r->letter.state == DEAD_LETTER_PARKED)
        return redrive_parked_lane(r) ? ERR_OK : ERR_DAMAGED;
    if (r->kind == REDRIVE_ALONE && s->n_deferred >= r->bus->deferred_max)
        return ERR_BUSY;
    return ERR_OK;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static void redrive_put_head(const struct redrive *r, struct append *a)
{
    struct deferred_lane lane = {
        .subscription = r->letter.subscription,
        .lane = r->kind == REDRIVE_ALONE ? redrive_lane_alone(r) : r->letter.lane,
        .head_position = r->letter.position,
        .is_alone = r->kind == REDRIVE_ALONE,
        .payload_position = r->letter.payload_position,
    };

    lane_put_row(a, &lane);
}

void redrive_append(struct redrive *r, struct append *a)
{
    struct subscription *s = redrive_subscription(r);
    struct event *e = &r->event;

    s->sequence++;
    s->n_letters--;
    r->was_parked = r->letter.state == DEAD_LETTER_PARKED;
    e->lane = r->letter.lane;
    e->p.dead_letter_id = r->letter.id;
    e->p.message_position = r->letter.position;
    letter_append_event(a, s, e);
    r->letter.state = r->kind == REDRIVE_SKIP ? DEAD_LETTER_DISCARDED : DEAD_LETTER_RETRIED;
    r->letter.closed_position = e->position;
    letter_put(a, &r->letter);
    letter_put_counts(a, s);
    if (e->p.message_row.n) /* for the rows below; the letter keeps what it failed with */
        r->letter.payload_position = e->position;
    if (r->kind == REDRIVE_LANE || r->kind == REDRIVE_ALONE)
        redrive_put_head(r, a);
    else if (r->was_parked)
        deferral_put_passed(a, redrive_parked_lane(r)->deferral, r->letter.position);
    if (r->kind == REDRIVE_ALONE)
        s->n_deferred++;
}

/* ---- what follows ---------------------------------------------------------------------------- */

static void redrive_undo(struct redrive *r)
{
    struct subscription *s = redrive_subscription(r);

    /* Nothing behind it was written either; each gives back its own, in any order. */
    if (r->event.sequence <= s->sequence)
        s->sequence = r->event.sequence - 1;
    s->n_letters++;
    if (r->kind == REDRIVE_ALONE)
        s->n_deferred--;
}

/* The lane is parked no more; what is at its head has no attempts behind it. */
static void redrive_unpark(struct redrive *r)
{
    struct lane *l = redrive_parked_lane(r);
    struct deferral *d;

    ENSURE(l != NULL);
    d = l->deferral;
    l->subscription->n_parked--;
    d->verdict = FAILED_RETRY;
    d->attempts = 0;
    d->dead_letter_id = (struct dead_letter_id){ 0 };
    if (r->kind == REDRIVE_LANE) {
        d->payload_position = r->letter.payload_position;
    } else {
        d->payload_position = 0;
        d->read_position = r->letter.position;
        l->n_known -= l->n_known > 0;
    }
    lane_make_due(l); /* and not gone on with: early after a start its head is still to be passed */
}

static void redrive_begin_alone(const struct redrive *r)
{
    struct subscription *s = redrive_subscription(r);
    struct lane *l = lane_create(s, redrive_lane_alone(r));
    struct deferral *d = deferral_create(l);

    d->is_stored = d->is_alone = true;
    d->verdict = FAILED_RETRY;
    d->head_position = d->seen_position = r->letter.position;
    d->read_position = r->letter.position - 1;
    d->payload_position = r->letter.payload_position;
    l->n_known = 1;
    lane_make_due(l);
}

void redrive_end(struct redrive *r, enum err status)
{
    struct bus *b = r->bus;
    bool was_parked = r->was_parked;

    if (status != ERR_OK) {
        redrive_undo(r);
        return;
    }
    b->n_dead_letters_open--;
    b->metrics->dead_letters_open[r->letter.subscription]--;
    if (was_parked)
        redrive_unpark(r);
    else if (r->kind == REDRIVE_ALONE)
        redrive_begin_alone(r);
    bus_wake(b); /* who waits for room looks again */
}
