/* STOCK: what is on hand and reserved of each product, added up from the events, and the rows that
 * say so.
 *
 * A reservation is all of an order's pieces or nothing; it stands for an order, and ends once:
 * released where the order asks for that, or taken when the goods leave. Only what the built-in
 * Inventory did counts in the stock. One beyond a broker, in its place, is held to the same, but that
 * nobody here hears when goods of it are taken. */
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

static struct product_stock *stock_of(struct witness *w, const struct sku *sku)
{
    struct map_node *n = map_find(&w->stock, sku_str(sku));
    struct product_stock *p;

    if (n)
        return container_of(n, struct product_stock, node);
    p = arena_zalloc(&w->memory, sizeof(*p));
    p->sku = *sku;
    list_init(&p->touched_link);
    map_insert(&w->stock, &p->node, sku_str(&p->sku));
    return p;
}

static void stock_move(struct witness *w, const struct event *e, const struct seen_lane *l,
                       const struct sku *sku, int64_t on_hand, int64_t reserved)
{
    struct product_stock *p = stock_of(w, sku);

    p->on_hand += on_hand;
    p->reserved += reserved;
    p->position = e->position;
    if (list_is_empty(&p->touched_link))
        list_push_back(&w->touched_stock, &p->touched_link);
    if (p->reserved < 0 || p->on_hand < p->reserved)
        witness_violate(w, SIM_STOCK, l,
                        "position %llu leaves %lld of " STR_FMT " on hand, %lld of them reserved",
                        (unsigned long long)e->position, (long long)p->on_hand,
                        STR_ARG(sku_str(sku)), (long long)p->reserved);
}

/* ---- reservations ---------------------------------------------------------------------------- */

static struct pieces *pieces_of(struct seen_lane *l, const struct reservation_id *id)
{
    struct pieces *p;

    for (unsigned i = 0; i < l->n_pieces; i++)
        if (text_id_eq(&l->pieces[i].id.t, &id->t))
            return &l->pieces[i];
    if (l->n_pieces == l->n_pieces_cap) {
        l->n_pieces_cap = l->n_pieces_cap ? 2 * l->n_pieces_cap : 2;
        l->pieces = mem_realloc(l->pieces, l->n_pieces_cap * sizeof(*l->pieces));
    }
    p = &l->pieces[l->n_pieces++];
    *p = (struct pieces){ .id = *id };
    return p;
}

static const struct pieces *pieces_find(const struct seen_lane *l, const struct reservation_id *id)
{
    for (unsigned i = 0; i < l->n_pieces; i++)
        if (text_id_eq(&l->pieces[i].id.t, &id->t))
            return &l->pieces[i];
    return NULL;
}

bool pieces_are_known(const struct seen_lane *l, const struct reservation_id *id)
{
    const struct pieces *p = pieces_find(l, id);

    return p && (p->is_reserving || p->n_asked > 0 || p->n_recorded > 0);
}

bool pieces_are_recorded(const struct seen_lane *l, const struct reservation_id *id)
{
    const struct pieces *p = pieces_find(l, id);

    return p && p->n_recorded > 0;
}

bool stock_first(const struct witness *w, struct str sku, int64_t *first)
{
    struct map_node *n = map_find(&w->stock, sku);

    if (n)
        *first = container_of(n, struct product_stock, node)->first;
    return n != NULL;
}

#define PIECES_ARGS(p) STR_ARG(text_id_str(&(p)->id.t))

static bool pieces_stand(const struct pieces *p)
{
    return p->is_of_inventory && p->n_released == 0 && p->n_taken == 0;
}

static bool is_of_inventory(const struct witness *w, const struct event *e)
{
    return e->handled_by == SUBSCRIPTION_INVENTORY || received_is_said_outside(w, e);
}

/* From outside, after its id is forgotten; that it is not before is ONCE's to judge. */
static bool is_said_again(const struct event *e, unsigned n_before)
{
    return e->handled_by != SUBSCRIPTION_INVENTORY && n_before > 0;
}

static void pieces_reserved(struct witness *w, const struct event *e, struct seen_lane *l)
{
    struct pieces *p = pieces_of(l, &e->p.reservation_id);
    struct stock_line *lines;

    if (!is_of_inventory(w, e) || is_said_again(e, p->is_of_inventory))
        return;
    if (l->flow == FLOW_NONE)
        witness_violate(w, SIM_STOCK, l, STR_FMT " reserves for no order", PIECES_ARGS(p));
    for (unsigned i = 0; i < l->n_pieces; i++)
        if (l->pieces[i].is_of_inventory)
            witness_violate(w, SIM_STOCK, l, "reserved for a second time, by " STR_FMT,
                            PIECES_ARGS(p));
    lines = arena_alloc(&w->memory, e->p.n_stock_lines * sizeof(*lines) + 1);
    for (unsigned i = 0; i < e->p.n_stock_lines; i++) {
        lines[i] = e->p.stock_lines[i];
        stock_move(w, e, l, &lines[i].sku, 0, lines[i].quantity);
    }
    p->is_of_inventory = true;
    p->is_outside = e->handled_by != SUBSCRIPTION_INVENTORY;
    p->lines = lines;
    p->n_lines = e->p.n_stock_lines;
}

static bool pieces_are(const struct pieces *p, const struct payload *payload)
{
    if (p->n_lines != payload->n_stock_lines)
        return false;
    for (unsigned i = 0; i < p->n_lines; i++)
        if (!sku_eq(&p->lines[i].sku, &payload->stock_lines[i].sku) ||
            p->lines[i].quantity != payload->stock_lines[i].quantity)
            return false;
    return true;
}

/* Released or taken. */
static void pieces_end(struct witness *w, const struct event *e, struct seen_lane *l, bool is_taken)
{
    struct pieces *p = pieces_of(l, &e->p.reservation_id);

    if (!is_of_inventory(w, e) || is_said_again(e, p->n_released))
        return;
    if (!pieces_stand(p) || !pieces_are(p, &e->p))
        witness_violate(w, SIM_STOCK, l, STR_FMT " ends, and does not stand so", PIECES_ARGS(p));
    else if (!is_taken && p->n_asked == 0)
        witness_violate(w, SIM_STOCK, l, STR_FMT " is released, and nobody asked for it",
                        PIECES_ARGS(p));
    else if (is_taken && !p->is_reserving)
        witness_violate(w, SIM_STOCK, l, STR_FMT " is taken, and the order went on with another",
                        PIECES_ARGS(p));
    for (unsigned i = 0; i < p->n_lines && !w->is_violated; i++)
        stock_move(w, e, l, &p->lines[i].sku, is_taken ? -p->lines[i].quantity : 0,
                   -p->lines[i].quantity);
    p->n_taken += is_taken;
    p->n_released += !is_taken;
}

static void pieces_asked_back(struct witness *w, struct seen_lane *l,
                              const struct reservation_id *id)
{
    struct pieces *p = pieces_of(l, id);

    if (++p->n_asked > 1)
        witness_violate(w, SIM_STOCK, l, "the release of " STR_FMT " is asked for twice",
                        PIECES_ARGS(p));
}

static bool order_has_failed(const struct seen_lane *l)
{
    return l->status == ORDER_CANCELLED || l->status == ORDER_REJECTED ||
           l->status == ORDER_PAYMENT_FAILED;
}

/* What had moved the order is of no use any more. */
static void pieces_order_failed(struct witness *w, const struct event *e, struct seen_lane *l)
{
    if (e->p.release.set)
        pieces_asked_back(w, l, &e->p.release.reservation_id);
    for (unsigned i = 0; i < l->n_pieces; i++)
        if (l->pieces[i].is_reserving && l->pieces[i].n_asked == 0)
            witness_violate(w, SIM_STOCK, l, "ends " STR_FMT " and keeps " STR_FMT,
                            STR_ARG(order_status_name(l->status)), PIECES_ARGS(&l->pieces[i]));
}

/* A release that came before anybody asked needs no asking any more. */
static void pieces_recorded(const struct event *e, struct seen_lane *l)
{
    struct pieces *p = pieces_of(l, &e->p.reservation_id);

    p->n_asked += p->n_asked == 0;
    p->n_recorded++;
}

static void pieces_judge(void *ctx, struct map_node *n)
{
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned i = 0; i < l->n_pieces; i++)
        if (l->pieces[i].n_asked > 0 && l->pieces[i].n_recorded == 0)
            witness_violate(ctx, SIM_SETTLED, l, "the release of " STR_FMT " is due for ever",
                            PIECES_ARGS(&l->pieces[i]));
}

void stock_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct seen_lane *l = s->lane;

    if (e->verdict != VERDICT_FINE)
        return;
    switch (e->type) {
    case EVENT_PRODUCT_ADDED:
        stock_of(w, &e->p.sku)->first = e->p.stock_delta;
        stock_move(w, e, l, &e->p.sku, e->p.stock_delta, 0);
        return;
    case EVENT_STOCK_ADJUSTED:
        stock_move(w, e, l, &e->p.sku, e->p.stock_delta, 0);
        return;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        pieces_reserved(w, e, l);
        return;
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        pieces_end(w, e, l, false);
        return;
    case EVENT_STOCK_TAKEN:
        pieces_end(w, e, l, true);
        return;
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_STOCK_RESERVED:
        pieces_of(l, &e->p.reservation_id)->is_reserving = true;
        return;
    case EVENT_ORDER_RELEASE_REQUESTED:
        pieces_asked_back(w, l, &e->p.reservation_id);
        return;
    case EVENT_ORDER_STOCK_RELEASED:
        pieces_recorded(e, l);
        return;
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
    case EVENT_ORDER_PAYMENT_FAILED:
        pieces_order_failed(w, e, l);
        return;
    default:
        return;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void stock_row_judge(struct witness *w, const struct product_stock *p)
{
    const struct durable_row *r = rows_find(w, DB_STOCK, sku_str(&p->sku));
    struct stock stock;
    uint64_t position;

    w->counts.judged++;
    if (!r || stock_decode(r->value, &stock, &position) != ERR_OK)
        witness_violate(w, SIM_STOCK, NULL, STR_FMT " has no stock row", STR_ARG(sku_str(&p->sku)));
    else if (stock.on_hand != p->on_hand || stock.reserved != p->reserved ||
             position != p->position)
        witness_violate(w, SIM_STOCK, NULL,
                        "the row of " STR_FMT " says %lld on hand and %lld reserved at %llu, its "
                        "events %lld and %lld at %llu",
                        STR_ARG(sku_str(&p->sku)), (long long)stock.on_hand,
                        (long long)stock.reserved, (unsigned long long)position,
                        (long long)p->on_hand, (long long)p->reserved,
                        (unsigned long long)p->position);
}

void stock_write(struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows; i++)
        if (write->rows[i].db == DB_STOCK) {
            struct map_node *n = map_find(&w->stock, write->rows[i].key);

            if (n)
                stock_row_judge(w, container_of(n, struct product_stock, node));
            else
                witness_violate(w, SIM_STOCK, NULL, "a stock row of no product");
        }
    while (!list_is_empty(&w->touched_stock))
        stock_row_judge(
            w, container_of(list_pop_front(&w->touched_stock), struct product_stock, touched_link));
}

/* ---- whole ----------------------------------------------------------------------------------- */

struct sums {
    struct witness *w;
    bool is_end;
};

static bool goods_have_left(const struct seen_lane *l)
{
    return l->is_dispatched || l->is_delivered || l->status == ORDER_COMPLETED;
}

/* Takes what each order holds off what the product has reserved; what is left belongs to nobody. */
static void pieces_take_off(void *ctx, struct map_node *n)
{
    struct sums *sums = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned i = 0; i < l->n_pieces; i++) {
        const struct pieces *p = &l->pieces[i];

        if (!pieces_stand(p))
            continue;
        if (sums->is_end &&
            (order_has_failed(l) || !p->is_reserving || (goods_have_left(l) && !p->is_outside)))
            witness_violate(sums->w, SIM_STOCK, l,
                            STR_FMT " still stands, and the order is " STR_FMT, PIECES_ARGS(p),
                            STR_ARG(order_status_name(l->status)));
        for (unsigned k = 0; k < p->n_lines; k++)
            stock_of(sums->w, &p->lines[k].sku)->reserved -= p->lines[k].quantity;
    }
}

static void pieces_put_on(void *ctx, struct map_node *n)
{
    struct sums *sums = ctx;
    const struct seen_lane *l = container_of(n, struct seen_lane, node);

    for (unsigned i = 0; i < l->n_pieces; i++)
        for (unsigned k = 0; k < l->pieces[i].n_lines && pieces_stand(&l->pieces[i]); k++)
            stock_of(sums->w, &l->pieces[i].lines[k].sku)->reserved +=
                l->pieces[i].lines[k].quantity;
}

static void stock_is_owned(void *ctx, struct map_node *n)
{
    struct sums *sums = ctx;
    const struct product_stock *p = container_of(n, struct product_stock, node);

    if (p->reserved != 0)
        witness_violate(sums->w, SIM_STOCK, NULL,
                        "%lld pieces of " STR_FMT " are reserved for no order",
                        (long long)p->reserved, STR_ARG(sku_str(&p->sku)));
}

void stock_whole(struct witness *w, bool is_end)
{
    struct sums sums = { w, is_end };

    map_each(&w->lanes, pieces_take_off, &sums);
    map_each(&w->stock, stock_is_owned, &sums);
    map_each(&w->lanes, pieces_put_on, &sums);
    if (is_end)
        map_each(&w->lanes, pieces_judge, w);
}
