/* For what an order waits, from whom, since when, and why that has not come.
 *
 * First the needs, from the flow's table and from what is due: a context that was asked by an event
 * has to answer. Then, for each, why there is no answer: its lane or that of Orders holds the
 * message, or it is somebody else's to speak. A lane that holds none of these is a wait of its own. */
#include "explain_private.h"

static enum subscription_id subscription_of_context(enum context c)
{
    static const enum subscription_id ids[] = {
        [CONTEXT_ORDERS] = SUBSCRIPTION_ORDERS,
        [CONTEXT_PAYMENTS] = SUBSCRIPTION_PAYMENTS,
        [CONTEXT_INVENTORY] = SUBSCRIPTION_INVENTORY,
        [CONTEXT_SHIPMENTS] = SUBSCRIPTION_SHIPMENTS,
    };

    return ids[c];
}

static enum context context_of_subscription(enum subscription_id s)
{
    for (unsigned c = CONTEXT_ORDERS; c <= CONTEXT_SHIPMENTS; c++) {
        if (subscription_of_context((enum context)c) == s)
            return (enum context)c;
    }
    UNREACHABLE("the subscription of a context");
}

static const struct flow *flow_here(const struct explain_work *w)
{
    return flow_of(w->order->body->flow);
}

bool explain_hears(const struct explain_work *w, enum subscription_id s, const struct event *e)
{
    if (event_infos[e->type].topic.n == 0)
        return false;
    if (s == SUBSCRIPTION_AUDIT)
        return true;
    if (subscription_is_relay(s)) /* what came from outside is not sent back there */
        return e->message_id.n == 0;
    if (s != SUBSCRIPTION_ORDERS && e->verdict != VERDICT_FINE)
        return false;
    return flow_reaction_of(flow_here(w), (uint16_t)e->type, context_of_subscription(s)) != NULL;
}

int64_t explain_status_since(const struct explain_work *w)
{
    const struct flow *f = flow_here(w);
    enum order_status status = w->order->status;

    for (unsigned i = w->n_events; i-- > 0;) {
        const struct event *e = w->events[i];

        if (e->type == EVENT_ORDER_PLACED && f->start == status)
            return e->occurred_at_ms;
        for (unsigned k = 0; k < f->n_rows; k++) {
            const struct flow_row *row = &f->rows[k];

            if (row->to == status && row->from != status && row->event == (uint16_t)e->type)
                return e->occurred_at_ms;
        }
    }
    return 0;
}

/* ---- needs ----------------------------------------------------------------------------------- */

/* Somebody has to answer. */
struct need {
    enum explain_what what;
    enum context context;
    const struct order_effect *effect; /* of a refund, release or recall */
    bool is_ours;                      /* the built-in context can do it */
    uint16_t answers[2];
    const struct event *asked;
};

/* The flow's own word for what a context says. */
static uint16_t word_of_input(const struct flow *f, enum order_input i)
{
    switch (i) {
    case ORDER_INPUT_PAYMENT_APPROVED:
        return f->payment_approved;
    case ORDER_INPUT_PAYMENT_DECLINED:
        return f->payment_declined;
    case ORDER_INPUT_STOCK_RESERVED:
        return f->stock_reserved;
    case ORDER_INPUT_STOCK_REJECTED:
        return f->stock_rejected;
    case ORDER_INPUT_SHIPMENT_CREATED:
        return EVENT_SHIPMENT_CREATED;
    default:
        return EVENT_NONE; /* a person's, a carrier's or the clock's */
    }
}

static enum context context_of_word(uint16_t event)
{
    switch (event_infos[event].aggregate) {
    case AGGREGATE_PAYMENT:
        return CONTEXT_PAYMENTS;
    case AGGREGATE_RESERVATION:
        return CONTEXT_INVENTORY;
    case AGGREGATE_SHIPMENT:
        return CONTEXT_SHIPMENTS;
    default:
        return CONTEXT_ORDERS;
    }
}

/* The answer that moves the order on from its status. False: none does. */
static bool need_of_status(const struct explain_work *w, struct need *need)
{
    static const enum explain_what whats[] = {
        [CONTEXT_PAYMENTS] = EXPLAIN_PAYMENT,
        [CONTEXT_INVENTORY] = EXPLAIN_STOCK,
        [CONTEXT_SHIPMENTS] = EXPLAIN_SHIPMENT,
    };
    const struct flow *f = flow_here(w);
    unsigned n = 0;

    *need = (struct need){ .is_ours = true };
    for (unsigned i = 0; i < f->n_rows && n < ARRAY_LEN(need->answers); i++) {
        uint16_t word = word_of_input(f, f->rows[i].input);

        if (f->rows[i].from == w->order->status && word != EVENT_NONE)
            need->answers[n++] = word;
    }
    if (n == 0)
        return false;
    need->context = context_of_word(need->answers[0]);
    need->what = whats[need->context];
    /* Whoever was asked last answers. */
    for (unsigned i = w->n_events; i-- > 0 && !need->asked;) {
        const struct flow_reaction *r =
            flow_reaction_of(f, (uint16_t)w->events[i]->type, need->context);

        for (unsigned k = 0; r && k < FLOW_ANSWERS_MAX; k++) {
            if (r->answers[k] == need->answers[0])
                need->asked = w->events[i];
        }
    }
    return true;
}

static bool asks_for(const struct event *e, const struct order_effect *effect)
{
    const struct payload *p = &e->p;

    switch (effect->kind) {
    case EFFECT_PAYMENT:
        return (e->type == EVENT_ORDER_REFUND_REQUESTED &&
                text_id_eq(&p->payment_id.t, &effect->id)) ||
               (p->refund.set && text_id_eq(&p->refund.payment_id.t, &effect->id));
    case EFFECT_RESERVATION:
        return (e->type == EVENT_ORDER_RELEASE_REQUESTED &&
                text_id_eq(&p->reservation_id.t, &effect->id)) ||
               (p->release.set && text_id_eq(&p->release.reservation_id.t, &effect->id));
    case EFFECT_SHIPMENT:
        return e->type == EVENT_ORDER_SHIPMENT_REFUSED &&
               text_id_eq(&p->shipment_id.t, &effect->id);
    }
    UNREACHABLE("kind of effect");
}

static struct need need_of_effect(const struct explain_work *w, unsigned at)
{
    const struct order_effect *effect = &w->order->effects[at];
    struct need need = { .effect = effect, .is_ours = w->effect_is_ours[at] };

    switch (effect->kind) {
    case EFFECT_PAYMENT:
        need.what = EXPLAIN_REFUND;
        need.answers[0] = EVENT_PAYMENT_REFUNDED;
        break;
    case EFFECT_RESERVATION:
        need.what = EXPLAIN_RELEASE;
        need.answers[0] = flow_here(w)->stock_released;
        break;
    case EFFECT_SHIPMENT:
        need.what = EXPLAIN_RECALL;
        need.answers[0] = EVENT_SHIPMENT_CANCELLED;
        break;
    }
    need.context = context_of_word(need.answers[0]);
    for (unsigned i = w->n_events; i-- > 0 && !need.asked;) {
        if (asks_for(w->events[i], effect))
            need.asked = w->events[i];
    }
    return need;
}

/* ---- why there is no answer ------------------------------------------------------------------ */

static const struct explained_delivery *lane_of(const struct explain_work *w,
                                                enum subscription_id s)
{
    for (unsigned i = 0; i < w->e.n_deliveries; i++) {
        if (w->e.deliveries[i].lane.subscription == s && !w->e.deliveries[i].is_alone)
            return &w->e.deliveries[i];
    }
    return NULL;
}

static enum explain_why why_of_lane(const struct explained_delivery *d)
{
    switch (d->lane.state) {
    case LANE_PARKED:
        return EXPLAIN_PARKED;
    case LANE_RETRYING:
        return EXPLAIN_RETRYING;
    case LANE_IN_PROGRESS:
        return EXPLAIN_WORKING;
    case LANE_WAITING:
        return EXPLAIN_BEHIND;
    }
    UNREACHABLE("state of a lane");
}

static void wait_for_lane(struct explained_wait *wait, const struct explained_delivery *d)
{
    wait->why = why_of_lane(d);
    wait->delivery = d;
    wait->from = subscription_name(d->lane.subscription);
    wait->dead_letter_id = d->lane.dead_letter_id;
}

/* An answer of this context that Orders has not handled; NULL: none is known of. */
static const struct event *answer_on_its_way(const struct explain_work *w, const struct need *need)
{
    const struct explained_delivery *d = lane_of(w, SUBSCRIPTION_ORDERS);
    uint64_t from = d ? d->lane.position : w->subscriptions[SUBSCRIPTION_ORDERS].taken_position + 1;

    for (unsigned i = 0; i < w->n_events; i++) {
        const struct event *e = w->events[i];

        if (e->position >= from && context_of_word((uint16_t)e->type) == need->context &&
            explain_hears(w, SUBSCRIPTION_ORDERS, e))
            return e;
    }
    return NULL;
}

static const struct dead_letter *letter_of(const struct explain_work *w, enum subscription_id s,
                                           uint64_t position)
{
    for (unsigned i = 0; i < w->n_letters; i++) {
        if (w->letters[i].subscription == s && w->letters[i].position == position)
            return &w->letters[i];
    }
    return NULL;
}

/* The retry of this message beside the lane; NULL: there is none. */
static const struct explained_delivery *retry_of(const struct explain_work *w,
                                                 enum subscription_id s, uint64_t position)
{
    for (unsigned i = 0; i < w->e.n_deliveries; i++) {
        const struct explained_delivery *d = &w->e.deliveries[i];

        if (d->is_alone && d->lane.subscription == s && d->lane.position == position)
            return d;
    }
    return NULL;
}

/* Nobody holds the message any more, and nobody has answered. */
static void wait_for_nobody(const struct explain_work *w, const struct need *need,
                            struct explained_wait *wait)
{
    static const enum explain_why whys[] = {
        [DEAD_LETTER_PARKED] = EXPLAIN_UNANSWERED, /* it is being put right this moment */
        [DEAD_LETTER_OPEN] = EXPLAIN_REFUSED,
        [DEAD_LETTER_RETRIED] = EXPLAIN_UNANSWERED,
        [DEAD_LETTER_DISCARDED] = EXPLAIN_DISCARDED,
    };
    const struct dead_letter *letter =
        need->asked ? letter_of(w, subscription_of_context(need->context), need->asked->position)
                    : NULL;

    wait->why = EXPLAIN_UNANSWERED;
    if (!letter)
        return;
    wait->why = whys[letter->state];
    if (wait->why != EXPLAIN_UNANSWERED)
        wait->dead_letter_id = letter->id;
}

/* Whoever speaks from outside has to. */
static bool is_outside(const struct explain_work *w, const struct need *need)
{
    const struct simulators *s = &w->simulators;

    if (need->effect)
        return !need->is_ours;
    if (!(w->contexts & (1u << need->context)))
        return true;
    switch (need->context) {
    case CONTEXT_PAYMENTS:
        return !s->payments.enabled;
    case CONTEXT_INVENTORY:
        return !s->inventory.enabled;
    case CONTEXT_SHIPMENTS:
        return !s->shipments.enabled || s->shipments.mode == SHIPMENTS_WAIT;
    case CONTEXT_ORDERS:
        break;
    }
    return false;
}

static void wait_for_answer(const struct explain_work *w, const struct need *need,
                            struct explained_wait *wait)
{
    enum subscription_id s = subscription_of_context(need->context);
    const struct explained_delivery *d = lane_of(w, s), *orders = lane_of(w, SUBSCRIPTION_ORDERS);
    const struct explained_delivery *retry =
        need->asked ? retry_of(w, s, need->asked->position) : NULL;
    const struct event *answer = answer_on_its_way(w, need);

    *wait = (struct explained_wait){
        .what = need->what,
        .from = subscription_name(s),
        .asked = need->asked,
        .since_ms = need->asked ? need->asked->occurred_at_ms : 0,
        .answers = { need->answers[0], need->answers[1] },
    };
    if (need->effect)
        wait->subject = need->effect->id;
    if (answer) {
        wait->why = EXPLAIN_BEHIND;
        wait->from = subscription_name(SUBSCRIPTION_ORDERS);
        wait->asked = answer;
        wait->since_ms = answer->occurred_at_ms;
        if (orders)
            wait_for_lane(wait, orders);
    } else if (d && (!need->asked || d->lane.position <= need->asked->position)) {
        wait_for_lane(wait, d);
    } else if (retry) {
        wait_for_lane(wait, retry);
    } else if (need->asked && need->asked->position > w->subscriptions[s].taken_position) {
        wait->why = EXPLAIN_BEHIND;
    } else if (is_outside(w, need)) {
        wait->why = EXPLAIN_OUTSIDE;
    } else if (need->what == EXPLAIN_PAYMENT && w->payment_is_pending &&
               !w->order->payment_requested) {
        wait->why = EXPLAIN_TO_BE_ASKED;
    } else {
        wait_for_nobody(w, need, wait);
    }
}

/* ---- what is no answer ----------------------------------------------------------------------- */

static bool wait_for_step(const struct explain_work *w, struct explained_wait *wait)
{
    bool is_carrier = w->order->status == ORDER_SHIPPED;

    if (!order_status_is_at_rest(w->order->status))
        return false;
    *wait = (struct explained_wait){
        .what = EXPLAIN_STEP,
        .why = EXPLAIN_PERSON,
        .from = is_carrier ? STR("carrier") : STR("store"),
        .since_ms = explain_status_since(w),
    };
    if (is_carrier) {
        wait->subject = w->order->shipment_id.t;
        wait->answers[0] = EVENT_SHIPMENT_DELIVERED;
    }
    return true;
}

/* An answer waits for this subscription to go on. */
static bool is_known(const struct explained_wait *waits, unsigned n, enum subscription_id s)
{
    for (unsigned i = 0; i < n; i++) {
        bool is_held =
            waits[i].delivery ? !waits[i].delivery->is_alone : waits[i].why == EXPLAIN_BEHIND;

        if (is_held && str_eq(waits[i].from, subscription_name(s)))
            return true;
    }
    return false;
}

/* A message that this subscription has not handled, and on which no answer waits. */
static bool wait_for_handling(const struct explain_work *w, enum subscription_id s,
                              struct explained_wait *wait)
{
    const struct explained_delivery *d = lane_of(w, s);

    *wait = (struct explained_wait){ .what = EXPLAIN_HANDLING,
                                     .why = EXPLAIN_BEHIND,
                                     .from = subscription_name(s) };
    if (d) {
        wait_for_lane(wait, d);
        wait->asked = d->message;
    }
    for (unsigned i = 0; !d && i < w->n_events && !wait->asked; i++) {
        if (w->events[i]->position > w->subscriptions[s].taken_position &&
            explain_hears(w, s, w->events[i]))
            wait->asked = w->events[i];
    }
    if (wait->asked)
        wait->since_ms = wait->asked->occurred_at_ms;
    return d || wait->asked;
}

/* A retried letter's, likewise. */
static bool wait_for_retry(const struct explained_wait *waits, unsigned n,
                           const struct explained_delivery *d, struct explained_wait *wait)
{
    for (unsigned i = 0; i < n; i++) {
        if (waits[i].delivery == d)
            return false;
    }
    *wait = (struct explained_wait){ .what = EXPLAIN_HANDLING, .asked = d->message };
    wait_for_lane(wait, d);
    if (d->message)
        wait->since_ms = d->message->occurred_at_ms;
    return true;
}

/* ---- together -------------------------------------------------------------------------------- */

/* Few, so each finds its place from the end; those that are as bad keep their order. */
static void waits_sort(struct explained_wait *waits, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        struct explained_wait one = waits[i];
        unsigned at = i;

        for (; at > 0 && waits[at - 1].why > one.why; at--)
            waits[at] = waits[at - 1];
        waits[at] = one;
    }
}

static void explain_timers(struct explain_work *w)
{
    struct explanation *e = &w->e;

    e->deadline_ms = order_has_open_deadline(w->order) ? w->order->body->payment_deadline_ms : 0;
    e->timer_ms = e->deadline_ms;
    for (unsigned i = 0; i < e->n_deliveries; i++) {
        const struct explained_delivery *d = &e->deliveries[i];

        e->is_parked |= d->lane.state == LANE_PARKED;
        if (d->lane.state != LANE_RETRYING || !d->lane.due_wall_ms)
            continue;
        if (e->timer_ms && e->timer_ms <= d->lane.due_wall_ms)
            continue;
        e->timer_ms = d->lane.due_wall_ms;
        e->timer_of = d;
    }
}

void explain_waits(struct explain_work *w)
{
    const struct order *o = w->order;
    size_t max = 2 + (size_t)o->n_effects + SUBSCRIPTION_COUNT + w->e.n_deliveries;
    struct explained_wait *waits = arena_alloc(&w->arena, max * sizeof(*waits));
    struct need need;
    unsigned n = 0;

    if (need_of_status(w, &need))
        wait_for_answer(w, &need, &waits[n++]);
    for (unsigned i = 0; i < o->n_effects; i++) {
        if (o->effects[i].due != DUE_OPEN)
            continue;
        need = need_of_effect(w, i);
        wait_for_answer(w, &need, &waits[n++]);
    }
    for (unsigned s = SUBSCRIPTION_ORDERS; s <= SUBSCRIPTION_SHIPMENTS; s++) {
        struct explained_wait handling;

        if (!is_known(waits, n, (enum subscription_id)s) &&
            wait_for_handling(w, (enum subscription_id)s, &handling))
            waits[n++] = handling;
    }
    for (unsigned i = 0; i < w->e.n_deliveries; i++) {
        const struct explained_delivery *d = &w->e.deliveries[i];
        struct explained_wait retry;

        if (d->is_alone && wait_for_retry(waits, n, d, &retry))
            waits[n++] = retry;
    }
    if (wait_for_step(w, &waits[n]))
        n++;
    waits_sort(waits, n);
    w->e.waits = waits;
    w->e.n_waits = n;
    explain_timers(w);
    w->e.is_settled = order_is_settled(o);
    for (unsigned i = 0; i < n; i++) {
        w->e.is_settled &= waits[i].why == EXPLAIN_PERSON || waits[i].what == EXPLAIN_RECALL;
        waits[i].sentence = explain_sentence(w, &waits[i]);
    }
}
