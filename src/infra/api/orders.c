/* /orders: what changes them. */
#include "commands.h"
#include "handlers.h"
#include "orderly/domain/order.h"

#define ORDER_LINES_MAX 100
#define ORDER_QUANTITY_MAX 10000 /* the same */

/* ---- placing --------------------------------------------------------------------------------- */

struct line_in {
    struct json_text sku, unit_price, currency;
    struct json_int quantity;
};
static const struct json_field line_fields[] = {
    { "sku", .alias = "productId", .kind = JSON_SKU, .is_required = true,
      .offset = offsetof(struct line_in, sku) },
    { "quantity", .kind = JSON_INT, .is_required = true,
      .offset = offsetof(struct line_in, quantity), .min = 1, .max = ORDER_QUANTITY_MAX },
    { "unitPrice", .kind = JSON_AMOUNT, .offset = offsetof(struct line_in, unit_price) },
    { "currency", .kind = JSON_CURRENCY, .offset = offsetof(struct line_in, currency) },
};
static const struct json_shape line_shape = JSON_SHAPE(struct line_in, line_fields);

static const char *const flow_words[] = { "pay_first", "stock_first", NULL };
static const enum flow_id flow_ids[] = { FLOW_PAY_FIRST, FLOW_STOCK_FIRST };

struct place_in {
    struct json_text customer_id, currency;
    struct json_list items;
    struct json_int flow;
    struct address_in address;
};
static const struct json_field place_fields[] = {
    { "customerId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct place_in, customer_id) },
    { "items", .kind = JSON_LIST, .is_required = true, .offset = offsetof(struct place_in, items),
      .min = 1, .max = ORDER_LINES_MAX, .shape = &line_shape },
    { "shippingAddress", .kind = JSON_OBJECT, .is_required = true,
      .offset = offsetof(struct place_in, address), .shape = &address_shape },
    { "currency", .kind = JSON_CURRENCY, .offset = offsetof(struct place_in, currency) },
    { "flow", .kind = JSON_WORD, .offset = offsetof(struct place_in, flow), .words = flow_words },
};
static const struct json_shape place_shape = JSON_SHAPE(struct place_in, place_fields);

static const struct requested_line *lines_of(struct arena *a, const struct json_list *items)
{
    const struct line_in *in = items->items;
    struct requested_line *lines = arena_alloc(a, items->n * sizeof(*lines));

    for (unsigned i = 0; i < items->n; i++) {
        lines[i] = (struct requested_line){
            .sku = json_in_sku(&in[i].sku),
            .quantity = in[i].quantity.value,
            .unit_price = in[i].unit_price.text,
            .currency = in[i].currency.text,
        };
    }
    return lines;
}

void orders_place(struct call *c)
{
    struct place_in in;
    struct command_call *cc = command_open(c, &place_shape, &in, COMMAND_BODY_NEEDED);
    struct place_order *place;

    if (!cc || command_is_refused(cc))
        return;
    place = &cc->u.place_order;
    place->customer_id.t = json_in_id(&in.customer_id);
    place->flow = in.flow.is_set ? flow_ids[in.flow.value] : FLOW_STOCK_FIRST;
    place->currency = in.currency.text;
    place->n_lines = in.items.n;
    place->lines = lines_of(&c->req->arena, &in.items);
    address_of(&in.address, &place->address);
    place_order_start(place);
}

struct checkout_in {
    struct json_text cart_id;
    struct address_in address;
};
static const struct json_field checkout_fields[] = {
    { "cartId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct checkout_in, cart_id) },
    { "shippingAddress", .kind = JSON_OBJECT, .is_required = true,
      .offset = offsetof(struct checkout_in, address), .shape = &address_shape },
};
static const struct json_shape checkout_shape = JSON_SHAPE(struct checkout_in, checkout_fields);

void orders_checkout(struct call *c)
{
    struct checkout_in in;
    struct command_call *cc = command_open(c, &checkout_shape, &in, COMMAND_BODY_NEEDED);

    if (!cc || command_is_refused(cc))
        return;
    if (!uuid_parse(in.cart_id.text, &cc->u.checkout_cart.cart_id.u)) {
        call_not_found(c, "cart");
        return;
    }
    address_of(&in.address, &cc->u.checkout_cart.address);
    checkout_cart_start(&cc->u.checkout_cart);
}

/* ---- the store's steps ----------------------------------------------------------------------- */

struct step_in {
    struct json_text payment_id, reason, invoice_id;
};
static const struct json_field mark_paid_fields[] = {
    { "paymentId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct step_in, payment_id) },
};
static const struct json_field cancel_fields[] = {
    { "reason", .kind = JSON_TEXT, .is_required = true, .offset = offsetof(struct step_in, reason),
      .min = 1, .max = ORDER_REASON_MAX },
};
static const struct json_field complete_fields[] = {
    { "invoiceId", .kind = JSON_ID, .offset = offsetof(struct step_in, invoice_id) },
};
static const struct json_shape step_shape = { .size = sizeof(struct step_in) };
static const struct json_shape mark_paid_shape = JSON_SHAPE(struct step_in, mark_paid_fields);
static const struct json_shape cancel_shape = JSON_SHAPE(struct step_in, cancel_fields);
static const struct json_shape complete_shape = JSON_SHAPE(struct step_in, complete_fields);

static void order_step(struct call *c, enum order_input input, const struct json_shape *shape,
                       enum command_body body)
{
    struct step_in in;
    struct command_call *cc;
    struct order_command *order;
    struct order_id id;

    if (!uuid_parse(c->params[0], &id.u)) {
        call_not_found(c, "order");
        return;
    }
    cc = command_open(c, shape, &in, body);
    if (!cc || command_is_refused(cc))
        return;
    order = &cc->u.order;
    order->order_id = id;
    order->input = input;
    order->payment_id.t = json_in_id(&in.payment_id);
    order->reason = in.reason.text;
    order->invoice_id.t = json_in_id(&in.invoice_id);
    order_command_start(order);
}

void orders_pay(struct call *c)
{
    order_step(c, ORDER_INPUT_PAY, &step_shape, COMMAND_BODY_OPTIONAL);
}

void orders_mark_paid(struct call *c)
{
    order_step(c, ORDER_INPUT_MARK_PAID, &mark_paid_shape, COMMAND_BODY_NEEDED);
}

void orders_cancel(struct call *c)
{
    order_step(c, ORDER_INPUT_CANCEL, &cancel_shape, COMMAND_BODY_NEEDED);
}

void orders_ready(struct call *c)
{
    order_step(c, ORDER_INPUT_READY, &step_shape, COMMAND_BODY_OPTIONAL);
}

void orders_complete(struct call *c)
{
    order_step(c, ORDER_INPUT_COMPLETE, &complete_shape, COMMAND_BODY_OPTIONAL);
}
