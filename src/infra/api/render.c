#include "render.h"
#include "orderly/app/lanes.h"
#include "orderly/app/message.h"
#include "orderly/domain/cart.h"
#include "orderly/domain/order.h"

/* ---- orders ---------------------------------------------------------------------------------- */

static void render_lines(struct json_out *o, const struct order_body *b)
{
    json_open(o, '[');
    for (unsigned i = 0; i < b->n_lines; i++) {
        const struct order_line *line = &b->lines[i];

        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "productId");
        json_plain(o, sku_str(&line->sku));
        JSON_KEY(o, "sku");
        json_plain(o, sku_str(&line->sku));
        JSON_KEY(o, "name");
        json_str(o, line->name);
        JSON_KEY(o, "description");
        json_str(o, line->description);
        JSON_KEY(o, "quantity");
        json_i64(o, line->quantity);
        JSON_KEY(o, "unitPrice");
        json_money(o, line->price, b->currency);
        JSON_KEY(o, "discount");
        json_money(o, line->discount, b->currency);
        JSON_KEY(o, "lineTotal");
        json_money(o, line->quantity * line->price - line->discount, b->currency);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void render_discounts(struct json_out *o, const struct order_body *b)
{
    json_open(o, '[');
    for (unsigned i = 0; i < b->n_discounts; i++) {
        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "code");
        json_str(o, b->discounts[i].code);
        JSON_KEY(o, "description");
        json_str(o, b->discounts[i].description);
        JSON_KEY(o, "amount");
        json_money(o, b->discounts[i].amount, b->currency);
        json_close(o, '}');
    }
    json_close(o, ']');
}

/* What went back or has to, payment by payment, and the sum of it. */
void render_order_returns(struct json_out *o, const struct order *order)
{
    int64_t amount = 0;
    enum due state = order_refund_state(order, &amount);

    JSON_KEY(o, "refund");
    json_open(o, '{');
    JSON_KEY(o, "status");
    json_plain(o, due_name(state));
    JSON_KEY(o, "amount");
    json_money(o, amount, order->body->currency);
    json_close(o, '}');

    JSON_KEY(o, "refunds");
    json_open(o, '[');
    for (unsigned i = 0; i < order->n_effects; i++) {
        const struct order_effect *e = &order->effects[i];

        if (e->kind != EFFECT_PAYMENT || e->due == DUE_NONE)
            continue;
        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "paymentId");
        json_text_id(o, &e->id);
        JSON_KEY(o, "amount");
        json_money(o, e->amount, e->currency);
        JSON_KEY(o, "currency");
        json_plain(o, currency_str(&e->currency));
        JSON_KEY(o, "status");
        json_plain(o, due_name(e->due));
        json_close(o, '}');
    }
    json_close(o, ']');

    JSON_KEY(o, "release");
    json_open(o, '{');
    JSON_KEY(o, "status");
    json_plain(o, due_name(order_release_state(order)));
    json_close(o, '}');
}

void render_order(struct json_out *o, const struct order *order)
{
    const struct order_body *b = order->body;

    json_open(o, '{');
    JSON_KEY(o, "orderId");
    json_uuid(o, b->id.u);
    JSON_KEY(o, "flow");
    json_plain(o, str_of(flow_of(b->flow)->name));
    JSON_KEY(o, "status");
    json_plain(o, order_status_name(order->status));
    JSON_KEY(o, "customerId");
    json_text_id(o, &b->customer_id.t);
    JSON_KEY(o, "cartId");
    json_uuid(o, b->cart_id.u);
    JSON_KEY(o, "items");
    render_lines(o, b);
    JSON_KEY(o, "subtotal");
    json_money(o, b->subtotal, b->currency);
    JSON_KEY(o, "discounts");
    render_discounts(o, b);
    JSON_KEY(o, "totalAmount");
    json_money(o, b->total, b->currency);
    JSON_KEY(o, "currency");
    json_plain(o, currency_str(&b->currency));
    JSON_KEY(o, "shippingAddress");
    render_address(o, &b->address);
    JSON_KEY(o, "paymentId");
    json_text_id(o, &order->payment_id.t);
    JSON_KEY(o, "reservationId");
    json_text_id(o, &order->reservation_id.t);
    JSON_KEY(o, "shipmentId");
    json_text_id(o, &order->shipment_id.t);
    JSON_KEY(o, "trackingNumber");
    json_str_or_null(o, order->tracking_number);
    JSON_KEY(o, "invoiceId");
    json_text_id(o, &order->invoice_id.t);
    JSON_KEY(o, "cancellationReason");
    json_str_or_null(o, order->cancellation_reason);
    JSON_KEY(o, "rejectionReason");
    json_str_or_null(o, order->rejection_reason);
    JSON_KEY(o, "paymentFailureReason");
    json_str_or_null(o, order->payment_failure_reason);
    render_order_returns(o, order);
    JSON_KEY(o, "paymentDeadline");
    json_time(o, b->payment_deadline_ms);
    JSON_KEY(o, "createdAt");
    json_time(o, b->created_at_ms);
    JSON_KEY(o, "updatedAt");
    json_time(o, order->updated_at_ms);
    JSON_KEY(o, "sequence");
    json_u64(o, order->sequence);
    json_close(o, '}');
}

/* ---- carts, products, shipments -------------------------------------------------------------- */

void render_cart(struct json_out *o, const struct cart *cart)
{
    json_open(o, '{');
    JSON_KEY(o, "cartId");
    json_uuid(o, cart->id.u);
    JSON_KEY(o, "customerId");
    json_text_id(o, &cart->customer_id.t);
    JSON_KEY(o, "items");
    json_open(o, '[');
    for (unsigned i = 0; i < cart->n_lines; i++) {
        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "productId");
        json_plain(o, sku_str(&cart->lines[i].sku));
        JSON_KEY(o, "quantity");
        json_i64(o, cart->lines[i].quantity);
        json_close(o, '}');
    }
    json_close(o, ']');
    JSON_KEY(o, "itemCount");
    json_u64(o, cart->n_lines);
    JSON_KEY(o, "isConverted");
    json_bool(o, cart->is_converted);
    JSON_KEY(o, "orderId");
    json_uuid(o, cart->order_id.u);
    json_close(o, '}');
}

void render_product(struct json_out *o, const struct product *p, const struct stock *stock)
{
    json_open(o, '{');
    JSON_KEY(o, "sku");
    json_plain(o, sku_str(&p->sku));
    JSON_KEY(o, "name");
    json_str(o, p->name);
    JSON_KEY(o, "description");
    json_str(o, p->description);
    JSON_KEY(o, "price");
    if (p->has_price)
        json_money(o, p->price, p->currency);
    else
        JSON_LITERAL(o, "null");
    JSON_KEY(o, "currency");
    json_str_or_null(o, currency_str(&p->currency));
    JSON_KEY(o, "onHand");
    json_i64(o, stock->on_hand);
    JSON_KEY(o, "reserved");
    json_i64(o, stock->reserved);
    JSON_KEY(o, "available");
    json_i64(o, stock_available(stock));
    JSON_KEY(o, "sequence");
    json_u64(o, p->sequence);
    json_close(o, '}');
}

void render_shipment(struct json_out *o, const struct shipment_id *id, const struct shipment *s)
{
    json_open(o, '{');
    JSON_KEY(o, "shipmentId");
    json_text_id(o, &id->t);
    JSON_KEY(o, "orderId");
    json_uuid(o, s->order_id.u);
    JSON_KEY(o, "status");
    json_str_or_null(o, shipment_status_name(s->status));
    JSON_KEY(o, "trackingNumber");
    json_str_or_null(o, s->tracking_number);
    JSON_KEY(o, "confirmed");
    json_bool(o, s->is_confirmed);
    JSON_KEY(o, "createdAt");
    json_time(o, s->created_at_ms);
    JSON_KEY(o, "dispatchedAt");
    json_time(o, s->dispatched_at_ms);
    JSON_KEY(o, "deliveredAt");
    json_time(o, s->delivered_at_ms);
    json_close(o, '}');
}

/* ---- dead letters ------------------------------------------------------------------------------ */

void render_dead_letter(struct json_out *o, const struct dead_letter_item *item,
                        const struct event *message)
{
    const struct dead_letter *d = &item->letter;
    bool is_refused = message && message->type == EVENT_MESSAGE_REFUSED;
    char id[UUID_TEXT_LEN];

    json_open(o, '{');
    JSON_KEY(o, "deadLetterId");
    json_uuid(o, d->id.u);
    JSON_KEY(o, "subscription");
    json_plain(o, subscription_name(d->subscription));
    JSON_KEY(o, "orderId");
    if (message && message->p.foreign_order_id.n)
        json_str(o, message->p.foreign_order_id);
    else
        json_uuid(o, message ? message->p.order_id.u : d->lane.u);
    /* The sender's own, where it came from outside; ours stands in the message. */
    JSON_KEY(o, "messageId");
    json_str(o, message_id_said(message ? message->message_id : STR_NONE, d->message_id, id));
    JSON_KEY(o, "topic");
    if (is_refused) /* as it was sent, where that is a text */
        json_str_or_null(o, str_is_utf8(message->p.said_topic) ? message->p.said_topic : STR_NONE);
    else
        json_plain(o, event_infos[d->type].topic);
    JSON_KEY(o, "position");
    json_u64(o, d->position);
    JSON_KEY(o, "attempts");
    json_u64(o, d->attempts);
    JSON_KEY(o, "firstFailedAt");
    json_time(o, d->first_failed_at_ms);
    JSON_KEY(o, "lastFailedAt");
    json_time(o, d->last_failed_at_ms);
    JSON_KEY(o, "error");
    json_open(o, '{');
    JSON_KEY(o, "code");
    json_str(o, d->error_code);
    JSON_KEY(o, "detail");
    json_str(o, d->error_detail);
    json_close(o, '}');
    JSON_KEY(o, "state");
    json_plain(o, dead_letter_state_name(d->state));
    JSON_KEY(o, "queuedBehind");
    json_u64(o, item->queued_behind);
    JSON_KEY(o, "message");
    if (message)
        render_message(o, message);
    else
        JSON_LITERAL(o, "null");
    json_close(o, '}');
}

/* ---- problems -------------------------------------------------------------------------------- */

struct str status_title(int status)
{
    static const struct {
        int status;
        struct str title;
    } titles[] = {
        { 400, { "Bad Request", 11 } },
        { 401, { "Unauthorized", 12 } },
        { 403, { "Forbidden", 9 } },
        { 404, { "Not Found", 9 } },
        { 405, { "Method Not Allowed", 18 } },
        { 406, { "Not Acceptable", 14 } },
        { 408, { "Request Timeout", 15 } },
        { 409, { "Conflict", 8 } },
        { 410, { "Gone", 4 } },
        { 412, { "Precondition Failed", 19 } },
        { 413, { "Content Too Large", 17 } },
        { 414, { "URI Too Long", 12 } },
        { 415, { "Unsupported Media Type", 22 } },
        { 417, { "Expectation Failed", 18 } },
        { 421, { "Misdirected Request", 19 } },
        { 422, { "Unprocessable Content", 21 } },
        { 431, { "Request Header Fields Too Large", 31 } },
        { 500, { "Internal Server Error", 21 } },
        { 501, { "Not Implemented", 15 } },
        { 503, { "Service Unavailable", 19 } },
        { 505, { "HTTP Version Not Supported", 26 } },
    };

    for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }
    return STR("Error");
}

static struct str fault_place_name(enum fault_place place)
{
    switch (place) {
    case FAULT_POINTER:
        return STR("pointer");
    case FAULT_PARAMETER:
        return STR("parameter");
    case FAULT_HEADER:
        return STR("header");
    }
    UNREACHABLE("place of a fault");
}

void render_problem(struct json_out *o, const struct problem *p)
{
    json_open(o, '{');
    JSON_KEY(o, "type");
    JSON_LITERAL(o, "\"/problems/");
    json_raw_str(o, p->code);
    JSON_LITERAL(o, "\"");
    JSON_KEY(o, "title");
    json_plain(o, status_title(p->status));
    JSON_KEY(o, "status");
    json_i64(o, p->status);
    JSON_KEY(o, "code");
    json_plain(o, p->code);
    if (p->detail.n) {
        JSON_KEY(o, "detail");
        json_str(o, p->detail);
    }
    if (p->n_faults) {
        JSON_KEY(o, "errors");
        json_open(o, '[');
        for (unsigned i = 0; i < p->n_faults; i++) {
            json_item(o);
            json_open(o, '{');
            json_key(o, fault_place_name(p->faults[i].place));
            json_str(o, p->faults[i].pointer);
            JSON_KEY(o, "detail");
            json_str(o, p->faults[i].detail);
            json_close(o, '}');
        }
        json_close(o, ']');
    }
    if (p->state
            .n) { /* `status` is the HTTP status in a problem, so the resource's has another name */
        JSON_KEY(o, "currentStatus");
        json_plain(o, p->state);
    }
    if (p->has_legal) {
        JSON_KEY(o, "legal");
        json_open(o, '[');
        for (unsigned i = 0; i < p->n_legal; i++) {
            json_item(o);
            json_plain(o, p->legal[i]);
        }
        json_close(o, ']');
    }
    if (p->results.n) {
        JSON_KEY(o, "results");
        json_raw_str(o, p->results);
    }
    if (p->request_id.n) {
        JSON_KEY(o, "requestId");
        json_plain(o, p->request_id);
    }
    json_close(o, '}');
}
