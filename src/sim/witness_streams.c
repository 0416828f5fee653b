/* STREAM: events are dense, in the log and in each stream, and follow from the one before.
 *
 * The ways of an order stand here a second time, written down from the drawing in the README and
 * not from the flows' own tables, which the server runs: a row that is wrong there is seen here. */
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

static const struct way {
    enum flow_id flow;
    enum event_type event;
    enum order_status to;
    uint32_t from; /* bits */
} ways[] = {
#define S(name) (1u << ORDER_##name)
    { FLOW_PAY_FIRST, EVENT_ORDER_PAID, ORDER_PAID, S(AWAITING_PAYMENT) },
    { FLOW_PAY_FIRST, EVENT_ORDER_PAYMENT_FAILED, ORDER_PAYMENT_FAILED, S(AWAITING_PAYMENT) },
    { FLOW_PAY_FIRST, EVENT_ORDER_STOCK_RESERVED, ORDER_STOCK_RESERVED, S(PAID) },
    { FLOW_PAY_FIRST, EVENT_ORDER_READIED, ORDER_READY, S(STOCK_RESERVED) },
    { FLOW_PAY_FIRST, EVENT_ORDER_COMPLETED, ORDER_COMPLETED, S(READY) },
    { FLOW_PAY_FIRST, EVENT_ORDER_CANCELLED, ORDER_CANCELLED,
      S(AWAITING_PAYMENT) | S(PAID) | S(STOCK_RESERVED) | S(READY) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_CONFIRMED, ORDER_CONFIRMED, S(PENDING) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_REJECTED, ORDER_REJECTED, S(PENDING) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_PAID, ORDER_PAID, S(CONFIRMED) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_PAYMENT_FAILED, ORDER_PAYMENT_FAILED, S(CONFIRMED) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_SHIPPED, ORDER_SHIPPED, S(PAID) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_DELIVERED, ORDER_DELIVERED, S(SHIPPED) },
    { FLOW_STOCK_FIRST, EVENT_ORDER_CANCELLED, ORDER_CANCELLED,
      S(PENDING) | S(CONFIRMED) | S(PAID) | S(SHIPPED) },
#undef S
};

/* What an order's stream may hold without a change of its status, in any of them. */
static bool is_aside(enum event_type type)
{
    switch (type) {
    case EVENT_ORDER_PAYMENT_REQUESTED:
    case EVENT_ORDER_REFUND_REQUESTED:
    case EVENT_ORDER_RELEASE_REQUESTED:
    case EVENT_ORDER_SHIPMENT_REFUSED:
    case EVENT_ORDER_REFUNDED:
    case EVENT_ORDER_STOCK_RELEASED:
        return true;
    default:
        return false;
    }
}

static const struct way *way_of(const struct seen_lane *l, enum event_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        if (ways[i].flow == l->flow && ways[i].event == type && (ways[i].from & (1u << l->status)))
            return &ways[i];
    return NULL;
}

static void order_goes(const struct witness *w, struct seen_lane *l, enum order_status to)
{
    if (!(l->visited & 1u << to))
        l->visited_us[to] = w->awake_us;
    l->status = to;
    l->visited |= 1u << to;
}

/* How the order stands behind each event of its stream. */
static void order_note(struct seen_lane *l)
{
    if (l->sequence > l->statuses_cap) {
        l->statuses_cap = l->statuses_cap ? 2 * l->statuses_cap : 16;
        l->statuses = mem_realloc(l->statuses, l->statuses_cap);
    }
    l->statuses[l->sequence - 1] = (uint8_t)l->status;
}

static void order_begins(struct witness *w, const struct event *e, struct seen_lane *l)
{
    if (l->flow != FLOW_NONE) {
        witness_violate(w, SIM_STREAM, l, "position %llu places the order again",
                        (unsigned long long)e->position);
        return;
    }
    l->flow = e->p.flow;
    l->total = e->p.total;
    l->currency = e->p.currency;
    order_goes(w, l, e->p.flow == FLOW_PAY_FIRST ? ORDER_AWAITING_PAYMENT : ORDER_PENDING);
}

static void order_moves(struct witness *w, const struct event *e, struct seen_lane *l)
{
    const struct way *way;

    if (e->type == EVENT_ORDER_PLACED) {
        order_begins(w, e, l);
        return;
    }
    if (l->flow != FLOW_NONE && is_aside(e->type)) {
        l->is_payment_requested |= e->type == EVENT_ORDER_PAYMENT_REQUESTED;
        return;
    }
    way = way_of(l, e->type);
    if (way)
        order_goes(w, l, way->to);
    else
        witness_violate(w, SIM_STREAM, l, STR_FMT " (position %llu) does not follow from " STR_FMT,
                        STR_ARG(event_infos[e->type].type), (unsigned long long)e->position,
                        STR_ARG(order_status_name(l->status)));
}

uint64_t stream_length(const struct witness *w, enum aggregate type, struct str id)
{
    char bytes[1 + TEXT_ID_MAX];
    struct map_node *n;

    if (id.n > TEXT_ID_MAX)
        return 0;
    bytes[0] = (char)type;
    memcpy(bytes + 1, id.p, id.n);
    n = map_find(&w->streams, (struct str){ bytes, 1u + id.n });
    return n ? container_of(n, struct stream, node)->sequence : 0;
}

static struct stream *stream_of(struct witness *w, const struct stream_id *id)
{
    char bytes[1 + TEXT_ID_MAX];
    struct str key = { bytes, 1u + id->id.n };
    struct map_node *n;
    struct stream *s;

    bytes[0] = (char)id->type;
    memcpy(bytes + 1, id->id.s, id->id.n);
    n = map_find(&w->streams, key);
    if (n)
        return container_of(n, struct stream, node);
    s = arena_zalloc(&w->memory, sizeof(*s));
    memcpy(s->key, bytes, key.n);
    map_insert(&w->streams, &s->node, (struct str){ s->key, key.n });
    return s;
}

/* Goods leave only when Shipments knows that they are the order's. */
static void carrier_moves(struct witness *w, const struct event *e, const struct seen_lane *l)
{
    if ((e->type == EVENT_SHIPMENT_DISPATCHED || e->type == EVENT_SHIPMENT_DELIVERED) &&
        e->verdict == VERDICT_FINE && !l->is_confirmed)
        witness_violate(w, SIM_STREAM, l,
                        STR_FMT " (position %llu) of what Shipments has not heard to be shipped",
                        STR_ARG(event_infos[e->type].type), (unsigned long long)e->position);
}

/* An outcome that is refused, or that has no id of its own, lies under the order's id; so streams are
 * told apart by lane too, where two orders could share the id. */
void stream_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct stream *stream = stream_of(w, &e->stream);

    if (e->sequence != stream->sequence + 1)
        witness_violate(w, SIM_STREAM, s->lane,
                        "position %llu is number %llu of " STR_FMT " " STR_FMT ", and %llu follows",
                        (unsigned long long)e->position, (unsigned long long)e->sequence,
                        STR_ARG(aggregate_name(e->stream.type)),
                        STR_ARG(text_id_str(&e->stream.id)),
                        (unsigned long long)stream->sequence + 1);
    stream->sequence = e->sequence;
    if (!uuid_is_nil(e->cause.u) && !s->cause)
        witness_violate(w, SIM_STREAM, s->lane, "position %llu has a cause that is not in the log",
                        (unsigned long long)e->position);
    if (e->handled_by != SUBSCRIPTION_NONE && uuid_is_nil(e->cause.u))
        witness_violate(w, SIM_STREAM, s->lane,
                        "position %llu is what %s made of a message, and names none",
                        (unsigned long long)e->position, subscription_name(e->handled_by).p);
    if (e->occurred_at_ms > w->wall_high_ms)
        witness_violate(w, SIM_STREAM, s->lane, "position %llu happened %lld ms in the future",
                        (unsigned long long)e->position,
                        (long long)(e->occurred_at_ms - w->wall_high_ms));
    if (e->stream.type == AGGREGATE_ORDER && !w->is_violated) {
        s->lane->sequence = e->sequence;
        order_moves(w, e, s->lane);
        order_note(s->lane);
    }
    carrier_moves(w, e, s->lane);
    if (e->type == EVENT_SHIPMENT_DISPATCHED && e->verdict == VERDICT_FINE)
        s->lane->is_dispatched = true;
    if (e->type == EVENT_SHIPMENT_DELIVERED && e->verdict == VERDICT_FINE)
        s->lane->is_delivered = true;
}
