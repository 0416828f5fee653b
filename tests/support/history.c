#include "support/history.h"
#include "orderly/base/check.h"
#include <stdio.h>

#define ROWS_AT_ONCE 500

struct copy {
    struct lmdb_store *to;
    struct arena arena;
    struct store_row rows[ROWS_AT_ONCE];
    unsigned n_rows, n_events;
};

static void copy_flush(struct copy *c)
{
    struct store_write w = { .rows = c->rows, .n_rows = c->n_rows, .n_events = c->n_events };
    struct list list;
    enum err err = ERR_OK;

    list_init(&list);
    list_push_back(&list, &w.link);
    if (c->n_rows > 0)
        err = c->to->engine->ops->apply(c->to->engine, &list);
    ENSURE(err == ERR_OK);
    c->n_rows = c->n_events = 0;
    arena_reset(&c->arena);
}

static void copy_db(struct copy *c, struct engine *from, void *txn, enum store_db db)
{
    char at[STORE_KEY_MAX];
    struct str key = STR_NONE;
    struct str value;
    enum store_seek how = STORE_GE;

    while (from->ops->seek(from, txn, db, how, key, &c->arena, &key, &value) == ERR_OK) {
        c->rows[c->n_rows++] = (struct store_row){ .db = db, .key = key, .value = value };
        c->n_events += db == DB_EVENTS;
        memcpy(at, key.p, key.n);
        key.p = at;
        how = STORE_GT;
        if (c->n_rows == ROWS_AT_ONCE)
            copy_flush(c);
    }
    copy_flush(c);
}

void history_to_disk(struct engine *from, struct lmdb_store *to)
{
    struct copy c = { .to = to };
    void *txn;
    enum err err;

    lmdb_store_must_open(to);
    arena_init(&c.arena, NULL, 0);
    err = from->ops->view_begin(from, &txn);
    ENSURE(err == ERR_OK);
    for (unsigned i = 0; i < STORE_DB_COUNT; i++)
        copy_db(&c, from, txn, (enum store_db)i);
    from->ops->view_end(from, txn);
    arena_deinit(&c.arena);
    lmdb_store_close(to);
}

/* ---- stories --------------------------------------------------------------------------------- */

static void with_key(struct app_fixture *f, const char *sku, const char *key)
{
    struct requested_line line = { .quantity = 1 };
    struct place_order c = { .command = app_fixture_command(f),
                             .flow = FLOW_STOCK_FIRST,
                             .lines = &line,
                             .n_lines = 1,
                             .address = { .street = STR("1 Main St"),
                                          .city = STR("Springfield"),
                                          .postal_code = STR("62701"),
                                          .country = STR("US") } };
    struct str part = str_of(key);

    REQUIRE(sku_parse(str_of(sku), &line.sku));
    REQUIRE(text_id_parse(STR("customer-2"), &c.customer_id.t));
    digest16_of(&c.command.key, &part, 1);
    c.command.request = c.command.key;
    c.command.has_key = true;
    place_order_start(&c);
    app_fixture_settle(f);
    REQUIRE(f->is_done);
}

static void pass(struct app_fixture *f)
{
    app_fixture_pass_ms(f, 1000);
}

static struct shipment_id the_shipment(struct app_fixture *f)
{
    const struct order *o = the_order(f);

    return o ? o->shipment_id : (struct shipment_id){ { 0 } };
}

static void carry(struct app_fixture *f)
{
    struct shipment_id id = the_shipment(f);

    do_shipment(f, id, false);
    pass(f);
    do_shipment(f, id, true);
    pass(f);
}

static void a_full_cart(struct app_fixture *f, int64_t quantity)
{
    a_cart(f);
    an_item(f, "WIDGET-001", quantity);
    an_item(f, "GADGET-002", 1);
}

static void history_of_ends(struct app_fixture *f)
{
    an_order(f, "WIDGET-001", 2);
    pass(f);
    carry(f);
    a_full_cart(f, 2);
    a_checkout(f);
    pass(f);
    do_order(f, ORDER_INPUT_READY, NULL);
    do_order(f, ORDER_INPUT_COMPLETE, "invoice-1");
    pass(f);
    an_order(f, "GADGET-002", 1000); /* rejected */
    pass(f);
    an_order_of(f, FLOW_PAY_FIRST, "GADGET-002", 1000, NULL); /* paid, cancelled, refunded */
    pass(f);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 60); /* reserved */
    do_order(f, ORDER_INPUT_CANCEL, "no more");
    pass(f);
}

static void history_of_payments(struct app_fixture *f, struct simulators *s)
{
    s->payments.mode = PAYMENTS_DECLINE;
    set_simulators(f, SIMULATOR_PAYMENTS, s);
    an_order(f, "WIDGET-001", 1);
    an_order_of(f, FLOW_PAY_FIRST, "WIDGET-001", 1, NULL);
    pass(f);
    s->payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, s);
    an_order(f, "WIDGET-001", 1); /* times out */
    pass(f);
    app_fixture_pass_ms(f, 31 * 60000);
    an_order(f, "WIDGET-001", 1);
    pass(f);
    do_order(f, ORDER_INPUT_PAY, NULL);
    pass(f);
    an_order_of(f, FLOW_PAY_FIRST, "WIDGET-001", 1, NULL);
    pass(f);
    do_order(f, ORDER_INPUT_MARK_PAID, "bank-1");
    pass(f);
    do_order(f, ORDER_INPUT_CANCEL, "sorry"); /* its refund stays due */
    pass(f);
}

static void history_of_outside(struct app_fixture *f)
{
    an_order(f, "WIDGET-001", 1); /* payments wait */
    pass(f);
    a_message(f, EVENT_PAYMENT_PROCESSED, "m-1", "pay-1", "1.00"); /* another sum */
    a_message(f, EVENT_PAYMENT_PROCESSED, "m-2", "pay-2", "19.99");
    a_message(f, EVENT_PAYMENT_APPROVED, "m-3", "pay-3", "19.99"); /* a second one */
    a_message(f, EVENT_STOCK_RESERVED, "m-4", "stock-1", "");
    pass(f);
    a_message(f, EVENT_PAYMENT_REFUNDED, "m-5", "pay-3", "19.99");
    a_message(f, EVENT_STOCK_RELEASED, "m-6", "stock-2", ""); /* nobody asked */
    a_message(f, EVENT_SHIPMENT_CREATED, "m-7", "ship-1", "");
    a_message(f, EVENT_SHIPMENT_DELIVERED, "m-8", "ship-9", ""); /* not confirmed */
    a_message(f, EVENT_PAYMENT_DECLINED, "m-9", "", "");         /* without an id: ignored */
    pass(f);
    an_order(f, "WIDGET-001", 1);
    pass(f);
    a_message(f, EVENT_PAYMENT_APPROVED, "m-10", "pay-2", "19.99"); /* another order's */
    memset(&f->order_id, 7, sizeof(f->order_id));
    a_message(f, EVENT_PAYMENT_APPROVED, "m-11", "pay-9", "19.99"); /* an unknown order's */
    pass(f);
}

/* The n-th letter that is open or parked, if there are so many. */
static void close_letter(struct app_fixture *f, unsigned nth, bool is_discard)
{
    unsigned n;
    struct dead_letter_item *letters = the_letters(f, &n);

    for (unsigned i = 0; i < n; i++) {
        struct dead_letter_id id = letters[i].letter.id;

        if (!dead_letter_is_open(&letters[i].letter) || nth-- > 0)
            continue;
        if (is_discard)
            discard_letter(f, id, true);
        else
            retry_letter(f, id, NULL);
        return;
    }
}

/* From brokers, one of which nobody can read; of a subscription that this process does not have. */
static void history_of_refusals(struct app_fixture *f)
{
    struct dead_letter_item *letters;
    unsigned n;

    a_refusal(f, SUBSCRIPTION_KAFKA, "payment.approved", STR("\xff\0"));
    a_refusal(f, SUBSCRIPTION_KAFKA, "payment.approved", STR("{"));
    a_refusal(f, SUBSCRIPTION_KAFKA, "payment.approved", STR("{")); /* the same again */
    a_refusal(f, SUBSCRIPTION_RABBITMQ, "nothing", STR_NONE);
    letters = the_letters(f, &n);
    for (unsigned i = 0; i < n; i++) {
        struct dead_letter_id id = letters[i].letter.id;

        if (letters[i].letter.subscription != SUBSCRIPTION_KAFKA)
            continue;
        discard_letter(f, id, false);
        break;
    }
}

static void history_of_failures(struct app_fixture *f, struct simulators *s)
{
    s->payments.mode = PAYMENTS_APPROVE;
    s->payments.fail_first = 2;
    set_simulators(f, SIMULATOR_PAYMENTS, s);
    an_order(f, "WIDGET-001", 1); /* at the third attempt */
    app_fixture_pass_ms(f, 60000);
    s->payments.poison_rate = 1;
    set_simulators(f, SIMULATOR_PAYMENTS, s);
    for (unsigned i = 0; i < 3; i++)
        an_order(f, "WIDGET-001", 1); /* parked */
    app_fixture_pass_ms(f, 120000);
    close_letter(f, 0, false); /* turned down as it came in, and again */
    pass(f);
    close_letter(f, 0, true);
    s->payments.poison_rate = 0;
    s->payments.fail_first = 3;
    set_simulators(f, SIMULATOR_PAYMENTS, s);
    close_letter(f, 2, false); /* of the parked ones */
    close_letter(f, 2, true);
    history_of_refusals(f);
    app_fixture_pass_ms(f, 60000);
    an_order(f, "WIDGET-001", 1); /* waits for a retry at the end */
    app_fixture_pass_ms(f, 1000);
}

void history_of_all(struct app_fixture *f)
{
    struct simulators s = simulators_default;

    a_product(f, "GADGET-002", "5.00", 10);
    history_of_ends(f);
    history_of_payments(f, &s);
    history_of_outside(f);
    with_key(f, "WIDGET-001", "key-1");
    with_key(f, "WIDGET-001", "key-2");
    with_key(f, "WIDGET-001", "key-1");
    a_full_cart(f, 1); /* left as it is */
    history_of_failures(f, &s);
}

/* ---- chance ---------------------------------------------------------------------------------- */

static void random_message(struct app_fixture *f, struct chance *c, unsigned n)
{
    static const enum event_type types[] = {
        EVENT_PAYMENT_APPROVED, EVENT_PAYMENT_DECLINED,   EVENT_PAYMENT_REFUNDED,
        EVENT_STOCK_RESERVED,   EVENT_STOCK_REJECTED,     EVENT_STOCK_RELEASED,
        EVENT_SHIPMENT_CREATED, EVENT_SHIPMENT_DELIVERED, EVENT_SHIPMENT_CANCELLED,
    };
    enum event_type type;
    char message[32];
    char id[32];

    (void)snprintf(message, sizeof(message), "m-%u", n);
    (void)snprintf(id, sizeof(id), "id-%zu", chance_below(c, 8));
    type = types[chance_below(c, ARRAY_LEN(types))];
    if (type == EVENT_STOCK_REJECTED) /* has none */
        id[0] = '\0';
    a_message(f, type, message, id, chance_below(c, 3) ? "19.99" : "1.00");
}

static void random_settings(struct app_fixture *f, struct chance *c)
{
    struct simulators s = simulators_default;

    s.payments.mode = (enum payments_mode)chance_below(c, 3);
    s.payments.fail_first = (unsigned)chance_below(c, 3);
    s.payments.poison_rate = chance_below(c, 6) == 0 ? 0.5 : 0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    s.inventory.mode = chance_below(c, 5) ? INVENTORY_AUTO : INVENTORY_REJECT;
    set_simulators(f, SIMULATOR_INVENTORY, &s);
}

void history_step(struct app_fixture *f, struct chance *c, unsigned n)
{
    static const enum order_input inputs[] = { ORDER_INPUT_PAY, ORDER_INPUT_MARK_PAID,
                                               ORDER_INPUT_CANCEL, ORDER_INPUT_READY,
                                               ORDER_INPUT_COMPLETE };
    char text[32];

    (void)snprintf(text, sizeof(text), "id-%zu", chance_below(c, 8));
    switch (chance_below(c, 14)) {
    case 12:
    case 13:
        close_letter(f, (unsigned)chance_below(c, 4), chance_below(c, 3) == 0);
        return;
    case 0:
    case 1:
        an_order_of(f, chance_below(c, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST, "WIDGET-001",
                    (int64_t)(1 + chance_below(c, 8)), NULL);
        return;
    case 2:
        a_cart(f);
        an_item(f, "WIDGET-001", 1);
        if (chance_below(c, 2))
            a_checkout(f);
        return;
    case 3:
        (void)snprintf(text, sizeof(text), "key-%zu", chance_below(c, 50));
        with_key(f, "WIDGET-001", text);
        return;
    case 4:
    case 5:
        do_order(f, inputs[chance_below(c, ARRAY_LEN(inputs))], text);
        return;
    case 6:
    case 7:
        random_message(f, c, n);
        return;
    case 8:
        random_settings(f, c);
        return;
    case 9:
        carry(f);
        return;
    case 10:
        (void)snprintf(text, sizeof(text), "SKU-%zu", chance_below(c, 20));
        a_product(f, text, "2.50", 5);
        return;
    default:
        app_fixture_pass_ms(f, (int64_t)chance_below(c, 3000));
        return;
    }
}
