#include "orderly/domain/shipment.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

struct str shipment_status_name(enum shipment_status s)
{
    static const struct str names[] = {
#define X(name) [SHIPMENT_STATUS_##name] = { #name, sizeof(#name) - 1 },
        SHIPMENT_STATUS_MAP(X)
#undef X
    };

    REQUIRE((size_t)s < ARRAY_LEN(names));
    return names[s];
}

void shipment_deinit(struct shipment *s)
{
    mem_free((char *)s->tracking_number.p);
    *s = (struct shipment){ 0 };
}

static void shipment_apply_created(struct shipment *s, const struct event *e)
{
    struct str number = e->p.tracking_number;
    char *copy;

    if (s->status != SHIPMENT_STATUS_NONE)
        return;
    s->status = SHIPMENT_STATUS_CREATED;
    s->is_ours = e->handled_by == SUBSCRIPTION_SHIPMENTS;
    s->order_id = e->p.order_id;
    s->flow = e->p.flow;
    s->created_at_ms = e->occurred_at_ms;
    if (number.n == 0)
        return;
    copy = mem_alloc(number.n);
    memcpy(copy, number.p, number.n);
    s->tracking_number = (struct str){ copy, number.n };
}

void shipment_apply(struct shipment *s, const struct event *e)
{
    s->sequence = e->sequence;
    if (e->verdict != VERDICT_FINE)
        return;
    switch (e->type) {
    case EVENT_SHIPMENT_CREATED:
        shipment_apply_created(s, e);
        break;
    case EVENT_SHIPMENT_DISPATCHED:
        /* A carrier may say it twice, and late: that takes nothing back, and the first time counts. */
        if (s->status != SHIPMENT_STATUS_DELIVERED)
            s->status = SHIPMENT_STATUS_DISPATCHED;
        if (s->dispatched_at_ms == 0)
            s->dispatched_at_ms = e->p.dispatched_at_ms ? e->p.dispatched_at_ms : e->occurred_at_ms;
        break;
    case EVENT_SHIPMENT_DELIVERED:
        s->status = SHIPMENT_STATUS_DELIVERED;
        if (s->delivered_at_ms == 0)
            s->delivered_at_ms = e->p.delivered_at_ms ? e->p.delivered_at_ms : e->occurred_at_ms;
        break;
    case EVENT_SHIPMENT_CANCELLED:
        s->status = SHIPMENT_STATUS_CANCELLED;
        break;
    default:
        break;
    }
}

enum shipment_task shipment_task_of(const struct event *m)
{
    switch (m->type) {
    case EVENT_ORDER_PAID:
        return SHIPMENT_TASK_CREATE;
    case EVENT_ORDER_SHIPPED:
        return SHIPMENT_TASK_CONFIRM;
    case EVENT_ORDER_SHIPMENT_REFUSED:
        return SHIPMENT_TASK_CANCEL;
    default:
        return SHIPMENT_TASK_NONE;
    }
}

static struct event *shipment_emit(const struct shipment *s, enum event_type type,
                                   const struct shipment_id *id, struct event_list *out)
{
    struct event *e = event_list_add(out, type);

    e->p.order_id = s->order_id;
    e->p.flow = s->flow;
    e->p.shipment_id = *id;
    return e;
}

enum shipment_outcome shipment_create(const struct shipment *s, enum flow_id flow,
                                      struct order_id order, const struct shipment_id *id,
                                      struct str tracking_number, struct event_list *out)
{
    struct event *e;

    if (s->status != SHIPMENT_STATUS_NONE)
        return SHIPMENT_HOLDS;
    e = event_list_add(out, EVENT_SHIPMENT_CREATED);
    e->p.order_id = order;
    e->p.flow = flow;
    e->p.shipment_id = *id;
    e->p.tracking_number = tracking_number;
    return SHIPMENT_CHANGED;
}

enum shipment_outcome shipment_dispatch(const struct shipment *s, const struct shipment_id *id,
                                        int64_t now_ms, struct event_list *out)
{
    switch (s->status) {
    case SHIPMENT_STATUS_DISPATCHED:
    case SHIPMENT_STATUS_DELIVERED:
        return SHIPMENT_HOLDS;
    case SHIPMENT_STATUS_CANCELLED:
        return SHIPMENT_ILLEGAL;
    case SHIPMENT_STATUS_NONE:
        return SHIPMENT_NOT_CONFIRMED;
    case SHIPMENT_STATUS_CREATED:
        break;
    }
    if (!s->is_confirmed)
        return SHIPMENT_NOT_CONFIRMED;
    shipment_emit(s, EVENT_SHIPMENT_DISPATCHED, id, out)->p.dispatched_at_ms = now_ms;
    return SHIPMENT_CHANGED;
}

enum shipment_outcome shipment_deliver(const struct shipment *s, const struct shipment_id *id,
                                       int64_t now_ms, struct event_list *out)
{
    switch (s->status) {
    case SHIPMENT_STATUS_DELIVERED:
        return SHIPMENT_HOLDS;
    case SHIPMENT_STATUS_CANCELLED:
        return SHIPMENT_ILLEGAL;
    case SHIPMENT_STATUS_NONE:
        return SHIPMENT_NOT_CONFIRMED;
    case SHIPMENT_STATUS_CREATED:
        if (!s->is_confirmed)
            return SHIPMENT_NOT_CONFIRMED;
        break;
    case SHIPMENT_STATUS_DISPATCHED:
        break;
    }
    shipment_emit(s, EVENT_SHIPMENT_DELIVERED, id, out)->p.delivered_at_ms = now_ms;
    return SHIPMENT_CHANGED;
}

enum shipment_outcome shipment_cancel(const struct shipment *s, const struct shipment_id *id,
                                      struct event_list *out)
{
    if (s->status == SHIPMENT_STATUS_CANCELLED)
        return SHIPMENT_HOLDS;
    if (s->status != SHIPMENT_STATUS_CREATED)
        return SHIPMENT_ILLEGAL;
    shipment_emit(s, EVENT_SHIPMENT_CANCELLED, id, out);
    return SHIPMENT_CHANGED;
}
