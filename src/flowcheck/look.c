/* What must hold in a state. */
#include "orderly/base/check.h"
#include "world.h"

/* Says what is wrong, if it is asked for this property. */
#define BROKE(w, of, p, ...)                                                                       \
    do {                                                                                           \
        world_broke(w, p);                                                                         \
        if ((of)&1u << (p)) {                                                                      \
            TELL(w, "      ");                                                                     \
            TELL(w, __VA_ARGS__);                                                                  \
            TELL(w, "\n");                                                                         \
        }                                                                                          \
    } while (0)

static bool is_undone(enum order_status s)
{
    return s == ORDER_CANCELLED || s == ORDER_REJECTED || s == ORDER_PAYMENT_FAILED;
}

static enum due due_of(const struct world *w, enum effect_kind kind, struct str id)
{
    const struct order_effect *e = order_find_effect(w->order, kind, id);

    return e ? e->due : DUE_NONE;
}

/* ---- at any moment ---------------------------------------------------------------------------- */

static void look_once(struct world *w, const struct state *s, uint32_t of)
{
    for (unsigned i = 0; i < WORLD_PAYMENTS; i++) {
        struct str id = text_id_str(world_payment_id(i));

        if (s->charged[i] > 1 || s->refunded[i] > s->charged[i])
            BROKE(w, of, FLOW_ONCE, STR_FMT " was charged %u times, and given back %u times",
                  STR_ARG(id), s->charged[i], s->refunded[i]);
    }
    for (unsigned i = 0; i < WORLD_PARTS; i++) {
        struct str id = text_id_str(world_reservation_id(i));

        if (s->reserved[i] > 1 || s->released[i] + s->taken[i] > s->reserved[i])
            BROKE(w, of, FLOW_ONCE,
                  STR_FMT " was reserved %u times, released %u times, taken %u times", STR_ARG(id),
                  s->reserved[i], s->released[i], s->taken[i]);
    }
}

static void look_left(struct world *w, const struct state *s, uint32_t of)
{
    if (!is_undone(w->order->status))
        return;
    for (unsigned i = 0; i < WORLD_PARTS; i++) {
        struct str id = text_id_str(world_shipment_id(i));
        enum shipment_status status = world_shipment(s, i).status;

        if (status == SHIPMENT_STATUS_DISPATCHED || status == SHIPMENT_STATUS_DELIVERED)
            BROKE(w, of, FLOW_GOODS, STR_FMT " has left, and the order is " STR_FMT, STR_ARG(id),
                  STR_ARG(order_status_name(w->order->status)));
        if (s->taken[i])
            BROKE(w, of, FLOW_GOODS, "the goods were taken, and the order is " STR_FMT,
                  STR_ARG(order_status_name(w->order->status)));
    }
}

/* ---- when nothing is under way any more -------------------------------------------------------- */

static void look_stuck(struct world *w, uint32_t of)
{
    enum order_status status = w->order->status;

    if (!order_status_is_final(status) && !order_status_is_at_rest(status) &&
        !order_has_open_deadline(w->order))
        BROKE(w, of, FLOW_STUCK,
              "the order is " STR_FMT ", no message is under way, and no timer runs",
              STR_ARG(order_status_name(status)));
}

static void look_money(struct world *w, const struct state *s, uint32_t of)
{
    enum order_status status = w->order->status;
    unsigned n_kept = 0;
    bool is_paid = s->own_payment && !is_undone(status);

    for (unsigned i = 0; i < WORLD_PAYMENTS; i++) {
        struct str id = text_id_str(world_payment_id(i));
        enum due due = due_of(w, EFFECT_PAYMENT, id);

        if (s->charged[i] <= s->refunded[i])
            continue;
        if (is_paid && s->own_payment == i + 1 && due == DUE_NONE) {
            n_kept++;
            continue;
        }
        /* Nobody here can give it back: the order shows it as due until somebody says that it is. */
        if (i == PAYMENT_EXTERNAL && due == DUE_OPEN)
            continue;
        BROKE(w, of, FLOW_MONEY, "the order is " STR_FMT "; " STR_FMT " was charged, %s",
              STR_ARG(order_status_name(status)), STR_ARG(id),
              due == DUE_NONE ? "and nobody asked it back" : "asked back, and not given back");
    }
    for (unsigned i = 0; i < WORLD_PAYMENTS; i++) {
        struct str id = text_id_str(world_payment_id(i));

        if (s->refunded[i] && due_of(w, EFFECT_PAYMENT, id) != DUE_DONE)
            BROKE(w, of, FLOW_MONEY, STR_FMT " was given back, and the order does not know",
                  STR_ARG(id));
    }
    if ((is_paid && n_kept != 1) ||
        (order_status_is_final(status) && !is_undone(status) && n_kept != 1))
        BROKE(w, of, FLOW_MONEY, "the order is " STR_FMT ", and the money for it is not there",
              STR_ARG(order_status_name(status)));
}

static void look_stock(struct world *w, const struct state *s, uint32_t of)
{
    enum order_status status = w->order->status;
    bool is_ended_well = order_status_is_final(status) && !is_undone(status);
    unsigned n_held = 0, n_taken = 0;

    for (unsigned i = 0; i < WORLD_PARTS; i++) {
        struct str id = text_id_str(world_reservation_id(i));
        enum due due = due_of(w, EFFECT_RESERVATION, id);
        bool is_own = s->own_reservation == i + 1 && !is_undone(status) && due == DUE_NONE;

        if (is_own && s->taken[i])
            n_taken++;
        if (s->released[i] && due != DUE_DONE)
            BROKE(w, of, FLOW_STOCK, STR_FMT " was released, and the order does not know",
                  STR_ARG(id));
        if (s->reserved[i] <= s->released[i] + s->taken[i])
            continue;
        if (is_own && !is_ended_well) {
            n_held++;
            continue;
        }
        BROKE(w, of, FLOW_STOCK, "the order is " STR_FMT "; " STR_FMT " is still reserved, %s",
              STR_ARG(order_status_name(status)), STR_ARG(id),
              due == DUE_NONE ? "and nobody asked it back" : "asked back, and not released");
    }
    if ((s->own_reservation && !is_undone(status) && n_held + n_taken != 1) ||
        (is_ended_well && n_taken != 1))
        BROKE(w, of, FLOW_STOCK, "the order is " STR_FMT ", and the stock for it is not there",
              STR_ARG(order_status_name(status)));
}

static void look_shipments(struct world *w, const struct state *s, uint32_t of)
{
    enum order_status status = w->order->status;

    for (unsigned i = 0; i < WORLD_PARTS; i++) {
        struct str id = text_id_str(world_shipment_id(i));
        struct shipment p = world_shipment(s, i);
        bool is_own = s->own_shipment == i + 1 && !is_undone(status);

        if (p.status == SHIPMENT_STATUS_CREATED && !is_own)
            BROKE(w, of, FLOW_GOODS, "the order is " STR_FMT "; " STR_FMT " is not cancelled",
                  STR_ARG(order_status_name(status)), STR_ARG(id));
        if (is_own && (p.status == SHIPMENT_STATUS_DELIVERED) != (status == ORDER_DELIVERED))
            BROKE(w, of, FLOW_GOODS, "the order is " STR_FMT ", and " STR_FMT " is " STR_FMT,
                  STR_ARG(order_status_name(status)), STR_ARG(id),
                  STR_ARG(shipment_status_name(p.status)));
        if (p.status == SHIPMENT_STATUS_DISPATCHED && is_own && s->own_reservation &&
            s->taken[s->own_reservation - 1u] != 1)
            BROKE(w, of, FLOW_STOCK, STR_FMT " has left, and its goods were not taken off hand",
                  STR_ARG(id));
    }
}

void world_look(struct world *w, const struct state *s, uint32_t of)
{
    w->faults = 0;
    world_take_order(w, s);
    look_once(w, s, of);
    look_left(w, s, of);
    if (!state_is_quiet(s))
        return;
    look_stuck(w, of);
    look_money(w, s, of);
    look_stock(w, s, of);
    look_shipments(w, s, of);
}
