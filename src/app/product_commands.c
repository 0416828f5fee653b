/* Adding a product, and changing its words, price and stock. */
#include "app_private.h"
#include "orderly/app/lanes.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"

/* Sets an event on a product's stream and appends it. */
static void product_append(struct command *c, const struct sku *sku, uint64_t sequence,
                           struct event *e)
{
    struct str text = sku_str(sku);

    e->p.sku = *sku;
    e->stream.type = AGGREGATE_PRODUCT;
    e->stream.id.n = (uint8_t)text.n;
    memcpy(e->stream.id.s, text.p, text.n);
    e->lane = lane_of_text(text);
    e->sequence = sequence;
    command_event(c, e);
    append_event(&c->append, e);
}

static void product_put(struct append *a, const struct product *p)
{
    struct buf row = { 0 };

    product_encode(p, &row);
    append_put(a, DB_PRODUCTS, sku_str(&p->sku), buf_str(&row));
    buf_deinit(&row);
}

static void say_fault(struct command *c, enum reply_code code, struct str pointer,
                      const char *detail)
{
    struct fault *f = arena_alloc(c->arena, sizeof(*f));
    struct reply r = { .code = code, .faults = f, .n_faults = 1 };

    *f = (struct fault){ .pointer = pointer, .detail = str_of(detail) };
    command_reply(c, &r);
}

/* Reads the texts of a price; false: the command has been answered. price "null" takes it away. */
static bool read_price(struct command *c, struct str price, struct str currency,
                       struct currency fallback, bool *has, int64_t *minor, struct currency *out)
{
    enum money_parse parse;

    *out = fallback;
    if (currency.n && !currency_parse(currency, out)) {
        say_fault(c, REPLY_VALIDATION, STR("/currency"), "must be an ISO 4217 currency code");
        return false;
    }
    if (!price.n)
        return true;
    *has = !str_eq(price, STR("null"));
    if (!*has)
        return true;
    parse = money_from_text(price, *out, minor);
    if (parse == MONEY_OK)
        return true;
    say_fault(c, REPLY_VALIDATION, STR("/price"), money_parse_text(parse));
    return false;
}

/* The answer shows committed numbers and what this command adds to them. */
static void product_reply(struct reply *r, const struct catalogue_entry *e, struct stock *shown,
                          int64_t on_hand, uint64_t position)
{
    *shown = e->durable;
    shown->on_hand += on_hand;
    r->stock = shown;
    r->product_position = position;
}

/* ---- add ------------------------------------------------------------------------------------- */

/* An entry that nothing durable stands behind goes with the last one who wants to add it: whoever
 * waits gets the turn inside turn_give, and then it is theirs to drop. */
static void add_product_leave(struct add_product *ap)
{
    struct command *c = &ap->command;
    struct catalogue_entry *e = ap->entry;
    bool is_last = list_is_empty(&e->turn.waiting);

    turn_give(&e->turn, &c->turn);
    if (is_last && e->product.sequence == 0)
        catalogue_drop(&c->app->catalogue, e);
}

static void add_product_applied(struct command *c, enum err status)
{
    struct add_product *ap = container_of(c, struct add_product, command);
    struct catalogue_entry *e = ap->entry;

    if (status == ERR_OK) {
        stock_change_durable(&ap->stock_change, c->append.last_position);
        product_deinit(&e->product);
        e->product = ap->next;
    } else {
        stock_change_revoke(&ap->stock_change);
        product_deinit(&ap->next);
    }
    add_product_leave(ap);
}

static void add_product_decide(struct command *c)
{
    struct add_product *ap = container_of(c, struct add_product, command);
    struct catalogue_entry *entry = ap->entry;
    struct reply r = { .code = REPLY_CREATED, .product = &ap->next };
    struct event *e;
    enum err err;

    err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);
    if (err != ERR_OK) {
        command_refuse(c, err);
        add_product_leave(ap);
        return;
    }
    event_list_init(&c->app->decision);
    e = event_list_add(&c->app->decision, EVENT_PRODUCT_ADDED);
    e->p.name = ap->name;
    e->p.description = ap->description;
    e->p.has_price = ap->has_price;
    e->p.price = ap->price_minor;
    e->p.currency = ap->price_currency;
    e->p.stock_delta = ap->stock;
    product_append(c, &ap->sku, 1, e);
    ap->next = (struct product){ 0 };
    product_apply(&ap->next, e);
    product_put(&c->append, &ap->next);
    ap->stock_change = (struct stock_change){ .entry = entry, .on_hand = ap->stock };
    stock_change_sequence(&ap->stock_change, &c->append, e->position);
    product_reply(&r, entry, &ap->shown, ap->stock, e->position);
    command_submit(c, &r, add_product_applied);
}

static void add_product_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct add_product *ap = container_of(c, struct add_product, command);

    if (ap->entry->product.sequence > 0) { /* somebody else's came first */
        say_fault(c, REPLY_DUPLICATE_SKU, STR("/sku"), "is in the catalogue already");
        add_product_leave(ap);
        return;
    }
    add_product_decide(c);
}

static void add_product_run(struct command *c)
{
    struct add_product *ap = container_of(c, struct add_product, command);
    struct catalogue *cat = &c->app->catalogue;

    ap->has_price = false;
    ap->price_minor = 0;
    if (!read_price(c, ap->price, ap->currency, c->app->config.default_currency, &ap->has_price,
                    &ap->price_minor, &ap->price_currency))
        return;
    ap->entry = catalogue_find_any(cat, &ap->sku);
    if (!ap->entry)
        ap->entry = catalogue_add(cat, &ap->sku);
    if (!ap->entry) {
        say_fault(c, REPLY_VALIDATION, STR("/sku"), "the catalogue is full");
        return;
    }
    if (!turn_take(&ap->entry->turn, &c->turn, add_product_granted, true))
        command_refuse(c, ERR_LIMIT);
}

void add_product_start(struct add_product *ap)
{
    command_start(&ap->command, add_product_run);
}

/* ---- change ---------------------------------------------------------------------------------- */

static void change_product_applied(struct command *c, enum err status)
{
    struct change_product *cp = container_of(c, struct change_product, command);
    struct catalogue_entry *e = cp->entry;

    if (status == ERR_OK) {
        stock_change_durable(&cp->stock_change, c->append.last_position);
        product_deinit(&e->product);
        e->product = cp->next;
    } else {
        stock_change_revoke(&cp->stock_change);
        product_deinit(&cp->next);
    }
    turn_give(&e->turn, &c->turn);
}

/* What the stock changes by; false: the command has been answered. */
static bool change_product_stock(struct change_product *cp, int64_t *delta)
{
    struct command *c = &cp->command;
    const struct catalogue_entry *e = cp->entry;
    struct reply r = { .code = REPLY_ILLEGAL_STATE };
    int64_t on_hand = e->sequenced.on_hand;

    *delta = 0;
    if (cp->has_stock)
        *delta = cp->stock - on_hand;
    else if (cp->has_stock_delta)
        *delta = cp->stock_delta;
    if (on_hand + *delta > STOCK_MAX) {
        say_fault(c, REPLY_VALIDATION, cp->has_stock ? STR("/stockQuantity") : STR("/stockDelta"),
                  "makes more stock than 1000000000000");
        return false;
    }
    if (*delta >= 0 || catalogue_available(e) + *delta >= 0)
        return true;
    r.status = STR("reserved");
    r.detail = arena_printf(c->arena, "%lld pieces are reserved; the stock can't go below that.",
                            (long long)(on_hand - catalogue_available(e)));
    command_reply(c, &r);
    return false;
}

static void change_product_commit(struct change_product *cp, int64_t delta, bool has_words)
{
    struct command *c = &cp->command;
    struct catalogue_entry *entry = cp->entry;
    const struct product *old = &entry->product;
    struct reply r = { .code = REPLY_OK, .product = &cp->next };
    uint64_t sequence = old->sequence;
    enum err err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        turn_give(&entry->turn, &c->turn);
        return;
    }
    cp->next = product_copy(old);
    event_list_init(&c->app->decision);
    if (has_words) {
        struct event *e = event_list_add(&c->app->decision, EVENT_PRODUCT_CHANGED);

        e->p.name = cp->has_name ? cp->name : old->name;
        e->p.description = cp->has_description ? cp->description : old->description;
        e->p.has_price = cp->price_is_set;
        e->p.price = cp->price_minor;
        e->p.currency = cp->price_currency;
        product_append(c, &cp->sku, ++sequence, e);
        product_apply(&cp->next, e);
    }
    if (delta) {
        struct event *e = event_list_add(&c->app->decision, EVENT_STOCK_ADJUSTED);

        e->p.stock_delta = delta;
        product_append(c, &cp->sku, ++sequence, e);
        product_apply(&cp->next, e);
    }
    /* Also where the stock stays as it is: its row keeps the version that the answers name. */
    cp->stock_change = (struct stock_change){ .entry = entry, .on_hand = delta };
    stock_change_sequence(&cp->stock_change, &c->append, c->append.last_position);
    product_put(&c->append, &cp->next);
    product_reply(&r, entry, &cp->shown, delta, c->append.last_position);
    command_submit(c, &r, change_product_applied);
}

/* The price that holds after the change: the one that is named, or the old one, which is the same
 * number in another currency. False: the command has been answered. */
static bool change_product_price(struct change_product *cp)
{
    struct command *c = &cp->command;
    const struct product *old = &cp->entry->product;
    char text[MONEY_TEXT_MAX];
    struct str number;

    cp->price_is_set = old->has_price;
    cp->price_minor = old->price;
    if (!read_price(c, cp->has_price ? cp->price : STR_NONE, cp->currency,
                    currency_is_none(old->currency) ? c->app->config.default_currency
                                                    : old->currency,
                    &cp->price_is_set, &cp->price_minor, &cp->price_currency))
        return false;
    if (cp->has_price || !old->has_price || currency_eq(cp->price_currency, old->currency))
        return true;
    number = (struct str){ text, money_to_text(old->price, old->currency, text) };
    if (money_from_text(number, cp->price_currency, &cp->price_minor) == MONEY_OK)
        return true;
    say_fault(c, REPLY_VALIDATION, STR("/currency"), "does not have the digits of the price");
    return false;
}

static void change_product_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct change_product *cp = container_of(c, struct change_product, command);
    struct catalogue_entry *e = cp->entry;
    const struct product *old = &e->product;
    struct reply r = { .code = REPLY_OK, .product = old, .stock = &e->durable };
    bool has_words;
    int64_t delta;

    if (!command_if_match(c, e->position) || !change_product_price(cp) ||
        !change_product_stock(cp, &delta)) {
        turn_give(&e->turn, &c->turn);
        return;
    }
    has_words = (cp->has_name && !str_eq(cp->name, old->name)) ||
                (cp->has_description && !str_eq(cp->description, old->description)) ||
                cp->price_is_set != old->has_price ||
                (cp->price_is_set && cp->price_minor != old->price) ||
                !currency_eq(cp->price_currency, old->currency);
    if (has_words || delta) {
        change_product_commit(cp, delta, has_words);
        return;
    }
    r.product_position = e->position;
    command_reply(c, &r); /* it is so already */
    turn_give(&e->turn, &c->turn);
}

static void change_product_run(struct command *c)
{
    struct change_product *cp = container_of(c, struct change_product, command);
    struct reply r = { .code = REPLY_NOT_FOUND, .detail = STR("There is no such product.") };

    cp->entry = catalogue_find(&c->app->catalogue, &cp->sku);
    if (!cp->entry) {
        command_reply(c, &r);
        return;
    }
    if (!turn_take(&cp->entry->turn, &c->turn, change_product_granted, true))
        command_refuse(c, ERR_LIMIT);
}

void change_product_start(struct change_product *cp)
{
    command_start(&cp->command, change_product_run);
}
