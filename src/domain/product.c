#include "orderly/domain/product.h"
#include "orderly/base/mem.h"

void product_deinit(struct product *p)
{
    mem_free((char *)p->name.p);
    mem_free((char *)p->description.p);
    *p = (struct product){ 0 };
}

static void product_set_text(struct str *text, struct str value)
{
    char *copy = value.n ? mem_alloc(value.n) : NULL;

    if (copy)
        memcpy(copy, value.p, value.n);
    mem_free((char *)text->p);
    *text = (struct str){ copy, value.n };
}

void product_apply(struct product *p, const struct event *e)
{
    p->sequence = e->sequence;
    if (e->type != EVENT_PRODUCT_ADDED && e->type != EVENT_PRODUCT_CHANGED)
        return;
    p->sku = e->p.sku;
    p->has_price = e->p.has_price;
    p->price = e->p.has_price ? e->p.price : 0;
    p->currency = e->p.currency;
    product_set_text(&p->name, e->p.name);
    product_set_text(&p->description, e->p.description);
}

void stock_apply(struct stock *s, enum event_type type, int64_t quantity)
{
    switch (type) {
    case EVENT_PRODUCT_ADDED:
    case EVENT_STOCK_ADJUSTED:
        s->on_hand += quantity;
        break;
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
        s->reserved += quantity;
        break;
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        s->reserved -= quantity;
        break;
    case EVENT_STOCK_TAKEN:
        s->reserved -= quantity;
        s->on_hand -= quantity;
        break;
    default:
        break;
    }
}

struct product product_copy(const struct product *p)
{
    struct product copy = *p;

    copy.name = copy.description = STR_NONE;
    product_set_text(&copy.name, p->name);
    product_set_text(&copy.description, p->description);
    return copy;
}
