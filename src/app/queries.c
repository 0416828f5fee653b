/* Lists over the store's indexes.
 *
 * An index row and the row that it leads to may come from different moments (store_view promises
 * consistency per call only), so whatever an index says is checked again on the row itself. */
#include "orderly/app/queries.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/lanes.h"
#include "orderly/app/refund_totals.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"

#define UUID_LEN 16
#define POSITION_LEN 8

/* ---- orders ---------------------------------------------------------------------------------- */

/* A walk over one index, newest first. The key is prefix, [since], order id. */
struct order_walk {
    enum store_db db;
    char key[STORE_KEY_MAX];
    size_t prefix_len;
    size_t id_at; /* where the order id stands in the key */
    size_t key_len;
};

/* The narrowest index that the filters allow. */
static void order_walk_init(struct order_walk *w, const struct order_query *q)
{
    struct str customer = text_id_str(&q->customer_id.t);

    memset(w->key, 0xff, sizeof(w->key)); /* behind everything of the prefix */
    w->prefix_len = 0;
    if (q->has_unsettled_before) {
        w->db = DB_UNSETTLED;
        bytes_put_u64(w->key, q->unsettled_before_ms > 0 ? (uint64_t)q->unsettled_before_ms : 0);
        w->id_at = 8;
    } else if (q->refund_due) {
        w->db = DB_REFUNDS_DUE;
        w->id_at = 0;
    } else if (customer.n) {
        w->db = DB_ORDERS_BY_CUSTOMER;
        memcpy(w->key, customer.p, customer.n);
        w->key[customer.n] = 0;
        w->prefix_len = w->id_at = customer.n + 1;
    } else if (q->status != ORDER_NONE) {
        w->db = DB_ORDERS_BY_STATUS;
        w->key[0] = (char)q->status;
        w->prefix_len = w->id_at = 1;
    } else {
        w->db = DB_ORDERS;
        w->id_at = 0;
    }
    w->key_len = w->id_at + UUID_LEN;
    if (q->has_after) {
        if (q->has_unsettled_before)
            bytes_put_u64(w->key, (uint64_t)q->after_since_ms);
        memcpy(w->key + w->id_at, q->after.u.b, UUID_LEN);
    }
}

/* ERR_NOT_FOUND: the walk is at its end. */
static enum err order_walk_next(struct order_walk *w, bool is_first, const struct store_view *v,
                                struct arena *a, struct order_id *id)
{
    struct str found, value;
    /* The first place is behind any key of ours or is the last one seen, which is not shown again. */
    enum store_seek how = is_first ? STORE_LE : STORE_LT;
    enum err e = store_seek(v, w->db, how, (struct str){ w->key, w->key_len }, a, &found, &value);

    if (e != ERR_OK)
        return e;
    if (found.n != w->key_len || memcmp(found.p, w->key, w->prefix_len) != 0)
        return ERR_NOT_FOUND;
    memcpy(w->key, found.p, found.n);
    memcpy(id->u.b, w->key + w->id_at, UUID_LEN);
    return ERR_OK;
}

static bool summary_fits(const struct order_summary *s, const struct order_query *q)
{
    if (q->placed_upto && s->placed_position > q->placed_upto)
        return false;
    if (q->status != ORDER_NONE && s->status != q->status)
        return false;
    if (q->customer_id.t.n && !text_id_eq(&s->customer_id.t, &q->customer_id.t))
        return false;
    if (q->flow != FLOW_NONE && s->flow != q->flow)
        return false;
    return !q->has_unsettled_before ||
           (s->unsettled_since_ms != 0 && s->unsettled_since_ms <= q->unsettled_before_ms);
}

/* The whole order: its row and the event that placed it. */
static enum err load_order(const struct store_view *v, struct arena *a, struct str row,
                           uint64_t placed_position, struct order **out)
{
    char key[POSITION_LEN];
    struct event placed;
    struct str placed_row;
    enum err e;

    bytes_put_u64(key, placed_position);
    e = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, a, &placed_row);
    if (e == ERR_NOT_FOUND)
        return ERR_DAMAGED; /* an order without its first event */
    if (e == ERR_OK)
        e = event_decode(placed_row, placed_position, &placed, a);
    if (e == ERR_OK)
        e = order_snapshot_decode(row, &placed, out);
    return e;
}

/* *out stays NULL where the order does not fit. */
static enum err look_at_order(const struct store_view *v, struct arena *a,
                              const struct order_query *q, enum store_db list, struct order_id id,
                              struct order **out)
{
    struct order_summary summary;
    struct str row;
    enum err e = store_get(v, DB_ORDERS, uuid_bytes(&id.u), a, &row);

    *out = NULL;
    if (e == ERR_NOT_FOUND) {
        store_contradicts(v, list);
        return ERR_OK; /* the index was ahead of the row */
    }
    if (e == ERR_OK)
        e = order_snapshot_summary(row, &summary);
    if (e != ERR_OK || !summary_fits(&summary, q))
        return e;
    e = load_order(v, a, row, summary.placed_position, out);
    if (e == ERR_OK && q->refund_due && !order_has_refund_due(*out)) {
        order_destroy(*out);
        *out = NULL;
    }
    return e;
}

enum err query_orders(const struct store_view *v, struct arena *a, const struct order_query *q,
                      struct order_page *out)
{
    struct order_walk walk;
    bool is_first = !q->has_after;
    enum err e = ERR_OK;

    REQUIRE(q->limit >= 1);
    REQUIRE(q->limit <= QUERY_LIMIT_MAX);
    *out = (struct order_page){ .orders = arena_alloc(a, q->limit * sizeof(struct order *)) };
    order_walk_init(&walk, q);
    for (;;) {
        struct order_id id;
        struct order *order;

        if (e == ERR_OK)
            e = order_walk_next(&walk, is_first, v, a, &id);
        if (e != ERR_OK)
            break;
        if (out->n == q->limit) { /* one more is there, so there is a next page */
            out->has_more = true;
            break;
        }
        is_first = false;
        e = look_at_order(v, a, q, walk.db, id, &order);
        if (e != ERR_OK)
            break;
        out->next = id;
        out->next_since_ms = walk.db == DB_UNSETTLED ? (int64_t)bytes_get_u64(walk.key) : 0;
        if (order)
            out->orders[out->n++] = order;
        if (v->ops->is_late(v) || a->total > QUERY_BYTES_MAX) {
            out->has_more = true;
            break;
        }
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void order_page_deinit(struct order_page *page)
{
    for (unsigned i = 0; i < page->n; i++)
        order_destroy(page->orders[i]);
    page->n = 0;
}

/* ---- refunds --------------------------------------------------------------------------------- */

enum err query_refunds_due(const struct store_view *v, struct refund_totals *out)
{
    struct order_query q = { .refund_due = true };
    struct order_walk walk;
    struct arena arena; /* of one order at a time, since there may be many */
    enum err e = ERR_OK;

    arena_init(&arena, NULL, 0);
    order_walk_init(&walk, &q);
    for (bool is_first = true; e == ERR_OK; is_first = false) {
        struct order_id id;
        struct order *order = NULL;

        arena_reset(&arena);
        e = order_walk_next(&walk, is_first, v, &arena, &id);
        if (e == ERR_OK)
            e = look_at_order(v, &arena, &q, walk.db, id, &order);
        if (e == ERR_OK)
            refund_totals_add(out, order);
        order_destroy(order);
    }
    arena_deinit(&arena);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- products -------------------------------------------------------------------------------- */

static enum err load_product(const struct store_view *v, struct arena *a, struct str sku,
                             struct str row, struct product_row *out)
{
    struct str stock_row;
    enum err e;

    *out = (struct product_row){ .position = 0 };
    e = store_get(v, DB_STOCK, sku, a, &stock_row);
    if (e == ERR_OK)
        e = stock_decode(stock_row, &out->stock, &out->position);
    if (e == ERR_OK)
        e = product_decode(row, &out->product);
    return e;
}

enum err query_products(const struct store_view *v, struct arena *a, const struct product_query *q,
                        struct product_page *out)
{
    struct sku at = q->after;
    enum err e = ERR_OK;

    REQUIRE(q->limit >= 1);
    REQUIRE(q->limit <= QUERY_LIMIT_MAX);
    *out = (struct product_page){ .rows = arena_alloc(a, q->limit * sizeof(struct product_row)) };
    for (;;) {
        struct str sku, row;

        e = store_seek(v, DB_PRODUCTS, STORE_GT, sku_str(&at), a, &sku, &row);
        if (e != ERR_OK)
            break;
        /* A page without a row would have no place to go on from. */
        if (out->n == q->limit || (out->n > 0 && v->ops->is_late(v))) {
            out->has_more = true;
            break;
        }
        if (sku.n > sizeof(at.s))
            return ERR_DAMAGED;
        memcpy(at.s, sku.p, sku.n);
        at.n = (uint8_t)sku.n;
        e = load_product(v, a, sku, row, &out->rows[out->n]);
        if (e == ERR_NOT_FOUND) { /* its stock was not there yet */
            store_contradicts(v, DB_PRODUCTS);
            continue;
        }
        if (e != ERR_OK)
            break;
        out->n++;
        out->next = at;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void product_page_deinit(struct product_page *page)
{
    for (unsigned i = 0; i < page->n; i++)
        product_deinit(&page->rows[i].product);
    page->n = 0;
}
