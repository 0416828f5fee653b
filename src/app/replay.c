#include "orderly/app/replay.h"
#include "orderly/app/lanes.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#define PARTS_CAP_FIRST 8

void replay_init(struct replay *r)
{
    *r = (struct replay){ 0 };
}

static void replay_clear(struct replay *r)
{
    order_destroy(r->order);
    r->order = NULL;
    product_deinit(&r->product);
    for (unsigned i = 0; i < r->n_parts; i++)
        part_state_deinit(&r->parts[i].state);
    r->n_parts = 0;
}

void replay_deinit(struct replay *r)
{
    replay_clear(r);
    mem_free(r->parts);
    *r = (struct replay){ 0 };
}

void replay_begin(struct replay *r, struct lane_id lane)
{
    replay_clear(r);
    r->lane = lane;
    r->n_events = r->n_letters = 0;
    r->cart = (struct cart){ 0 };
    r->marked.n = 0;
}

__attribute__((format(printf, 2, 3))) static const char *replay_say(struct replay *r,
                                                                    const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(r->why, sizeof(r->why), fmt, args);
    va_end(args);
    return r->why;
}

/* ---- streams --------------------------------------------------------------------------------- */

static const char *sequence_fault(struct replay *r, const struct event *e, uint64_t before)
{
    if (e->sequence == before + 1)
        return NULL;
    return replay_say(r,
                      "is number %llu of its stream (" STR_FMT " " STR_FMT "), where %llu follows",
                      (unsigned long long)e->sequence, STR_ARG(aggregate_name(e->stream.type)),
                      STR_ARG(text_id_str(&e->stream.id)), (unsigned long long)before + 1);
}

static bool stream_is(const struct event *e, struct uuid id)
{
    char text[UUID_TEXT_LEN];

    uuid_format(id, text);
    return str_eq(text_id_str(&e->stream.id), (struct str){ text, sizeof(text) });
}

static const struct replay_part *part_with(const struct replay *r, enum aggregate type,
                                           const struct text_id *id)
{
    return replay_find_part(r, type, text_id_str(id));
}

/* What moved the order is there, unless a person said it (mark-paid). */
static const char *order_mover_fault(struct replay *r, const struct event *e)
{
    const struct text_id *id;
    enum aggregate type;
    const struct replay_part *p;

    switch (e->type) {
    case EVENT_ORDER_PAID:
        if (e->handled_by != SUBSCRIPTION_ORDERS)
            return NULL;
        type = AGGREGATE_PAYMENT;
        id = &e->p.payment_id.t;
        break;
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_STOCK_RESERVED:
        type = AGGREGATE_RESERVATION;
        id = &e->p.reservation_id.t;
        break;
    case EVENT_ORDER_SHIPPED:
        type = AGGREGATE_SHIPMENT;
        id = &e->p.shipment_id.t;
        break;
    default:
        return NULL;
    }
    p = part_with(r, type, id);
    if (p && p->taken.position > 0)
        return NULL;
    return replay_say(r, "goes by " STR_FMT " " STR_FMT ", which no event before it made",
                      STR_ARG(aggregate_name(type)), STR_ARG(text_id_str(id)));
}

static const char *order_event(struct replay *r, const struct event *e)
{
    const char *why = sequence_fault(r, e, r->order ? r->order->sequence : 0);

    if (!why && (!stream_is(e, r->lane.u) || !uuid_eq(e->p.order_id.u, r->lane.u)))
        why = "is of another order";
    if (!why && (e->type == EVENT_ORDER_PLACED) != (r->order == NULL))
        why = r->order ? "places the order again" : "comes before the order was placed";
    if (!why)
        why = order_mover_fault(r, e);
    if (!r->order && e->type == EVENT_ORDER_PLACED)
        r->order = order_create();
    if (r->order)
        order_apply(r->order, e);
    if (e->type == EVENT_ORDER_PAID && e->handled_by == SUBSCRIPTION_NONE)
        r->marked = e->p.payment_id.t;
    return why;
}

static const char *cart_event(struct replay *r, const struct event *e)
{
    const char *why = sequence_fault(r, e, r->cart.sequence);

    if (!why && (!stream_is(e, r->lane.u) || !uuid_eq(e->p.cart_id.u, r->lane.u)))
        why = "is of another cart";
    if (!why && (e->type == EVENT_CART_CREATED) != (r->cart.sequence == 0))
        why = r->cart.sequence ? "creates the cart again" : "comes before the cart was created";
    cart_apply(&r->cart, e);
    return why;
}

static const char *product_event(struct replay *r, const struct event *e)
{
    const char *why = sequence_fault(r, e, r->product.sequence);
    struct str id = text_id_str(&e->stream.id);

    if (!why && (!str_eq(id, sku_str(&e->p.sku)) || !uuid_eq(lane_of_text(id).u, r->lane.u)))
        why = "is of another product";
    if (!why && (e->type == EVENT_PRODUCT_ADDED) != (r->product.sequence == 0))
        why = r->product.sequence ? "adds the product again" : "comes before the product was added";
    product_apply(&r->product, e);
    return why;
}

/* ---- parts ----------------------------------------------------------------------------------- */

const struct replay_part *replay_find_part(const struct replay *r, enum aggregate type,
                                           struct str id)
{
    for (unsigned i = r->n_parts; i-- > 0;)
        if (r->parts[i].state.type == type && str_eq(text_id_str(&r->parts[i].id), id))
            return &r->parts[i];
    return NULL;
}

bool replay_ships_with(const struct replay *r, const struct text_id *id)
{
    if (r->order)
        return text_id_eq(&r->order->shipment_id.t, id);
    for (unsigned i = 0; i < r->n_parts; i++)
        if (r->parts[i].state.type == AGGREGATE_INBOX)
            return text_id_eq(&r->parts[i].state.inbox.shipment_id.t, id);
    return false;
}

bool replay_binds(const struct replay *r, enum aggregate type, struct str id)
{
    const struct replay_part *p = replay_find_part(r, type, id);

    return (p && p->is_bound) ||
           (type == AGGREGATE_PAYMENT && r->marked.n > 0 && str_eq(text_id_str(&r->marked), id));
}

static struct replay_part *part_of(struct replay *r, const struct event *e)
{
    struct replay_part *p =
        (struct replay_part *)replay_find_part(r, e->stream.type, text_id_str(&e->stream.id));

    if (p)
        return p;
    if (r->n_parts == r->parts_cap) {
        r->parts_cap = r->parts_cap ? 2 * r->parts_cap : PARTS_CAP_FIRST;
        r->parts = mem_realloc(r->parts, r->parts_cap * sizeof(*r->parts));
    }
    p = &r->parts[r->n_parts++];
    memset(p, 0, sizeof(*p));
    p->id = e->stream.id;
    p->state.type = e->stream.type;
    return p;
}

/* The id that the payload names; empty where an outcome has none. */
static struct str named_id(const struct event *e)
{
    switch (e->stream.type) {
    case AGGREGATE_PAYMENT:
        return text_id_str(&e->p.payment_id.t);
    case AGGREGATE_RESERVATION:
        return text_id_str(&e->p.reservation_id.t);
    default:
        return text_id_str(&e->p.shipment_id.t);
    }
}

static void mark(struct replay_mark *m, const struct event *e)
{
    if (m->position > 0)
        return;
    m->position = e->position;
    m->amount = e->p.amount;
    m->currency = e->p.currency;
}

/* After it was applied. */
static void part_mark(struct replay_part *p, const struct event *e)
{
    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        /* What was said to have gone back before does not come again. */
        if (p->state.payment.status == PAYMENT_STATUS_APPROVED)
            mark(&p->taken, e);
        return;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
    case EVENT_SHIPMENT_CREATED:
        mark(&p->taken, e);
        return;
    case EVENT_PAYMENT_REFUNDED:
        /* One of another sum is not the refund of what was taken. */
        if (p->taken.position > 0 && e->p.amount == p->taken.amount &&
            currency_eq(e->p.currency, p->taken.currency))
            mark(&p->undone, e);
        return;
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        mark(&p->undone, e);
        return;
    default:
        return;
    }
}

static bool same_lines(const struct reservation *r, const struct payload *p)
{
    if (r->n_lines != p->n_stock_lines)
        return false;
    for (unsigned i = 0; i < r->n_lines; i++)
        if (!sku_eq(&r->lines[i].sku, &p->stock_lines[i].sku) ||
            r->lines[i].quantity != p->stock_lines[i].quantity)
            return false;
    return true;
}

/* What the built-in contexts do is exact: one charge, one reservation, one shipment of an order,
 * and just what was taken goes back, once. before: the part without this event. */
static const char *own_payment_fault(struct replay *r, const struct payment *before,
                                     const struct event *e)
{
    const struct order_body *b = r->order ? r->order->body : NULL;

    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        if (before->status == PAYMENT_STATUS_APPROVED || before->status == PAYMENT_STATUS_REFUNDED)
            return "charges a payment again";
        if (b && (e->p.amount != b->total || !currency_eq(e->p.currency, b->currency)))
            return "charges another sum than the order's";
        return NULL;
    case EVENT_PAYMENT_REFUNDED:
        if (!before->is_ours || before->status != PAYMENT_STATUS_APPROVED)
            return "gives back a payment that was not taken";
        if (e->p.amount != before->amount || !currency_eq(e->p.currency, before->currency))
            return "gives back another sum than was taken";
        return NULL;
    default:
        return NULL;
    }
}

static const char *own_reservation_fault(const struct reservation *before, const struct event *e)
{
    switch (e->type) {
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        return before->status == RESERVATION_STATUS_NONE ? NULL : "reserves the same again";
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
    case EVENT_STOCK_TAKEN:
        if (!before->is_ours || before->status != RESERVATION_STATUS_RESERVED)
            return "ends a reservation that does not stand";
        return same_lines(before, &e->p) ? NULL : "ends a reservation of other pieces";
    default:
        return NULL;
    }
}

static const char *own_fault(struct replay *r, const struct replay_part *p, const struct event *e)
{
    static const enum subscription_id contexts[AGGREGATE_COUNT] = {
        [AGGREGATE_PAYMENT] = SUBSCRIPTION_PAYMENTS,
        [AGGREGATE_RESERVATION] = SUBSCRIPTION_INVENTORY,
        [AGGREGATE_SHIPMENT] = SUBSCRIPTION_SHIPMENTS,
    };

    if (e->handled_by == SUBSCRIPTION_NONE)
        return NULL;
    if (e->handled_by != contexts[e->stream.type])
        return "was made by another context than its own";
    if (e->stream.type == AGGREGATE_PAYMENT)
        return own_payment_fault(r, &p->state.payment, e);
    if (e->stream.type == AGGREGATE_RESERVATION)
        return own_reservation_fault(&p->state.reservation, e);
    return NULL;
}

static const char *part_event(struct replay *r, const struct event *e)
{
    struct replay_part *p = part_of(r, e);
    struct str id = named_id(e);
    const char *why = sequence_fault(r, e, p->sequence);

    if (!why && e->verdict == VERDICT_FINE && id.n && !str_eq(id, text_id_str(&p->id)))
        why = "names another id than that of its stream";
    if (!why)
        why = own_fault(r, p, e);
    part_state_apply(&p->state, e);
    p->sequence = e->sequence;
    if (e->verdict == VERDICT_FINE && id.n) {
        p->is_bound = true;
        part_mark(p, e);
    }
    return why;
}

/* What was heard of an order where no Orders is. */
static const char *inbox_event(struct replay *r, const struct event *e)
{
    struct replay_part *p = part_of(r, e);
    const char *why = sequence_fault(r, e, p->sequence);

    if (!why && (!stream_is(e, r->lane.u) || !uuid_eq(e->p.order_id.u, r->lane.u)))
        why = "is of another order";
    if (!why && e->message_id.n == 0)
        why = "was heard from nobody";
    if (!why && r->order)
        why = "was heard of an order that is here";
    part_state_apply(&p->state, e);
    p->sequence = e->sequence;
    return why;
}

/* ---- an event -------------------------------------------------------------------------------- */

static void letter_event(struct replay *r, const struct event *e)
{
    r->n_letters += e->type == EVENT_DEAD_LETTERED;
    if (e->type != EVENT_DEAD_LETTERED || e->handled_by != SUBSCRIPTION_ORDERS)
        return;
    for (unsigned i = 0; i < r->n_parts; i++) {
        struct replay_part *p = &r->parts[i];

        p->taken.is_lettered |= p->taken.position == e->p.message_position;
        p->undone.is_lettered |= p->undone.position == e->p.message_position;
    }
}

const char *replay_event(struct replay *r, const struct event *e)
{
    r->n_events++;
    if (!uuid_eq(e->lane.u, r->lane.u))
        return "lies under another order than it says";
    if (e->stream.type != event_infos[e->type].aggregate && e->stream.type != AGGREGATE_INBOX)
        return "lies in a stream that has no such events";
    switch (e->stream.type) {
    case AGGREGATE_ORDER:
        return order_event(r, e);
    case AGGREGATE_PAYMENT:
    case AGGREGATE_RESERVATION:
    case AGGREGATE_SHIPMENT:
        return part_event(r, e);
    case AGGREGATE_INBOX:
        return inbox_event(r, e);
    case AGGREGATE_CART:
        return cart_event(r, e);
    case AGGREGATE_PRODUCT:
        return product_event(r, e);
    case AGGREGATE_SUBSCRIPTION:
        letter_event(r, e);
        return NULL;
    case AGGREGATE_NONE:
    case AGGREGATE_COUNT:
        break;
    }
    return "lies in no stream";
}

/* ---- rows ------------------------------------------------------------------------------------ */

void replay_order_lists(const struct order *o, replay_row_cb row, void *ctx)
{
    char key[ROW_KEY_CUSTOMER_MAX];
    const struct order_body *b = o->body;

    row(ctx, DB_ORDERS_BY_CUSTOMER, row_key_customer(key, &b->customer_id, b->id), STR_NONE);
    row(ctx, DB_ORDERS_BY_STATUS, row_key_status(key, o->status, b->id), STR_NONE);
    if (o->unsettled_since_ms)
        row(ctx, DB_UNSETTLED, row_key_time(key, o->unsettled_since_ms, b->id), STR_NONE);
    if (order_has_open_deadline(o))
        row(ctx, DB_DEADLINES, row_key_time(key, b->payment_deadline_ms, b->id), STR_NONE);
    if (order_has_refund_due(o))
        row(ctx, DB_REFUNDS_DUE, uuid_bytes(&b->id.u), STR_NONE);
}

static void part_rows(const struct replay *r, const struct replay_part *p, struct buf *row,
                      replay_row_cb cb, void *ctx)
{
    char key[ROW_KEY_PART_MAX];
    struct str id = text_id_str(&p->id);

    row->n = 0;
    part_state_encode(&p->state, row);
    cb(ctx, DB_PARTS, row_key_part(key, r->lane, p->state.type, id), buf_str(row));
    if (p->is_bound)
        cb(ctx, DB_OWNERS, row_key_owner(key, p->state.type, id), uuid_bytes(&r->lane.u));
}

void replay_rows(const struct replay *r, replay_row_cb cb, void *ctx)
{
    struct buf row = { 0 };

    if (r->order && r->order->body) {
        order_snapshot_encode(r->order, &row);
        cb(ctx, DB_ORDERS, uuid_bytes(&r->lane.u), buf_str(&row));
        replay_order_lists(r->order, cb, ctx);
    }
    for (unsigned i = 0; i < r->n_parts; i++)
        part_rows(r, &r->parts[i], &row, cb, ctx);
    if (r->marked.n > 0) {
        char key[ROW_KEY_OWNER_MAX];

        cb(ctx, DB_OWNERS, row_key_owner(key, AGGREGATE_PAYMENT, text_id_str(&r->marked)),
           uuid_bytes(&r->lane.u));
    }
    if (r->cart.sequence > 0) {
        row.n = 0;
        cart_encode(&r->cart, &row);
        cb(ctx, DB_CARTS, uuid_bytes(&r->lane.u), buf_str(&row));
    }
    if (r->product.sequence > 0) {
        row.n = 0;
        product_encode(&r->product, &row);
        cb(ctx, DB_PRODUCTS, sku_str(&r->product.sku), buf_str(&row));
    }
    buf_deinit(&row);
}

/* ---- balance --------------------------------------------------------------------------------- */

struct balance {
    struct replay *r;
    uint64_t heard;
    void (*fault)(void *ctx, const char *what);
    void *ctx;
};

static bool was_paid(const struct order *o)
{
    return o->visited & (1u << ORDER_PAID);
}

/* It ended without being carried out: all that came in goes back. */
static bool has_failed(const struct order *o)
{
    return o->status == ORDER_CANCELLED || o->status == ORDER_REJECTED ||
           o->status == ORDER_PAYMENT_FAILED;
}

static void balance_say(struct balance *b, const char *kind, const struct text_id *id,
                        const char *what)
{
    b->fault(b->ctx, replay_say(b->r, "%s " STR_FMT " %s", kind, STR_ARG(text_id_str(id)), what));
}

static const char *kind_name(enum effect_kind kind)
{
    switch (kind) {
    case EFFECT_PAYMENT:
        return "payment";
    case EFFECT_RESERVATION:
        return "reservation";
    case EFFECT_SHIPMENT:
        return "shipment";
    }
    return "";
}

/* What the order holds of what reached it. */
static void balance_effects(struct balance *b)
{
    const struct order *o = b->r->order;
    unsigned n_paying = 0;

    for (unsigned i = 0; i < o->n_effects; i++) {
        const struct order_effect *e = &o->effects[i];
        bool is_kept = e->due == DUE_NONE;

        if (e->kind == EFFECT_PAYMENT && e->is_own) {
            n_paying++;
            if (e->amount != o->body->total || !currency_eq(e->currency, o->body->currency))
                balance_say(b, "payment", &e->id, "paid the order with another sum than its own");
        }
        if (e->kind == EFFECT_SHIPMENT || !is_kept)
            continue;
        if (!e->is_own)
            balance_say(b, kind_name(e->kind), &e->id, "is kept, though the order does not use it");
        else if (has_failed(o))
            balance_say(b, kind_name(e->kind), &e->id, "is kept, though the order has failed");
    }
    if (n_paying != was_paid(o))
        b->fault(b->ctx, replay_say(b->r, "it was paid %s, by %u payments",
                                    was_paid(o) ? "once" : "never", n_paying));
}

static bool was_heard(const struct balance *b, const struct replay_mark *m)
{
    return m->position > 0 && m->position <= b->heard && !m->is_lettered;
}

/* What the payments, reservations and shipments say, the order knows. */
static void balance_part(struct balance *b, const struct replay_part *p)
{
    static const enum effect_kind kinds[AGGREGATE_COUNT] = {
        [AGGREGATE_PAYMENT] = EFFECT_PAYMENT,
        [AGGREGATE_RESERVATION] = EFFECT_RESERVATION,
        [AGGREGATE_SHIPMENT] = EFFECT_SHIPMENT,
    };
    enum effect_kind kind = kinds[p->state.type];
    const struct order_effect *e = order_find_effect(b->r->order, kind, text_id_str(&p->id));

    /* Where a person had named the payment before, the order goes by that. */
    if (was_heard(b, &p->taken) && !text_id_eq(&b->r->marked, &p->id)) {
        if (!e)
            balance_say(b, kind_name(kind), &p->id, "was taken, and the order does not know it");
        else if (kind == EFFECT_PAYMENT &&
                 (e->amount != p->taken.amount || !currency_eq(e->currency, p->taken.currency)))
            balance_say(b, "payment", &p->id, "took another sum than the order knows");
    }
    if (e && was_heard(b, &p->taken) && was_heard(b, &p->undone) && e->due != DUE_DONE)
        balance_say(b, kind_name(kind), &p->id, "was given back, and the order does not know it");
}

void replay_balance(struct replay *r, uint64_t heard_position,
                    void (*fault)(void *ctx, const char *what), void *ctx)
{
    struct balance b = { r, heard_position, fault, ctx };

    if (!r->order || !r->order->body)
        return;
    balance_effects(&b);
    for (unsigned i = 0; i < r->n_parts; i++)
        balance_part(&b, &r->parts[i]);
}
