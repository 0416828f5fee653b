#include "orderly/domain/reservation.h"
#include "orderly/base/arena.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

void reservation_deinit(struct reservation *r)
{
    mem_free(r->lines);
    *r = (struct reservation){ 0 };
}

static void reservation_set_lines(struct reservation *r, const struct payload *p)
{
    mem_free(r->lines);
    r->lines = NULL;
    r->n_lines = p->n_stock_lines;
    if (r->n_lines == 0)
        return;
    r->lines = mem_alloc(r->n_lines * sizeof(*r->lines));
    memcpy(r->lines, p->stock_lines, r->n_lines * sizeof(*r->lines));
}

void reservation_apply(struct reservation *r, const struct event *e)
{
    bool is_ours = e->handled_by == SUBSCRIPTION_INVENTORY;

    r->sequence = e->sequence;
    if (e->verdict != VERDICT_FINE || event_infos[e->type].aggregate != AGGREGATE_RESERVATION)
        return;
    /* What the built-in context reserved, only it can give back or take: its stock is counted by
     * its own events, whatever others say about the same id. */
    if (r->is_ours && !is_ours)
        return;
    switch (e->type) {
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        if (r->status != RESERVATION_STATUS_NONE && r->status != RESERVATION_STATUS_REJECTED)
            return;
        r->status = RESERVATION_STATUS_RESERVED;
        r->is_ours = is_ours;
        reservation_set_lines(r, &e->p);
        return;
    case EVENT_STOCK_REJECTED:
    case EVENT_INVENTORY_RESERVATION_FAILED:
        if (r->status == RESERVATION_STATUS_NONE)
            r->status = RESERVATION_STATUS_REJECTED;
        return;
    case EVENT_STOCK_TAKEN:
        r->status = RESERVATION_STATUS_TAKEN;
        return;
    default:
        r->status = RESERVATION_STATUS_RELEASED;
        return;
    }
}

enum reservation_task reservation_task_of(const struct event *m,
                                          const struct reservation_id **which)
{
    *which = NULL;
    switch (m->type) {
    case EVENT_ORDER_PLACED:
    case EVENT_ORDER_PAID:
        return RESERVATION_TASK_RESERVE;
    case EVENT_ORDER_RELEASE_REQUESTED:
        *which = &m->p.reservation_id;
        return RESERVATION_TASK_RELEASE;
    case EVENT_ORDER_COMPLETED:
    case EVENT_SHIPMENT_DISPATCHED:
    case EVENT_SHIPMENT_DELIVERED:
        return RESERVATION_TASK_TAKE;
    default:
        if (!m->p.release.set)
            return RESERVATION_TASK_NONE;
        *which = &m->p.release.reservation_id;
        return RESERVATION_TASK_RELEASE;
    }
}

unsigned reservation_add_up(const struct order_line *lines, unsigned n, struct stock_line *out)
{
    unsigned n_out = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned k = 0;

        while (k < n_out && !sku_eq(&out[k].sku, &lines[i].sku))
            k++;
        if (k == n_out)
            out[n_out++] = (struct stock_line){ .sku = lines[i].sku };
        if (__builtin_add_overflow(out[k].quantity, lines[i].quantity, &out[k].quantity))
            out[k].quantity = INT64_MAX;
    }
    return n_out;
}

static struct event *reservation_emit(const struct flow *f, uint16_t type, struct order_id order,
                                      const struct stock_line *lines, unsigned n,
                                      struct event_list *out)
{
    struct event *e = event_list_add(out, (enum event_type)type);

    e->p.order_id = order;
    e->p.flow = f->id;
    e->p.stock_lines = lines;
    e->p.n_stock_lines = n;
    return e;
}

void reservation_reject(const struct flow *f, struct order_id order, struct str reason,
                        const struct stock_line *lines, unsigned n, struct event_list *out)
{
    reservation_emit(f, f->stock_rejected, order, lines, n, out)->p.reason = reason;
}

bool reservation_decide(const struct flow *f, struct order_id order,
                        const struct reservation_id *id, const struct stock_line *lines, unsigned n,
                        const struct stock_offer *offers, struct arena *arena,
                        struct event_list *out)
{
    for (unsigned i = 0; i < n; i++) {
        struct str sku = sku_str(&lines[i].sku), reason;

        if (offers[i].known && offers[i].available >= lines[i].quantity)
            continue;
        if (!offers[i].known)
            reason = arena_printf(arena, "Product " STR_FMT " not found", STR_ARG(sku));
        else
            reason = arena_printf(
                arena, "Insufficient stock for " STR_FMT ": requested %lld, available %lld",
                STR_ARG(sku), (long long)lines[i].quantity,
                (long long)(offers[i].available > 0 ? offers[i].available : 0));
        reservation_reject(f, order, reason, lines, n, out);
        return false;
    }
    reservation_emit(f, f->stock_reserved, order, lines, n, out)->p.reservation_id = *id;
    return true;
}

static bool reservation_end(const struct reservation *r, const struct flow *f, uint16_t type,
                            struct order_id order, const struct reservation_id *id,
                            struct event_list *out)
{
    if (!r->is_ours || r->status != RESERVATION_STATUS_RESERVED)
        return false;
    reservation_emit(f, type, order, r->lines, r->n_lines, out)->p.reservation_id = *id;
    return true;
}

bool reservation_release(const struct reservation *r, const struct flow *f, struct order_id order,
                         const struct reservation_id *id, struct event_list *out)
{
    return reservation_end(r, f, f->stock_released, order, id, out);
}

bool reservation_take(const struct reservation *r, const struct flow *f, struct order_id order,
                      const struct reservation_id *id, struct event_list *out)
{
    return reservation_end(r, f, EVENT_STOCK_TAKEN, order, id, out);
}
