#include "app_private.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"

/* Appends a cart's decided events with its snapshot; *next is the cart as it will be. */
void cart_append_events(struct command *c, struct cart_id id, const struct cart *before,
                        struct event_list *events, struct cart *next)
{
    struct buf row = { 0 };

    *next = *before;
    for (unsigned i = 0; i < events->n; i++) {
        struct event *e = &events->events[i];

        e->stream.type = AGGREGATE_CART;
        e->stream.id.n = UUID_TEXT_LEN;
        uuid_format(id.u, e->stream.id.s);
        e->lane = lane_of_cart(id);
        e->sequence = next->sequence + 1;
        e->occurred_at_ms = scheduler_wall_ms(c->app->scheduler);
        command_event(c, e);
        append_event(&c->append, e);
        cart_apply(next, e);
    }
    cart_encode(next, &row);
    append_put(&c->append, DB_CARTS, uuid_bytes(&id.u), buf_str(&row));
    buf_deinit(&row);
}

/* ---- create ---------------------------------------------------------------------------------- */

static void create_cart_run(struct command *c)
{
    struct create_cart *cc = container_of(c, struct create_cart, command);
    struct reply r = { .code = REPLY_CREATED, .cart = &cc->cart };
    struct cart none = { 0 };
    struct cart_id id;
    enum err err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    id.u = event_log_new_uuid(&c->app->log);
    event_list_init(&c->app->decision);
    cart_create(id, &cc->customer_id, &c->app->decision);
    cart_append_events(c, id, &none, &c->app->decision, &cc->cart);
    command_submit(c, &r, NULL);
}

void create_cart_start(struct create_cart *cc)
{
    command_start(&cc->command, create_cart_run);
}

/* ---- a cart that exists ---------------------------------------------------------------------- */

void cart_turn_end(struct cart_turn *t)
{
    turn_give(&t->entry->turn, &t->command->turn);
    cart_entry_close(t->entry);
}

static void cart_turn_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct cart_turn *t = c->turn_user;
    struct reply r = { .code = REPLY_NOT_FOUND, .detail = STR("There is no such cart.") };

    if (t->entry->cart.sequence == 0) {
        command_reply(c, &r);
        cart_turn_end(t);
        return;
    }
    if (!command_if_match(c, t->entry->cart.sequence)) {
        cart_turn_end(t);
        return;
    }
    t->granted(c);
}

static void cart_turn_on_open(struct cart_wait *w, enum err status)
{
    struct cart_turn *t = container_of(w, struct cart_turn, wait);
    struct command *c = t->command;

    if (status != ERR_OK) {
        command_refuse(c, status);
        return;
    }
    t->entry = w->entry;
    if (!turn_take(&t->entry->turn, &c->turn, cart_turn_granted, true)) {
        command_refuse(c, ERR_LIMIT);
        cart_entry_close(t->entry);
    }
}

void cart_turn_start(struct cart_turn *t, struct command *c, struct cart_id id,
                     void (*granted)(struct command *c))
{
    t->command = c;
    t->granted = granted;
    t->wait.ready = cart_turn_on_open;
    c->turn_user = t;
    carts_open(&c->app->carts, id, &t->wait);
}

/* ---- change ---------------------------------------------------------------------------------- */

static void change_cart_applied(struct command *c, enum err status)
{
    struct change_cart *cc = container_of(c, struct change_cart, command);

    if (status == ERR_OK)
        cc->turn.entry->cart = cc->cart;
    cart_turn_end(&cc->turn);
}

static enum cart_outcome change_cart_decide(struct change_cart *cc, const struct cart *cart,
                                            struct event_list *out)
{
    switch (cc->change) {
    case CART_ADD:
        return cart_add_item(cart, &cc->sku, cc->quantity, out);
    case CART_SET:
        return cart_set_item(cart, &cc->sku, cc->quantity, out);
    case CART_REMOVE:
        return cart_remove_item(cart, &cc->sku, out);
    }
    UNREACHABLE("cart change");
}

/* What a cart says no to; OK where it has nothing against it. */
void cart_outcome_reply(enum cart_outcome outcome, struct command *c, struct reply *r)
{
    struct fault *f = arena_alloc(c->arena, sizeof(*f));

    r->faults = f;
    switch (outcome) {
    case CART_CHANGED:
    case CART_HOLDS:
        r->code = REPLY_OK;
        return;
    case CART_CONVERTED:
        r->code = REPLY_CART_CONVERTED;
        r->detail = STR("The cart is converted and can't be changed.");
        return;
    case CART_EMPTY:
        r->code = REPLY_EMPTY_CART;
        r->detail = STR("The cart is empty.");
        return;
    case CART_TOO_MANY_LINES:
        *f = (struct fault){ .pointer = STR("/productId"),
                             .detail = STR("a cart holds at most 20 different products") };
        break;
    case CART_TOO_MANY_PIECES:
        *f = (struct fault){ .pointer = STR("/quantity"),
                             .detail = STR("a cart holds 1 to 10 pieces of a product") };
        break;
    case CART_NO_SUCH_LINE:
        r->code = REPLY_NOT_FOUND;
        r->detail = STR("The cart has no such product.");
        return;
    }
    r->code = REPLY_VALIDATION;
    r->n_faults = 1;
}

/* What the cart said, with its events in the app's decision: answered now, or once it is durable.
 * next: room for the cart as it will be. */
static void cart_turn_decided(struct cart_turn *t, struct cart_id id, enum cart_outcome outcome,
                              struct cart *next,
                              void (*applied)(struct command *c, enum err status))
{
    struct command *c = t->command;
    const struct cart *cart = &t->entry->cart;
    struct reply r = { .cart = cart };
    enum err err;

    cart_outcome_reply(outcome, c, &r);
    if (outcome != CART_CHANGED) {
        command_reply(c, &r);
        cart_turn_end(t);
        return;
    }
    err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);
    if (err != ERR_OK) {
        command_refuse(c, err);
        cart_turn_end(t);
        return;
    }
    cart_append_events(c, id, cart, &c->app->decision, next);
    r.cart = next;
    command_submit(c, &r, applied);
}

static void change_cart_granted(struct command *c)
{
    struct change_cart *cc = container_of(c, struct change_cart, command);
    enum cart_outcome outcome;

    event_list_init(&c->app->decision);
    outcome = change_cart_decide(cc, &cc->turn.entry->cart, &c->app->decision);
    cart_turn_decided(&cc->turn, cc->cart_id, outcome, &cc->cart, change_cart_applied);
}

static void change_cart_run(struct command *c)
{
    struct change_cart *cc = container_of(c, struct change_cart, command);

    cart_turn_start(&cc->turn, c, cc->cart_id, change_cart_granted);
}

void change_cart_start(struct change_cart *cc)
{
    command_start(&cc->command, change_cart_run);
}

/* ---- convert --------------------------------------------------------------------------------- */

static void convert_cart_applied(struct command *c, enum err status)
{
    struct convert_cart *cc = container_of(c, struct convert_cart, command);

    if (status == ERR_OK)
        cc->turn.entry->cart = cc->cart;
    cart_turn_end(&cc->turn);
}

static void convert_cart_granted(struct command *c)
{
    struct convert_cart *cc = container_of(c, struct convert_cart, command);
    enum cart_outcome outcome;

    event_list_init(&c->app->decision);
    outcome = cart_convert(&cc->turn.entry->cart, (struct order_id){ 0 }, &c->app->decision);
    cart_turn_decided(&cc->turn, cc->cart_id, outcome, &cc->cart, convert_cart_applied);
}

static void convert_cart_run(struct command *c)
{
    struct convert_cart *cc = container_of(c, struct convert_cart, command);

    cart_turn_start(&cc->turn, c, cc->cart_id, convert_cart_granted);
}

void convert_cart_start(struct convert_cart *cc)
{
    command_start(&cc->command, convert_cart_run);
}
