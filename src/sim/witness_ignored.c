/* HEARD, of Orders: what it passes over has to be without effect by the drawing.
 *
 * A message that changes nothing leaves a row that says in which state the order was. It becomes
 * durable while Orders has the order's turn, so the state is the one that is durable by then. */
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

static bool is_unpaid(const struct seen_lane *l)
{
    return l->status == (l->flow == FLOW_PAY_FIRST ? ORDER_AWAITING_PAYMENT : ORDER_CONFIRMED);
}

static bool is_without_stock(const struct seen_lane *l)
{
    return l->status == (l->flow == FLOW_PAY_FIRST ? ORDER_PAID : ORDER_PENDING);
}

/* ---- goods ------------------------------------------------------------------------------------- */

static struct goods *goods_find(const struct seen_lane *l, const struct shipment_id *id)
{
    for (unsigned i = 0; i < l->n_goods; i++)
        if (text_id_eq(&l->goods[i].id.t, &id->t))
            return &l->goods[i];
    return NULL;
}

/* The order has taken it for its own, or sent it back. */
void goods_event(const struct event *e, struct seen_lane *l)
{
    struct goods *g = goods_find(l, &e->p.shipment_id);

    if (e->type != EVENT_ORDER_SHIPPED && e->type != EVENT_ORDER_SHIPMENT_REFUSED)
        return;
    if (!g) {
        if (l->n_goods == l->n_goods_cap) {
            l->n_goods_cap = l->n_goods_cap ? 2 * l->n_goods_cap : 2;
            l->goods = mem_realloc(l->goods, l->n_goods_cap * sizeof(*l->goods));
        }
        g = &l->goods[l->n_goods++];
        *g = (struct goods){ .id = e->p.shipment_id };
    }
    g->is_own |= e->type == EVENT_ORDER_SHIPPED;
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* The order is SHIPPED, and this is what was shipped. */
static bool is_on_its_way(const struct seen_lane *l, const struct event *e)
{
    const struct goods *g = goods_find(l, &e->p.shipment_id);

    return l->status == ORDER_SHIPPED && g && g->is_own;
}

static bool may_be_passed_over(const struct seen_lane *l, const struct event *e)
{
    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
        return money_is_known(l, &e->p.payment_id);
    case EVENT_PAYMENT_DECLINED:
    case EVENT_PAYMENT_FAILED:
        return !is_unpaid(l);
    case EVENT_PAYMENT_REFUNDED:
        return money_is_recorded(l, &e->p.payment_id);
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        return pieces_are_known(l, &e->p.reservation_id);
    case EVENT_STOCK_REJECTED:
    case EVENT_INVENTORY_RESERVATION_FAILED:
        return !is_without_stock(l);
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        return pieces_are_recorded(l, &e->p.reservation_id);
    case EVENT_SHIPMENT_CREATED:
        return goods_find(l, &e->p.shipment_id) != NULL;
    case EVENT_SHIPMENT_DELIVERED:
    case EVENT_SHIPMENT_CANCELLED:
        return !is_on_its_way(l, e);
    default:
        return false; /* of what asks Orders for nothing there is no row */
    }
}

void ignored_row(struct witness *w, const struct store_row *row)
{
    unsigned s = row->key.n == 25 ? (uint8_t)row->key.p[24] : 0;
    const struct seen *m = s ? history_at(w, bytes_get_u64(row->key.p + 16)) : NULL;
    struct event e;

    w->counts.judged++;
    w->counts.passed_over++;
    if (!m || s >= SUBSCRIPTION_COUNT || memcmp(row->key.p, m->lane->id.u.b, 16) != 0 ||
        row->value.n < 2) {
        witness_violate(w, SIM_HEARD, NULL, "a row says that a message was passed over, of none");
        return;
    }
    if (s != SUBSCRIPTION_ORDERS)
        return;
    arena_reset(&w->scratch);
    if (event_decode(m->row, m->position, &e, &w->scratch) != ERR_OK)
        return;
    if ((uint8_t)row->value.p[0] != m->lane->status)
        witness_violate(w, SIM_HEARD, m->lane,
                        "the row of " STR_FMT " (position %llu) says that the order was another "
                        "than " STR_FMT,
                        STR_ARG(event_infos[m->type].type), (unsigned long long)m->position,
                        STR_ARG(order_status_name(m->lane->status)));
    else if (m->verdict != VERDICT_FINE || !may_be_passed_over(m->lane, &e))
        witness_violate(w, SIM_HEARD, m->lane,
                        STR_FMT " (position %llu) is passed over in " STR_FMT,
                        STR_ARG(event_infos[m->type].type), (unsigned long long)m->position,
                        STR_ARG(order_status_name(m->lane->status)));
}

/* What follows from it, or that nothing does, is durable when Orders calls it handled. */
void ignored_handled(struct witness *w, const struct seen *m)
{
    switch (m->type) {
    case EVENT_PAYMENT_PENDING:
    case EVENT_STOCK_TAKEN:
    case EVENT_SHIPMENT_DISPATCHED:
        return; /* they ask Orders for nothing */
    default:
        break;
    }
    if (!(m->settled & subscription_bit(SUBSCRIPTION_ORDERS)))
        witness_violate(w, SIM_HEARD, m->lane,
                        STR_FMT " (position %llu) is handled, and nothing says what came of it",
                        STR_ARG(event_infos[m->type].type), (unsigned long long)m->position);
}
