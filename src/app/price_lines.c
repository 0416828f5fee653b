#include "price_lines.h"
#include "orderly/base/arena.h"

static void add_fault(struct price_lines *pl, struct str pointer, const char *detail)
{
    pl->faults[pl->n_faults++] = (struct fault){ .pointer = pointer, .detail = str_of(detail) };
}

static struct str line_pointer(struct price_lines *pl, unsigned i, const char *field)
{
    return arena_printf(pl->arena, "/items/%u/%s", i, field);
}

/* The order's currency: asked for, else the catalogue's of the first known product with a price,
 * else a line's, else the default. */
static bool choose_currency(struct price_lines *pl)
{
    struct app *app = pl->app;

    if (pl->asked_currency.n) {
        if (currency_parse(pl->asked_currency, &pl->currency))
            return true;
        add_fault(pl, STR("/currency"), "must be an ISO 4217 currency code");
        return false;
    }
    for (unsigned i = 0; i < pl->n; i++) {
        struct catalogue_entry *p = catalogue_find(&app->catalogue, &pl->asked[i].sku);

        if (p && p->product.has_price) {
            pl->currency = p->product.currency;
            return true;
        }
    }
    for (unsigned i = 0; i < pl->n; i++) {
        if (pl->asked[i].currency.n && currency_parse(pl->asked[i].currency, &pl->currency))
            return true;
    }
    pl->currency = app->config.default_currency;
    return true;
}

static void check_line_currency(struct price_lines *pl, unsigned i)
{
    struct currency c;

    if (!pl->asked[i].currency.n)
        return;
    if (!currency_parse(pl->asked[i].currency, &c))
        add_fault(pl, line_pointer(pl, i, "currency"), "must be an ISO 4217 currency code");
    else if (!currency_eq(c, pl->currency))
        add_fault(pl, line_pointer(pl, i, "currency"), "must be the order's currency");
}

/* The amount that the request names; false: none, or a fault. */
static bool read_unit_price(struct price_lines *pl, unsigned i, int64_t *price)
{
    enum money_parse parse;

    if (!pl->asked[i].unit_price.n)
        return false;
    parse = money_from_text(pl->asked[i].unit_price, pl->currency, price);
    if (parse == MONEY_OK)
        return true;
    add_fault(pl, line_pointer(pl, i, "unitPrice"), money_parse_text(parse));
    return false;
}

static void price_line(struct price_lines *pl, unsigned i)
{
    const struct requested_line *asked = &pl->asked[i];
    struct catalogue_entry *p = catalogue_find(&pl->app->catalogue, &asked->sku);
    struct order_line *line = &pl->lines[i];
    unsigned before = pl->n_faults;
    int64_t price = 0;
    bool has_price;

    *line = (struct order_line){ .sku = asked->sku, .quantity = asked->quantity };
    check_line_currency(pl, i);
    has_price = read_unit_price(pl, i, &price);
    if (p) {
        line->name = p->product.name;
        line->description = p->product.description;
    } else {
        line->name = sku_str(&asked->sku);
    }
    if (pl->n_faults > before)
        return;
    if (p && p->product.has_price && currency_eq(p->product.currency, pl->currency)) {
        line->price = p->product.price;
        if (has_price && price != line->price) {
            pl->changed[pl->n_changed++] =
                (struct fault){ .pointer = line_pointer(pl, i, "unitPrice"),
                                .detail =
                                    arena_printf(pl->arena, "the price of " STR_FMT " has changed",
                                                 STR_ARG(sku_str(&asked->sku))) };
        }
        return;
    }
    if (p && p->product.has_price) {
        add_fault(pl, line_pointer(pl, i, "sku"), "is sold in another currency than the order's");
        return;
    }
    line->price = price;
    if (has_price)
        return;
    if (p)
        add_fault(pl, line_pointer(pl, i, "unitPrice"), "is required: the product has no price");
    else
        pl->unknown[pl->n_unknown++] =
            (struct fault){ .pointer = line_pointer(pl, i, pl->is_cart ? "productId" : "sku"),
                            .detail = STR("is not in the catalogue") };
}

/* Fills the reply with what is wrong; false if something is. */
static bool say_what_is_wrong(struct price_lines *pl, struct reply *r)
{
    if (pl->n_faults) {
        r->code = REPLY_VALIDATION;
        r->faults = pl->faults;
        r->n_faults = pl->n_faults;
        return false;
    }
    if (pl->n_unknown) {
        r->code = REPLY_UNKNOWN_PRODUCT;
        r->faults = pl->unknown;
        r->n_faults = pl->n_unknown;
        return false;
    }
    if (pl->n_changed) {
        r->code = REPLY_PRICE_CHANGED;
        r->faults = pl->changed;
        r->n_faults = pl->n_changed;
        return false;
    }
    return true;
}

bool price_lines(struct price_lines *pl, enum flow_id flow, struct reply *r)
{
    size_t size = (2 * (size_t)pl->n + 2) * sizeof(struct fault);
    unsigned bad;

    pl->lines = arena_alloc(pl->arena, pl->n * sizeof(*pl->lines));
    pl->faults = arena_alloc(pl->arena, size);
    pl->unknown = arena_alloc(pl->arena, size);
    pl->changed = arena_alloc(pl->arena, size);
    pl->n_faults = pl->n_unknown = pl->n_changed = 0;
    if (choose_currency(pl)) {
        for (unsigned i = 0; i < pl->n; i++)
            price_line(pl, i);
    }
    if (!say_what_is_wrong(pl, r))
        return false;
    if (pricing_apply(&pl->app->config.discounts[flow], pl->currency, pl->lines, pl->n,
                      pl->discounts, &pl->n_discounts, &pl->subtotal, &pl->total, &bad, pl->arena))
        return true;
    add_fault(pl, bad < pl->n ? line_pointer(pl, bad, "quantity") : STR("/items"),
              "the amount is too large");
    return say_what_is_wrong(pl, r);
}
