#include "orderly/domain/cart.h"
#include "orderly/base/check.h"

static struct event *cart_emit(struct cart_id id, enum event_type type, struct event_list *out)
{
    struct event *e = event_list_add(out, type);

    e->p.cart_id = id;
    return e;
}

static void cart_emit_line(const struct cart *c, enum event_type type, const struct sku *sku,
                           int64_t quantity, struct event_list *out)
{
    struct event *e = cart_emit(c->id, type, out);

    e->p.sku = *sku;
    e->p.quantity = quantity;
}

/* n_lines: the cart has none of it. */
static unsigned cart_find_line(const struct cart *c, const struct sku *sku)
{
    unsigned i = 0;

    while (i < c->n_lines && !sku_eq(&c->lines[i].sku, sku))
        i++;
    return i;
}

void cart_create(struct cart_id id, const struct customer_id *customer, struct event_list *out)
{
    cart_emit(id, EVENT_CART_CREATED, out)->p.customer_id = *customer;
}

enum cart_outcome cart_add_item(const struct cart *c, const struct sku *sku, int64_t quantity,
                                struct event_list *out)
{
    unsigned i = cart_find_line(c, sku);

    REQUIRE(quantity >= 1);
    REQUIRE(quantity <= CART_QUANTITY_MAX);
    if (c->is_converted)
        return CART_CONVERTED;
    if (i == c->n_lines) {
        if (c->n_lines == CART_LINES_MAX)
            return CART_TOO_MANY_LINES;
        cart_emit_line(c, EVENT_CART_ITEM_ADDED, sku, quantity, out);
        return CART_CHANGED;
    }
    if (c->lines[i].quantity + quantity > CART_QUANTITY_MAX)
        return CART_TOO_MANY_PIECES;
    cart_emit_line(c, EVENT_CART_ITEM_CHANGED, sku, c->lines[i].quantity + quantity, out);
    return CART_CHANGED;
}

enum cart_outcome cart_set_item(const struct cart *c, const struct sku *sku, int64_t quantity,
                                struct event_list *out)
{
    unsigned i = cart_find_line(c, sku);

    REQUIRE(quantity >= 1);
    REQUIRE(quantity <= CART_QUANTITY_MAX);
    if (c->is_converted)
        return CART_CONVERTED;
    if (i == c->n_lines)
        return CART_NO_SUCH_LINE;
    if (c->lines[i].quantity == quantity)
        return CART_HOLDS;
    cart_emit_line(c, EVENT_CART_ITEM_CHANGED, sku, quantity, out);
    return CART_CHANGED;
}

enum cart_outcome cart_remove_item(const struct cart *c, const struct sku *sku,
                                   struct event_list *out)
{
    if (c->is_converted)
        return CART_CONVERTED;
    if (cart_find_line(c, sku) == c->n_lines)
        return CART_NO_SUCH_LINE;
    cart_emit_line(c, EVENT_CART_ITEM_REMOVED, sku, 0, out);
    return CART_CHANGED;
}

enum cart_outcome cart_convert(const struct cart *c, struct order_id order, struct event_list *out)
{
    bool is_checkout = !uuid_is_nil(order.u);

    if (c->is_converted && (!is_checkout || !uuid_is_nil(c->order_id.u)))
        return CART_HOLDS;
    if (c->n_lines == 0)
        return CART_EMPTY;
    cart_emit(c->id, EVENT_CART_CONVERTED, out)->p.order_id = order;
    return CART_CHANGED;
}

static void cart_apply_line(struct cart *c, const struct payload *p)
{
    unsigned i = cart_find_line(c, &p->sku);

    if (i == c->n_lines) {
        if (c->n_lines == CART_LINES_MAX)
            return;
        c->lines[c->n_lines++].sku = p->sku;
    }
    c->lines[i].quantity = p->quantity;
}

static void cart_apply_removal(struct cart *c, const struct sku *sku)
{
    unsigned i = cart_find_line(c, sku);

    if (i == c->n_lines)
        return;
    c->n_lines--;
    memmove(&c->lines[i], &c->lines[i + 1], (c->n_lines - i) * sizeof(c->lines[0]));
    memset(&c->lines[c->n_lines], 0, sizeof(c->lines[0]));
}

void cart_apply(struct cart *c, const struct event *e)
{
    c->sequence = e->sequence;
    c->updated_at_ms = e->occurred_at_ms;
    switch (e->type) {
    case EVENT_CART_CREATED:
        c->id = e->p.cart_id;
        c->customer_id = e->p.customer_id;
        c->created_at_ms = e->occurred_at_ms;
        break;
    case EVENT_CART_ITEM_ADDED:
    case EVENT_CART_ITEM_CHANGED:
        cart_apply_line(c, &e->p);
        break;
    case EVENT_CART_ITEM_REMOVED:
        cart_apply_removal(c, &e->p.sku);
        break;
    case EVENT_CART_CONVERTED:
        c->is_converted = true;
        if (!uuid_is_nil(e->p.order_id.u))
            c->order_id = e->p.order_id;
        break;
    default:
        break;
    }
}
