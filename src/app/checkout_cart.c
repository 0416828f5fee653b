/* Checking out a cart: prices its lines, places the order and freezes the cart in one append. Once
 * checked out, a cart always answers with its first order, whatever became of it. */
#include "place_order.h"

static void checkout_cart_applied(struct command *c, enum err status)
{
    struct checkout_cart *cc = container_of(c, struct checkout_cart, command);
    struct dossier *d = cc->order_entry;

    if (status == ERR_OK) {
        cc->turn.entry->cart = cc->cart;
        order_became(c->app, d, cc->order);
    } else {
        order_destroy(cc->order);
    }
    cc->order = NULL;
    dossier_close(d);
    cart_turn_end(&cc->turn);
}

static void checkout_cart_on_first(struct order_read *read, const struct order *o, enum err status)
{
    struct checkout_cart *cc = container_of(read, struct checkout_cart, first);
    struct command *c = &cc->command;
    struct reply r = { .code = REPLY_OK, .order = o };

    if (status == ERR_OK && !o)
        status = ERR_DAMAGED; /* the cart names an order that is not there */
    if (status == ERR_OK)
        command_reply(c, &r);
    else
        command_refuse(c, status);
    cart_turn_end(&cc->turn);
}

static void checkout_cart_place(struct checkout_cart *cc, const struct price_lines *pl)
{
    struct command *c = &cc->command;
    struct app *app = c->app;
    const struct cart *cart = &cc->turn.entry->cart;
    struct reply r = { .code = REPLY_CREATED };
    struct order_placing placing = {
        .flow = FLOW_PAY_FIRST,
        .customer_id = cart->customer_id,
        .cart_id = cart->id,
        .address = &cc->address,
    };
    enum cart_outcome outcome;
    enum err err = append_begin(&c->append, &app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        cart_turn_end(&cc->turn);
        return;
    }
    placing.id.u = event_log_new_uuid(&app->log);
    order_placing_fill(&placing, pl);
    cc->order_entry = dossier_open_new(&app->dossiers, lane_of_order(placing.id));
    cc->order = order_append_placed(c, &placing, &app->decision);

    event_list_init(&app->decision);
    outcome = cart_convert(cart, placing.id, &app->decision);
    ENSURE(outcome == CART_CHANGED); /* it has no order and is not empty */
    cart_append_events(c, cc->cart_id, cart, &app->decision, &cc->cart);
    r.order = cc->order;
    command_submit(c, &r, checkout_cart_applied);
}

static void checkout_cart_granted(struct command *c)
{
    struct checkout_cart *cc = container_of(c, struct checkout_cart, command);
    const struct cart *cart = &cc->turn.entry->cart;
    struct requested_line asked[CART_LINES_MAX];
    struct price_lines pl = {
        .app = c->app, .arena = c->arena, .asked = asked, .n = cart->n_lines, .is_cart = true
    };
    struct reply r = { .cart = cart };

    if (!uuid_is_nil(cart->order_id.u)) {
        cc->first.id = cart->order_id;
        cc->first.done = checkout_cart_on_first;
        order_read_start(&cc->first, c->app);
        return;
    }
    if (cart->n_lines == 0) {
        cart_outcome_reply(CART_EMPTY, c, &r);
        command_reply(c, &r);
        cart_turn_end(&cc->turn);
        return;
    }
    if (order_is_refused(c)) {
        cart_turn_end(&cc->turn);
        return;
    }
    for (unsigned i = 0; i < cart->n_lines; i++)
        asked[i] = (struct requested_line){ .sku = cart->lines[i].sku,
                                            .quantity = cart->lines[i].quantity };
    if (!price_lines(&pl, FLOW_PAY_FIRST, &r)) {
        command_reply(c, &r);
        cart_turn_end(&cc->turn);
        return;
    }
    checkout_cart_place(cc, &pl);
}

static void checkout_cart_enter(struct command *c)
{
    struct checkout_cart *cc = container_of(c, struct checkout_cart, command);

    cart_turn_start(&cc->turn, c, cc->cart_id, checkout_cart_granted);
}

static void checkout_cart_run(struct command *c)
{
    door_enter(c, checkout_cart_enter);
}

void checkout_cart_start(struct checkout_cart *cc)
{
    command_start(&cc->command, checkout_cart_run);
}
