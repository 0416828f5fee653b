/* Payments charges an order once, in its flow's words, and gives back what it charged when Orders
 * asks for it. Knows orders only by their messages. */
#include "../app_private.h"

enum payments_chance { CHANCE_DECLINE = 1, CHANCE_POISON = 2 };

static bool payments_declines(const struct app *app, const struct event *e, int64_t amount,
                              struct currency currency)
{
    int64_t amount_e4 = amount;

    if (app->simulators.payments.mode == PAYMENTS_DECLINE)
        return true;
    if (context_chance(app->simulators.payments.seed, e->p.order_id, CHANCE_DECLINE) <
        app->simulators.payments.failure_rate)
        return true;
    for (unsigned digits = currency_digits(currency); digits < 4; digits++)
        amount_e4 *= 10; /* at most 10^12 * 10^4: fits */
    return app->simulators.payments.has_decline_above &&
           amount_e4 > app->simulators.payments.decline_above_e4;
}

static bool payments_append(struct handling *h, struct part *part)
{
    struct event *e = &h->app->decision.events[0];

    if (handling_begin(h) != ERR_OK)
        return false;
    if (part->sequence == 0)
        h->binding = binding_bind(h->app, &h->append, AGGREGATE_PAYMENT, text_id_str(&part->id),
                                  h->event->lane);
    handling_append_part(h, part, e);
    handling_submit(h);
    return true;
}

static void payments_decide_charge(struct handling *h)
{
    struct app *app = h->app;
    const struct event *e = h->event;
    const struct flow *flow = flow_of(e->p.flow);
    struct part *part = h->part;
    struct payment_id id = { part->id };
    int64_t amount = payment_amount_of(e);
    bool is_asked = e->type == EVENT_ORDER_PAYMENT_REQUESTED, decided;

    event_list_init(&app->decision);
    if (app->simulators.payments.mode == PAYMENTS_WAIT && !is_asked)
        decided = payment_wait(&part->payment, flow, e->p.order_id, &id, amount, e->p.currency,
                               &app->decision);
    else if (payments_declines(app, e, amount, e->p.currency))
        decided = payment_decline(&part->payment, flow, e->p.order_id, &id,
                                  str_of(app->simulators.payments.reason), &app->decision);
    else
        decided = payment_charge(&part->payment, flow, e->p.order_id, &id, amount, e->p.currency,
                                 &app->decision);
    if (decided)
        (void)payments_append(h, part);
    else
        handling_done(h);
}

static void payments_charge(struct handling *h)
{
    struct part *own = dossier_own_part(h->dossier, AGGREGATE_PAYMENT);

    if (!own) {
        struct text_id id = text_id_of_word("payment", event_log_new_uuid(&h->app->log));

        own = dossier_part(h->dossier, AGGREGATE_PAYMENT, text_id_str(&id));
    }
    h->part = own;
    handling_take_turn(h, &own->turn, payments_decide_charge);
}

static void payments_decide_refund(struct handling *h)
{
    struct app *app = h->app;
    struct part *part = h->part;
    struct payment_id id = { part->id };

    event_list_init(&app->decision);
    if (payment_refund(&part->payment, flow_of(h->event->p.flow), h->event->p.order_id, &id,
                       &app->decision))
        (void)payments_append(h, part);
    else
        handling_done(h); /* not ours, or already given back */
}

static void payments_refund(struct handling *h)
{
    const struct payment_id *id;
    struct part *part;

    (void)payment_task_of(h->event, &id);
    part = dossier_find_part(h->dossier, AGGREGATE_PAYMENT, text_id_str(&id->t));
    if (!part) {
        handling_done(h); /* an outside context's, or an external payment: it stays due */
        return;
    }
    h->part = part;
    handling_take_turn(h, &part->turn, payments_decide_refund);
}

static bool payments_fails(const struct app *app, const struct delivery *d)
{
    if (d->attempt <= app->simulators.payments.fail_first)
        return true;
    return context_chance(app->simulators.payments.seed, d->message->event.p.order_id,
                          CHANCE_POISON) < app->simulators.payments.poison_rate;
}

static void payments_handle(struct subscription *s, struct delivery *d)
{
    struct app *app = app_of(s);
    struct handling *h = handling_create(app, d);
    const struct event *e = h->event;
    const struct payment_id *which;
    enum payment_task task = payment_task_of(e, &which);
    bool is_charge = task == PAYMENT_TASK_CHARGE;

    if (is_charge ? !app->simulators.payments.enabled : task == PAYMENT_TASK_NONE)
        handling_done(h); /* somebody outside charges, or there is nothing to give back */
    else if (payments_fails(app, d))
        handling_failed(h, FAILURE_CODE_HANDLER_FAILED,
                        STR("The payment simulator is set to fail."));
    else
        handling_open(h, app->simulators.payments.delay_ms[e->p.flow],
                      is_charge ? payments_charge : payments_refund);
}

void payments_subscribe(struct app *app)
{
    context_subscribe(app, SUBSCRIPTION_PAYMENTS, CONTEXT_PAYMENTS, payments_handle);
}
