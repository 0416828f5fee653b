/* Orders hears what payments, stock and shipments answer, and is the only one that moves an order
 * or decides that money, stock or goods go back. */
#include "../app_private.h"

/* Money or stock came back that nobody had asked for: recorded, counted, and said aloud. */
static void orders_note_unasked(struct handling *h)
{
    struct app *app = h->app;
    char order[UUID_TEXT_LEN], message[UUID_TEXT_LEN];
    bool is_refund = h->event->type == EVENT_PAYMENT_REFUNDED;
    struct log_field fields[] = {
        { "orderId", { order, sizeof(order) } },
        { is_refund ? "paymentId" : "reservationId",
          is_refund ? text_id_str(&h->event->p.payment_id.t)
                    : text_id_str(&h->event->p.reservation_id.t) },
        { "messageId", message_id_said(h->event->message_id, h->event->id, message) },
    };

    uuid_format(h->event->p.order_id.u, order);
    if (is_refund)
        app->metrics.unasked_refunds++;
    else
        app->metrics.unasked_releases++;
    log_write(app->logger, LOG_ERROR, is_refund ? "refund_unasked" : "release_unasked", fields,
              ARRAY_LEN(fields));
}

static void orders_decide(struct handling *h)
{
    struct app *app = h->app;
    struct order *o = h->dossier->order;
    bool unasked = false;
    enum order_outcome outcome;

    event_list_init(&app->decision);
    outcome = order_hear(o, h->event, &unasked, &app->decision);
    if (outcome == ORDER_OUTCOME_TOO_MANY) {
        handling_failed(h, FAILURE_CODE_TOO_MANY,
                        STR("The order has too many payments, reservations or shipments."));
        return;
    }
    if (outcome != ORDER_OUTCOME_CHANGED) {
        handling_ignored(h, o->status, order_outcome_name(outcome));
        return;
    }
    if (handling_begin(h) != ERR_OK)
        return;
    h->next_order = order_append_events(app, &h->append, o, &app->decision, h->event,
                                        SUBSCRIPTION_ORDERS, NULL);
    if (unasked)
        h->durable = orders_note_unasked;
    handling_submit(h);
}

static void orders_with_dossier(struct handling *h)
{
    if (!h->dossier->order) {
        handling_failed(h, FAILURE_CODE_UNKNOWN_ORDER, STR("There is no such order."));
        return;
    }
    if (!order_hears(h->event->type)) {
        handling_done(h); /* heard, and nothing for an order follows from it */
        return;
    }
    handling_take_turn(h, &h->dossier->turn, orders_decide);
}

/* What was found wrong with an outside message when it came in. */
static const struct failure orders_verdicts[VERDICT_COUNT] = {
#define V(name, code, text) [VERDICT_##name] = { FAILURE_CODE_##code, { text, sizeof(text) - 1 } }
    V(PAYMENT_TAKEN, PAYMENT_TAKEN, "The payment belongs to another order."),
    V(RESERVATION_TAKEN, RESERVATION_TAKEN, "The reservation belongs to another order."),
    V(SHIPMENT_TAKEN, SHIPMENT_TAKEN, "The shipment belongs to another order."),
    V(NOT_CONFIRMED, NOT_CONFIRMED, "Shipments has not handled OrderShipped of this shipment."),
    V(ILLEGAL_STATE, ILLEGAL_STATE, "The shipment is in a state that does not allow this."),
    V(TOO_MANY, TOO_MANY, "The order has too many payments, reservations or shipments."),
    V(UNKNOWN_ORDER, UNKNOWN_ORDER, "There is no such order."),
    V(NOT_THEIRS, ILLEGAL_STATE, "The built-in context did not do this; nobody else can."),
#undef V
};

static void orders_handle(struct subscription *s, struct delivery *d)
{
    struct handling *h = handling_create(app_of(s), d);
    const struct event *e = h->event;

    if (e->verdict != VERDICT_FINE)
        handling_failed(h, orders_verdicts[e->verdict].code, orders_verdicts[e->verdict].detail);
    else
        handling_open(h, 0, orders_with_dossier);
}

void orders_subscribe(struct app *app)
{
    context_subscribe(app, SUBSCRIPTION_ORDERS, CONTEXT_ORDERS, orders_handle);
}
