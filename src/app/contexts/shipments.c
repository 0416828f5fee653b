/* Shipments makes a shipment for a paid order, remembers that OrderShipped was heard (only then may
 * it be dispatched), and cancels one that Orders refuses. Knows orders only by their messages. */
#include "../app_private.h"

static void shipments_decide_create(struct handling *h)
{
    struct app *app = h->app;
    const struct event *e = h->event;
    struct part *part = h->part;
    struct shipment_id id = { part->id };
    char order[UUID_TEXT_LEN], tracking[16] = "TRK-";

    /* A function of the order, never of a running generator: the end of its id, in capitals. */
    uuid_format(e->p.order_id.u, order);
    for (unsigned i = 0; i < 12; i++) {
        char c = order[UUID_TEXT_LEN - 12 + i];

        tracking[4 + i] = (char)(c >= 'a' ? c - 'a' + 'A' : c);
    }
    event_list_init(&app->decision);
    if (shipment_create(&part->shipment, e->p.flow, e->p.order_id, &id,
                        (struct str){ tracking, sizeof(tracking) },
                        &app->decision) != SHIPMENT_CHANGED) {
        handling_done(h);
        return;
    }
    if (handling_begin(h) != ERR_OK)
        return;
    h->binding = binding_bind(app, &h->append, AGGREGATE_SHIPMENT, text_id_str(&part->id), e->lane);
    handling_append_part(h, part, &app->decision.events[0]);
    handling_submit(h);
}

static void shipments_create(struct handling *h)
{
    struct text_id id;

    if (dossier_own_part(h->dossier, AGGREGATE_SHIPMENT)) {
        handling_done(h); /* one shipment per order */
        return;
    }
    id = text_id_of_word("shipment", event_log_new_uuid(&h->app->log));
    h->part = dossier_part(h->dossier, AGGREGATE_SHIPMENT, text_id_str(&id));
    handling_take_turn(h, &h->part->turn, shipments_decide_create);
}

/* No event: the shipment's row says that OrderShipped was handled. */
static void shipments_decide_confirm(struct handling *h)
{
    struct part *part = h->part;

    if (part->shipment.is_confirmed || part->sequence == 0) {
        handling_done(h);
        return;
    }
    if (handling_begin(h) != ERR_OK)
        return;
    part_state_copy(&h->next_part, part);
    h->has_next_part = true;
    h->next_part.shipment.is_confirmed = true;
    part_state_put(&h->append, h->event->lane, &part->id, &h->next_part);
    handling_submit(h);
}

static void shipments_decide_cancel(struct handling *h)
{
    struct app *app = h->app;
    struct part *part = h->part;
    struct shipment_id id = { part->id };

    event_list_init(&app->decision);
    if (!part->shipment.is_ours ||
        shipment_cancel(&part->shipment, &id, &app->decision) != SHIPMENT_CHANGED) {
        handling_done(h); /* an outside context's is its own to cancel */
        return;
    }
    if (handling_begin(h) != ERR_OK)
        return;
    handling_append_part(h, part, &app->decision.events[0]);
    handling_submit(h);
}

static void shipments_with(struct handling *h, void (*decide)(struct handling *h))
{
    h->part =
        dossier_find_part(h->dossier, AGGREGATE_SHIPMENT, text_id_str(&h->event->p.shipment_id.t));
    if (h->part)
        handling_take_turn(h, &h->part->turn, decide);
    else
        handling_done(h);
}

static void shipments_confirm(struct handling *h)
{
    shipments_with(h, shipments_decide_confirm);
}

static void shipments_cancel(struct handling *h)
{
    shipments_with(h, shipments_decide_cancel);
}

static void shipments_handle(struct subscription *s, struct delivery *d)
{
    struct app *app = app_of(s);
    struct handling *h = handling_create(app, d);
    const struct event *e = h->event;
    int64_t delay_ms = app->simulators.shipments.delay_ms[e->p.flow];
    bool makes_none =
        !app->simulators.shipments.enabled || app->simulators.shipments.mode == SHIPMENTS_WAIT;
    enum shipment_task task = shipment_task_of(e);

    if (task == SHIPMENT_TASK_NONE || (task == SHIPMENT_TASK_CREATE && makes_none))
        handling_done(h); /* it comes from outside */
    else if (d->attempt <= app->simulators.shipments.fail_first)
        handling_failed(h, FAILURE_CODE_HANDLER_FAILED,
                        STR("The shipment simulator is set to fail."));
    else if (task == SHIPMENT_TASK_CREATE)
        handling_open(h, delay_ms, shipments_create);
    else if (task == SHIPMENT_TASK_CONFIRM)
        handling_open(h, 0, shipments_confirm);
    else
        handling_open(h, delay_ms, shipments_cancel);
}

void shipments_subscribe(struct app *app)
{
    context_subscribe(app, SUBSCRIPTION_SHIPMENTS, CONTEXT_SHIPMENTS, shipments_handle);
}
