/* /carts */
#include "commands.h"
#include "handlers.h"
#include "orderly/domain/cart.h"

struct cart_in {
    struct json_text customer_id;
};
static const struct json_field cart_fields[] = {
    { "customerId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct cart_in, customer_id) },
};
static const struct json_shape cart_shape = JSON_SHAPE(struct cart_in, cart_fields);

struct item_in {
    struct json_text sku;
    struct json_int quantity;
};
#define QUANTITY_FIELD                                                                             \
    {                                                                                              \
        "quantity", .kind = JSON_INT, .is_required = true,                                         \
                    .offset = offsetof(struct item_in, quantity), .min = 1,                        \
                    .max = CART_QUANTITY_MAX                                                       \
    }
static const struct json_field item_fields[] = {
    { "productId", .alias = "sku", .kind = JSON_SKU, .is_required = true,
      .offset = offsetof(struct item_in, sku) },
    QUANTITY_FIELD,
};
static const struct json_shape item_shape = JSON_SHAPE(struct item_in, item_fields);

static const struct json_field quantity_fields[] = { QUANTITY_FIELD };
static const struct json_shape quantity_shape = JSON_SHAPE(struct item_in, quantity_fields);

/* An id that can't be ours is not found, as one that is nobody's. */
static bool cart_id_of(struct call *c, struct cart_id *id)
{
    if (uuid_parse(c->params[0], &id->u))
        return true;
    call_not_found(c, "cart");
    return false;
}

void carts_create(struct call *c)
{
    struct cart_in in;
    struct command_call *cc = command_open(c, &cart_shape, &in, COMMAND_BODY_NEEDED);

    if (!cc || command_is_refused(cc))
        return;
    cc->u.create_cart.customer_id.t = json_in_id(&in.customer_id);
    create_cart_start(&cc->u.create_cart);
}

/* ---- items ----------------------------------------------------------------------------------- */

void carts_add_item(struct call *c)
{
    struct cart_id id;
    struct item_in in;
    struct command_call *cc;

    if (!cart_id_of(c, &id))
        return;
    cc = command_open(c, &item_shape, &in, COMMAND_BODY_NEEDED);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.change_cart.cart_id = id;
    cc->u.change_cart.change = CART_ADD;
    cc->u.change_cart.sku = json_in_sku(&in.sku);
    cc->u.change_cart.quantity = in.quantity.value;
    change_cart_start(&cc->u.change_cart);
}

/* The item is in the path; one that is no sku is in no cart. */
static bool item_of(struct call *c, struct cart_id *id, struct sku *sku)
{
    if (!cart_id_of(c, id))
        return false;
    if (sku_parse(c->params[1], sku))
        return true;
    call_not_found(c, "item");
    return false;
}

void carts_set_item(struct call *c)
{
    struct cart_id id;
    struct sku sku;
    struct item_in in;
    struct command_call *cc;

    if (!item_of(c, &id, &sku))
        return;
    cc = command_open(c, &quantity_shape, &in, COMMAND_BODY_NEEDED);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.change_cart.cart_id = id;
    cc->u.change_cart.change = CART_SET;
    cc->u.change_cart.sku = sku;
    cc->u.change_cart.quantity = in.quantity.value;
    change_cart_start(&cc->u.change_cart);
}

void carts_remove_item(struct call *c)
{
    struct cart_id id;
    struct sku sku;
    struct nothing_in nothing;
    struct command_call *cc;

    if (!item_of(c, &id, &sku))
        return;
    cc = command_open(c, &command_nothing, &nothing, COMMAND_BODY_OPTIONAL);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.change_cart.cart_id = id;
    cc->u.change_cart.change = CART_REMOVE;
    cc->u.change_cart.sku = sku;
    change_cart_start(&cc->u.change_cart);
}

void carts_convert(struct call *c)
{
    struct cart_id id;
    struct nothing_in nothing;
    struct command_call *cc;

    if (!cart_id_of(c, &id))
        return;
    cc = command_open(c, &command_nothing, &nothing, COMMAND_BODY_OPTIONAL);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.convert_cart.cart_id = id;
    convert_cart_start(&cc->u.convert_cart);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct cart_get {
    struct call *call;
    struct cart_read read;
};

static void cart_get_done(struct cart_read *read, const struct cart *cart, enum err status)
{
    struct call *c = container_of(read, struct cart_get, read)->call;
    struct call_extra extra = { .header = NULL };

    if (status != ERR_OK || !cart) {
        call_read_failed(c, status, "cart");
        return;
    }
    extra.etag = etag_of(&c->req->arena, cart->sequence);
    if (call_is_unchanged(c, cart->sequence)) {
        call_send(c, 304, STR_NONE, STR_NONE, &extra);
        return;
    }
    render_cart(call_out(c), cart);
    call_send_out(c, 200, &extra);
}

void carts_get(struct call *c)
{
    struct cart_id id;
    struct cart_get *get;

    if (!cart_id_of(c, &id))
        return;
    get = arena_zalloc(&c->req->arena, sizeof(*get));
    get->call = c;
    get->read.id = id;
    get->read.done = cart_get_done;
    cart_read_start(&get->read, c->app);
}
