/* What payments, stock and shipments make of a message, and what the carrier and others outside do.
 * Each decision is the domain's; here its events are applied, booked and published. */
#include "orderly/base/check.h"
#include "world.h"

/* ---- parts and books -------------------------------------------------------------------------- */

/* What its owner makes of an event; which: as the event names it. */
static void apply_to_part(struct state *s, struct event *e, unsigned which)
{
    e->sequence = 1;
    switch (event_infos[e->type].aggregate) {
    case AGGREGATE_PAYMENT: {
        struct payment p = world_payment(s, which);

        e->handled_by = SUBSCRIPTION_PAYMENTS;
        payment_apply(&p, e);
        state_set_payment(s, which, &p);
        return;
    }
    case AGGREGATE_RESERVATION: {
        struct reservation r = world_reservation(s, which);

        e->handled_by = SUBSCRIPTION_INVENTORY;
        reservation_apply(&r, e);
        state_set_reservation(s, which, &r);
        reservation_deinit(&r);
        return;
    }
    default: {
        struct shipment p = world_shipment(s, which);

        e->handled_by = SUBSCRIPTION_SHIPMENTS;
        shipment_apply(&p, e);
        state_set_shipment(s, which, &p);
        shipment_deinit(&p);
        return;
    }
    }
}

/* Books it, where it is of the books; and says whether the part is what the event says, as an event
 * that its own aggregate passes over would be a lie in the log. */
static bool book_and_compare(struct state *s, enum event_type type, unsigned which)
{
    enum payment_status payment = world_payment(s, which).status;
    enum reservation_status reservation =
        which < WORLD_PARTS ? world_reservation(s, which).status : RESERVATION_STATUS_NONE;
    enum shipment_status shipment =
        which < WORLD_PARTS ? world_shipment(s, which).status : SHIPMENT_STATUS_NONE;

    switch (type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        world_book(&s->charged[which]);
        return payment == PAYMENT_STATUS_APPROVED;
    case EVENT_PAYMENT_DECLINED:
    case EVENT_PAYMENT_FAILED:
        return payment == PAYMENT_STATUS_DECLINED;
    case EVENT_PAYMENT_PENDING:
        return payment == PAYMENT_STATUS_PENDING;
    case EVENT_PAYMENT_REFUNDED:
        world_book(&s->refunded[which]);
        return payment == PAYMENT_STATUS_REFUNDED;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        world_book(&s->reserved[which]);
        return reservation == RESERVATION_STATUS_RESERVED;
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        world_book(&s->released[which]);
        return reservation == RESERVATION_STATUS_RELEASED;
    case EVENT_STOCK_TAKEN:
        world_book(&s->taken[which]);
        return reservation == RESERVATION_STATUS_TAKEN;
    case EVENT_SHIPMENT_CREATED:
        return shipment == SHIPMENT_STATUS_CREATED;
    case EVENT_SHIPMENT_DISPATCHED:
        return shipment == SHIPMENT_STATUS_DISPATCHED;
    case EVENT_SHIPMENT_DELIVERED:
        return shipment == SHIPMENT_STATUS_DELIVERED;
    case EVENT_SHIPMENT_CANCELLED:
        return shipment == SHIPMENT_STATUS_CANCELLED;
    default:
        return true;
    }
}

/* The decision of a context, w->events, comes true. */
static void come_true(struct world *w, struct state *s)
{
    for (unsigned i = 0; i < w->events.n; i++) {
        struct event *e = &w->events.events[i];
        unsigned item = world_said(e).item;

        e->occurred_at_ms = WORLD_NOW_MS;
        world_tell_event(w, e, i == 0);
        if (!item) { /* a rejection is of no reservation */
            s->was_rejected = true;
        } else {
            apply_to_part(s, e, item - 1u);
            if (!book_and_compare(s, e->type, item - 1u)) {
                world_broke(w, FLOW_TABLE);
                TELL(w, "\n      and what it is about is not so then");
            }
        }
        world_publish(w, s, e);
    }
}

/* ---- reactions -------------------------------------------------------------------------------- */

/* The row that the message was heard by names the answer; outside contexts may have other words. */
static void check_answer(struct world *w, const struct flow_reaction *r, enum context c,
                         enum event_type answer)
{
    for (unsigned i = 0; i < FLOW_ANSWERS_MAX && r->answers[i]; i++) {
        if (r->answers[i] == answer) {
            w->used->answered[i] |= UINT64_C(1) << (r - w->flow->reactions);
            return;
        }
    }
    if (w->kind == FLOW_WORLD_OUTSIDE && c != CONTEXT_ORDERS)
        return;
    world_broke(w, FLOW_TABLE);
    TELL(w, "\n      the table does not name " STR_FMT " as an answer of %s", TYPE_ARG(answer),
         context_name(c));
}

static void payments_hear(struct world *w, struct state *s, const struct event *m,
                          enum choice choice)
{
    const struct payment_id *id;
    struct payment_id own = { *world_payment_id(PAYMENT_OWN) };
    struct order_id order = m->p.order_id;
    struct payment p;

    switch (payment_task_of(m, &id)) {
    case PAYMENT_TASK_CHARGE:
        p = world_payment(s, PAYMENT_OWN);
        if (choice == CHOICE_WAIT)
            (void)payment_wait(&p, &w->words, order, &own, payment_amount_of(m), m->p.currency,
                               &w->events);
        else if (choice == CHOICE_NO)
            (void)payment_decline(&p, &w->words, order, &own, STR("checked"), &w->events);
        else
            (void)payment_charge(&p, &w->words, order, &own, payment_amount_of(m), m->p.currency,
                                 &w->events);
        return;
    case PAYMENT_TASK_REFUND:
        for (unsigned i = 0; i < WORLD_PAYMENTS; i++) {
            p = world_payment(s, i);
            if (text_id_eq(world_payment_id(i), &id->t))
                (void)payment_refund(&p, &w->words, order, id, &w->events);
        }
        return;
    case PAYMENT_TASK_NONE:
        return;
    }
}

static void inventory_reserve(struct world *w, const struct event *m, enum choice choice)
{
    struct reservation_id own = { *world_reservation_id(PART_OWN) };
    struct stock_line lines[1];
    const struct stock_offer offer = { .known = true, .available = choice == CHOICE_YES ? 100 : 0 };
    unsigned n = reservation_add_up(m->p.lines, m->p.n_lines, lines);

    (void)reservation_decide(&w->words, m->p.order_id, &own, lines, n, &offer, &w->arena,
                             &w->events);
    for (unsigned i = 0; i < w->events.n; i++) { /* the lines are ours, and nobody keeps them */
        w->events.events[i].p.stock_lines = NULL;
        w->events.events[i].p.n_stock_lines = 0;
    }
    arena_reset(&w->arena);
    for (unsigned i = 0; i < w->events.n; i++)
        w->events.events[i].p.reason = STR_NONE;
}

static void inventory_hear(struct world *w, struct state *s, const struct event *m,
                           enum choice choice)
{
    struct reservation r = world_reservation(s, PART_OWN);
    struct reservation_id own = { *world_reservation_id(PART_OWN) };
    const struct reservation_id *id;

    switch (reservation_task_of(m, &id)) {
    case RESERVATION_TASK_RESERVE:
        if (!r.is_ours) /* one reservation per order */
            inventory_reserve(w, m, choice);
        return;
    case RESERVATION_TASK_RELEASE:
        for (unsigned i = 0; i < WORLD_PARTS; i++) {
            r = world_reservation(s, i);
            if (text_id_eq(world_reservation_id(i), &id->t))
                (void)reservation_release(&r, &w->words, m->p.order_id, id, &w->events);
        }
        return;
    case RESERVATION_TASK_TAKE:
        /* Outside, the one that the order stands on, as they can read it. */
        if (w->kind == FLOW_WORLD_OUTSIDE && s->own_reservation) {
            own.t = *world_reservation_id(s->own_reservation - 1u);
            r = world_reservation(s, s->own_reservation - 1u);
        }
        (void)reservation_take(&r, &w->words, m->p.order_id, &own, &w->events);
        return;
    case RESERVATION_TASK_NONE:
        return;
    }
}

static void shipments_hear(struct world *w, struct state *s, const struct event *m)
{
    struct shipment_id own = { *world_shipment_id(PART_OWN) };
    struct shipment p = world_shipment(s, PART_OWN);
    unsigned which = world_said(m).item;

    switch (shipment_task_of(m)) {
    case SHIPMENT_TASK_CREATE:
        if (!p.is_ours) /* one shipment per order */
            (void)shipment_create(&p, w->flow->id, m->p.order_id, &own, STR_NONE, &w->events);
        return;
    case SHIPMENT_TASK_CONFIRM:
        p = world_shipment(s, which - 1u);
        if (p.sequence == 0 || p.is_confirmed)
            return;
        p.is_confirmed = true;
        state_set_shipment(s, which - 1u, &p);
        TELL(w, ": may be dispatched");
        return;
    case SHIPMENT_TASK_CANCEL:
        p = world_shipment(s, which - 1u);
        if (p.is_ours)
            (void)shipment_cancel(&p, &m->p.shipment_id, &w->events);
        return;
    case SHIPMENT_TASK_NONE:
        return;
    }
}

bool contexts_are_asked(enum context c, const struct event *m)
{
    const struct payment_id *payment;
    const struct reservation_id *reservation;

    switch (c) {
    case CONTEXT_ORDERS:
        return order_hears(m->type);
    case CONTEXT_PAYMENTS:
        return payment_task_of(m, &payment) != PAYMENT_TASK_NONE;
    case CONTEXT_INVENTORY:
        return reservation_task_of(m, &reservation) != RESERVATION_TASK_NONE;
    case CONTEXT_SHIPMENTS:
        return shipment_task_of(m) != SHIPMENT_TASK_NONE;
    }
    UNREACHABLE("no such context");
}

unsigned contexts_choices(const struct world *w, enum context c, const struct event *m)
{
    const struct payment_id *payment;
    const struct reservation_id *reservation;

    if (c == CONTEXT_PAYMENTS && payment_task_of(m, &payment) == PAYMENT_TASK_CHARGE)
        return m->type == EVENT_ORDER_PAYMENT_REQUESTED || w->kind == FLOW_WORLD_OUTSIDE ? 2 : 3;
    if (c == CONTEXT_INVENTORY && reservation_task_of(m, &reservation) == RESERVATION_TASK_RESERVE)
        return 2;
    return 1;
}

void contexts_hear(struct world *w, struct state *s, enum context c, const struct event *m,
                   enum choice choice)
{
    const struct flow_reaction *r = flow_reaction_of(w->flow, (uint16_t)m->type, c);

    event_list_init(&w->events);
    switch (c) {
    case CONTEXT_ORDERS:
        orders_hear(w, s, m);
        break;
    case CONTEXT_PAYMENTS:
        payments_hear(w, s, m, choice);
        come_true(w, s);
        break;
    case CONTEXT_INVENTORY:
        inventory_hear(w, s, m, choice);
        come_true(w, s);
        break;
    case CONTEXT_SHIPMENTS:
        shipments_hear(w, s, m);
        come_true(w, s);
        break;
    }
    for (unsigned i = 0; i < w->events.n; i++)
        check_answer(w, r, c, w->events.events[i].type);
    if (w->events.n == 0 && c != CONTEXT_ORDERS && shipment_task_of(m) != SHIPMENT_TASK_CONFIRM)
        TELL(w, ": nothing");
}

/* ---- the carrier, and the world outside ------------------------------------------------------- */

static enum shipment_outcome carrier_decides(struct world *w, const struct shipment *p,
                                             enum event_type type, const struct shipment_id *id)
{
    switch (type) {
    case EVENT_SHIPMENT_DISPATCHED:
        return shipment_dispatch(p, id, WORLD_NOW_MS, &w->events);
    case EVENT_SHIPMENT_DELIVERED:
        return shipment_deliver(p, id, WORLD_NOW_MS, &w->events);
    case EVENT_SHIPMENT_CANCELLED:
        if (p->status == SHIPMENT_STATUS_NONE)
            return SHIPMENT_ILLEGAL;
        return shipment_cancel(p, id, &w->events);
    default:
        return SHIPMENT_HOLDS;
    }
}

bool contexts_carrier_may(struct world *w, const struct state *s, enum event_type type,
                          unsigned which)
{
    struct shipment_id id = { *world_shipment_id(which) };
    struct shipment p = world_shipment(s, which);

    event_list_init(&w->events);
    return carrier_decides(w, &p, type, &id) == SHIPMENT_CHANGED;
}

void contexts_carrier(struct world *w, struct state *s, enum event_type type, unsigned which)
{
    bool changes = contexts_carrier_may(w, s, type, which);

    ENSURE(changes);
    TELL(w, "the carrier says of " STR_FMT, STR_ARG(text_id_str(world_shipment_id(which))));
    come_true(w, s);
}

unsigned contexts_posted(const struct world *w, const struct state *s,
                         struct said out[WORLD_POSTED_MAX])
{
    const struct flow *words = &w->words;
    unsigned n = 0;

#define POSTED(was, said_type, which)                                                              \
    if (was)                                                                                       \
    out[n++] = (struct said){ .type = (uint8_t)(said_type), .item = (uint8_t)(which) }
    POSTED(s->was_rejected, words->stock_rejected, 0);
    POSTED(world_payment(s, PAYMENT_OWN).status == PAYMENT_STATUS_DECLINED, words->payment_declined,
           1 + PAYMENT_OWN);
    for (unsigned i = 0; i < WORLD_PAYMENTS; i++) {
        POSTED(s->charged[i] && i != PAYMENT_EXTERNAL, words->payment_approved, 1 + i);
        POSTED(s->refunded[i], EVENT_PAYMENT_REFUNDED, 1 + i);
    }
    for (unsigned i = 0; i < WORLD_PARTS; i++) {
        POSTED(s->reserved[i], words->stock_reserved, 1 + i);
        POSTED(s->released[i], words->stock_released, 1 + i);
        POSTED(world_shipment(s, i).sequence, EVENT_SHIPMENT_CREATED, 1 + i);
        POSTED(world_shipment(s, i).status == SHIPMENT_STATUS_DISPATCHED ||
                   world_shipment(s, i).status == SHIPMENT_STATUS_DELIVERED,
               EVENT_SHIPMENT_DISPATCHED, 1 + i);
        POSTED(world_shipment(s, i).status == SHIPMENT_STATUS_DELIVERED, EVENT_SHIPMENT_DELIVERED,
               1 + i);
        POSTED(world_shipment(s, i).status == SHIPMENT_STATUS_CANCELLED, EVENT_SHIPMENT_CANCELLED,
               1 + i);
    }
#undef POSTED
    REQUIRE(n <= WORLD_POSTED_MAX);
    return n;
}

/* A message that came before: what the server takes in once more, or turns down. */
void contexts_post_again(struct world *w, struct state *s, const struct event *e)
{
    struct event again = *e;
    unsigned which = world_said(e).item;

    event_list_init(&w->events);
    TELL(w, STR_FMT " is posted once more", TYPE_ARG(e->type));
    if (event_infos[e->type].aggregate == AGGREGATE_SHIPMENT) {
        struct shipment p = world_shipment(s, which - 1u);
        enum shipment_outcome o = carrier_decides(w, &p, e->type, &e->p.shipment_id);

        event_list_init(&w->events);
        if (o == SHIPMENT_NOT_CONFIRMED || o == SHIPMENT_ILLEGAL) {
            TELL(w, ": turned down");
            return;
        }
    }
    if (which)
        apply_to_part(s, &again, which - 1u);
    world_publish(w, s, e);
}

/* The order in hand is the state's. */
bool contexts_may_give_back(const struct world *w, const struct state *s)
{
    const struct order_effect *e = order_find_effect(
        w->order, EFFECT_PAYMENT, text_id_str(world_payment_id(PAYMENT_EXTERNAL)));

    return e && e->due == DUE_OPEN && !s->refunded[PAYMENT_EXTERNAL];
}

void contexts_give_back(struct world *w, struct state *s)
{
    const struct said m = { .type = EVENT_PAYMENT_REFUNDED, .item = 1 + PAYMENT_EXTERNAL };
    struct event refunded;

    TELL(w, "the shop gives back external-1: PaymentRefunded");
    world_book(&s->refunded[PAYMENT_EXTERNAL]);
    world_event(w, &m, &refunded);
    world_publish(w, s, &refunded);
}

bool contexts_stray_may(const struct state *s, enum event_type type)
{
    switch (type) {
    case EVENT_PAYMENT_APPROVED:
        return !s->charged[PAYMENT_STRAY];
    case EVENT_STOCK_RESERVED:
        return !s->reserved[PART_STRAY];
    default:
        return world_shipment(s, PART_STRAY).sequence == 0;
    }
}

void contexts_stray(struct world *w, struct state *s, enum event_type type)
{
    struct said m = { .type = (uint8_t)type, .item = 1 + PART_STRAY };
    struct event e;

    if (type == EVENT_PAYMENT_APPROVED)
        m.item = 1 + PAYMENT_STRAY;
    TELL(w, "unexpected");
    world_event(w, &m, &e);
    event_list_init(&w->events);
    *event_list_add(&w->events, type) = e;
    come_true(w, s);
}
