/* /products: one by one. */
#include "commands.h"
#include "handlers.h"
#include "orderly/app/catalogue.h"

struct product_in {
    struct json_text sku, name, description, price, currency;
    struct json_int stock, stock_delta;
};
#define AT(member) .offset = offsetof(struct product_in, member)
#define NAME_FIELD(required)                                                                       \
    {                                                                                              \
        "name", .kind = JSON_TEXT, .is_required = (required), AT(name), .min = 1,                  \
                .max = PRODUCT_NAME_MAX                                                            \
    }
#define DESCRIPTION_FIELD                                                                          \
    {                                                                                              \
        "description", .kind = JSON_TEXT, AT(description), .max = PRODUCT_DESCRIPTION_MAX          \
    }
#define CURRENCY_FIELD                                                                             \
    {                                                                                              \
        "currency", .kind = JSON_CURRENCY, AT(currency)                                            \
    }
#define STOCK_FIELD                                                                                \
    {                                                                                              \
        "stockQuantity", .kind = JSON_INT, AT(stock), .max = STOCK_MAX                             \
    }

static const struct json_field add_fields[] = {
    { "sku", .kind = JSON_SKU, .is_required = true, AT(sku) },
    NAME_FIELD(true),
    DESCRIPTION_FIELD,
    { "price", .kind = JSON_AMOUNT, AT(price) },
    CURRENCY_FIELD,
    STOCK_FIELD,
};
static const struct json_shape add_shape = JSON_SHAPE(struct product_in, add_fields);

static const struct json_field change_fields[] = {
    NAME_FIELD(false),
    DESCRIPTION_FIELD,
    { "price", .kind = JSON_AMOUNT, .is_nullable = true, AT(price) },
    CURRENCY_FIELD,
    STOCK_FIELD,
    { "stockDelta", .kind = JSON_INT, AT(stock_delta), .min = -STOCK_MAX, .max = STOCK_MAX },
};
static const struct json_shape change_shape = JSON_SHAPE(struct product_in, change_fields);

static void fault_at(struct json_in *in, const char *name, const char *detail)
{
    struct json_path path = { NULL, str_of(name), 0 };

    json_in_fault(in, &path, "%s", detail);
}

void products_add(struct call *c)
{
    struct product_in in;
    struct command_call *cc = command_open(c, &add_shape, &in, COMMAND_BODY_NEEDED);
    struct add_product *add;

    if (!cc || command_is_refused(cc))
        return;
    add = &cc->u.add_product;
    add->sku = json_in_sku(&in.sku);
    add->name = in.name.text;
    add->description = in.description.text;
    add->price = in.price.text;
    add->currency = in.currency.text;
    add->stock = in.stock.value;
    add_product_start(add);
}

static void check_change(struct command_call *cc, const struct product_in *in)
{
    if (in->stock.is_set && in->stock_delta.is_set)
        fault_at(&cc->in, "stockQuantity", "can't go together with stockDelta");
    else if (in->stock.is_set && cc->u.command.if_match == IF_MATCH_NONE)
        fault_at(&cc->in, "stockQuantity", "needs an If-Match header; without one use stockDelta");
    if (cc->in.n_faults == 0 && !in->name.is_set && !in->description.is_set && !in->price.is_set &&
        !in->currency.is_set && !in->stock.is_set && !in->stock_delta.is_set)
        json_in_fault(&cc->in, NULL, "must name something to change");
}

void products_change(struct call *c)
{
    struct product_in in;
    struct command_call *cc;
    struct change_product *change;
    struct sku sku;

    if (!sku_parse(c->params[0], &sku)) {
        call_not_found(c, "product");
        return;
    }
    cc = command_open(c, &change_shape, &in, COMMAND_BODY_NEEDED);
    if (!cc)
        return;
    check_change(cc, &in);
    if (command_is_refused(cc))
        return;
    change = &cc->u.change_product;
    change->sku = sku;
    change->has_name = in.name.is_set;
    change->name = in.name.text;
    change->has_description = in.description.is_set;
    change->description = in.description.text;
    change->has_price = in.price.is_set;
    change->price = in.price.is_null ? STR("null") : in.price.text;
    change->currency = in.currency.text;
    change->has_stock_delta = in.stock_delta.is_set;
    change->stock_delta = in.stock_delta.value;
    change->has_stock = in.stock.is_set;
    change->stock = in.stock.value;
    change_product_start(change);
}

/* The catalogue is in memory, so this answers at once. */
void products_get(struct call *c)
{
    struct call_extra extra = { .header = NULL };
    const struct catalogue_entry *entry = NULL;
    struct sku sku;

    if (sku_parse(c->params[0], &sku))
        entry = catalogue_find(app_catalogue(c->app), &sku);
    if (!entry) {
        call_not_found(c, "product");
        return;
    }
    extra.etag = etag_of(&c->req->arena, entry->position);
    if (call_is_unchanged(c, entry->position)) {
        call_send(c, 304, STR_NONE, STR_NONE, &extra);
        return;
    }
    render_product(call_out(c), &entry->product, &entry->durable);
    call_send_out(c, 200, &extra);
}
