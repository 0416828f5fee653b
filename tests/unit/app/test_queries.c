/* Lists over the store of a running app: what is found, in which order, and page by page. */
#include "orderly/app/lanes.h"
#include "orderly/app/queries.h"
#include "orderly/base/bytes.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* One query as a store_read, run to its end. */
struct asking {
    struct store_read read;
    void (*ask)(struct asking *k, const struct store_view *v);
    bool is_done, is_late;
    enum err status;
    struct arena arena;
    struct order_query orders;
    struct order_page order_page;
    struct product_query products;
    struct product_page product_page;
    struct event_query events;
    struct event_page event_page;
    struct event_id event_id;
    struct event event;
};

/* A view that is late from the first look on. */
struct late_view {
    struct store_view view;
    const struct store_view *real;
};
static const struct store_view *real_of(const struct store_view *v)
{
    return container_of(v, const struct late_view, view)->real;
}
static enum err late_get(const struct store_view *v, enum store_db db, struct str key,
                         struct arena *a, struct str *value)
{
    return store_get(real_of(v), db, key, a, value);
}
static enum err late_seek(const struct store_view *v, enum store_db db, enum store_seek how,
                          struct str key, struct arena *a, struct str *found, struct str *value)
{
    return store_seek(real_of(v), db, how, key, a, found, value);
}
static bool late_is_late(const struct store_view *v)
{
    (void)v;
    return true;
}
static const struct store_view_ops late_ops = { .get = late_get,
                                                .seek = late_seek,
                                                .is_late = late_is_late };

static void asking_run(struct store_read *read, const struct store_view *v)
{
    struct asking *k = container_of(read, struct asking, read);
    struct late_view late = { .view = { .ops = &late_ops }, .real = v };

    k->ask(k, k->is_late ? &late.view : v);
}
static void asking_done(struct store_read *read)
{
    container_of(read, struct asking, read)->is_done = true;
}
static void ask(struct app_fixture *f, struct asking *k)
{
    arena_deinit(&k->arena);
    arena_init(&k->arena, NULL, 0);
    k->read.run = asking_run;
    k->read.done = asking_done;
    k->is_done = false;
    assert_int_equal(store_read_start(app_store(f->app), &k->read), ERR_OK);
    app_fixture_settle(f);
    assert_true(k->is_done);
    assert_int_equal(k->status, ERR_OK);
}

static void ask_orders_of(struct asking *k, const struct store_view *v)
{
    k->status = query_orders(v, &k->arena, &k->orders, &k->order_page);
}
static void ask_products_of(struct asking *k, const struct store_view *v)
{
    k->status = query_products(v, &k->arena, &k->products, &k->product_page);
}
static void ask_events_of(struct asking *k, const struct store_view *v)
{
    k->status = query_events(v, &k->arena, &k->events, &k->event_page);
}
static void ask_event_of(struct asking *k, const struct store_view *v)
{
    k->status = query_event(v, &k->arena, k->event_id, &k->event);
}

#define ORDERS_MAX 40
struct shop {
    struct app_fixture f;
    struct asking k;
    struct order_id ids[ORDERS_MAX];
    unsigned n;
};

static int setup(void **state)
{
    static struct shop s;
    struct app_config config = app_fixture_config();

    memset(&s, 0, sizeof(s));
    arena_init(&s.k.arena, NULL, 0);
    app_fixture_init(&s.f, &config);
    *state = &s;
    return 0;
}

static int teardown(void **state)
{
    struct shop *s = *state;

    order_page_deinit(&s->k.order_page);
    product_page_deinit(&s->k.product_page);
    arena_deinit(&s->k.arena);
    app_fixture_deinit(&s->f);
    return 0;
}

static void place(struct shop *s, int64_t quantity)
{
    assert_int_equal(an_order(&s->f, "WIDGET-001", quantity), REPLY_CREATED);
    s->ids[s->n++] = s->f.order_id;
}

/* "5 4 3": which of the shop's orders the page holds, in its order. */
static const char *orders(struct shop *s)
{
    static char text[256];
    size_t n = 0;

    order_page_deinit(&s->k.order_page);
    if (s->k.orders.limit == 0)
        s->k.orders.limit = 50;
    s->k.ask = ask_orders_of;
    ask(&s->f, &s->k);
    text[0] = 0;
    for (unsigned i = 0; i < s->k.order_page.n; i++) {
        for (unsigned j = 0; j < s->n; j++) {
            if (uuid_eq(s->k.order_page.orders[i]->body->id.u, s->ids[j].u))
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u", n ? " " : "", j);
        }
    }
    return text;
}

static const char *types(struct shop *s)
{
    static char text[1024];
    size_t n = 0;
    uint64_t last = s->k.events.after;

    if (s->k.events.limit == 0)
        s->k.events.limit = 50;
    s->k.ask = ask_events_of;
    ask(&s->f, &s->k);
    text[0] = 0;
    for (unsigned i = 0; i < s->k.event_page.n; i++) {
        const struct event *e = &s->k.event_page.events[i];

        assert_true(e->position > last); /* in log order */
        last = e->position;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" STR_FMT, n ? " " : "",
                              STR_ARG(event_infos[e->type].type));
    }
    return text;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void orders__come_newest_first_page_by_page(void **state)
{
    struct shop *s = *state;

    for (int i = 0; i < 5; i++)
        place(s, 1);
    assert_string_equal(orders(s), "4 3 2 1 0");
    assert_false(s->k.order_page.has_more);
    s->k.orders.limit = 2;
    assert_string_equal(orders(s), "4 3");
    assert_true(s->k.order_page.has_more);
    s->k.orders.has_after = true;
    s->k.orders.after = s->k.order_page.next;
    assert_string_equal(orders(s), "2 1");
    assert_true(s->k.order_page.has_more);
    s->k.orders.after = s->k.order_page.next;
    assert_string_equal(orders(s), "0");
    assert_false(s->k.order_page.has_more);
}

static void orders__are_filtered_by_everything(void **state)
{
    struct shop *s = *state;

    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000); /* 0 is SHIPPED */
    place(s, 1);                      /* 1 is PENDING */
    place(s, 1);
    assert_int_equal(do_order(&s->f, ORDER_INPUT_CANCEL, "no"), REPLY_OK); /* 2 is CANCELLED */
    assert_int_equal(an_order_of(&s->f, FLOW_PAY_FIRST, "WIDGET-001", 1, ""), REPLY_CREATED);
    s->ids[s->n++] = s->f.order_id; /* 3 is AWAITING_PAYMENT */

    s->k.orders.status = ORDER_SHIPPED;
    assert_string_equal(orders(s), "0");
    s->k.orders.status = ORDER_PENDING;
    assert_string_equal(orders(s), "1");
    s->k.orders.status = ORDER_DELIVERED;
    assert_string_equal(orders(s), "");
    s->k.orders.status = ORDER_NONE;
    s->k.orders.flow = FLOW_PAY_FIRST;
    assert_string_equal(orders(s), "3");
    s->k.orders.flow = FLOW_STOCK_FIRST;
    s->k.orders.status = ORDER_CANCELLED;
    assert_string_equal(orders(s), "2");
    s->k.orders = (struct order_query){ .flow = FLOW_NONE };
    s->k.orders.customer_id = s->k.order_page.orders[0]->body->customer_id;
    assert_string_equal(orders(s), "3 2 1 0");
    s->k.orders.customer_id.t.n--; /* another customer, whose id is a prefix */
    assert_string_equal(orders(s), "");
}

static void orders__with_a_refund_due_are_found(void **state)
{
    struct shop *s = *state;
    struct simulators sims = simulators_default;

    sims.payments.enabled = false; /* nobody gives money back */
    assert_int_equal(set_simulators(&s->f, SIMULATOR_PAYMENTS, &sims), REPLY_OK);
    place(s, 1);
    app_fixture_pass_ms(&s->f, 100);
    assert_int_equal(do_order(&s->f, ORDER_INPUT_MARK_PAID, "p-1"), REPLY_OK);
    assert_int_equal(do_order(&s->f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    place(s, 1);
    app_fixture_settle(&s->f);
    s->k.orders.refund_due = true;
    assert_string_equal(orders(s), "0");
    assert_int_equal(a_message(&s->f, EVENT_PAYMENT_REFUNDED, "m", "p-1", "1"), REPLY_ACCEPTED);
    app_fixture_pass_ms(&s->f, 100);
    assert_string_equal(orders(s), "0"); /* that was for the other order */
}

static void orders__that_are_long_unsettled_are_found(void **state)
{
    struct shop *s = *state;
    struct simulators sims = simulators_default;

    sims.inventory.enabled = false;
    assert_int_equal(set_simulators(&s->f, SIMULATOR_INVENTORY, &sims), REPLY_OK);
    for (int i = 0; i < 4; i++) {
        place(s, 1);
        app_fixture_pass_ms(&s->f, 1000);
    }
    s->k.orders.has_unsettled_before = true;
    s->k.orders.unsettled_before_ms = scheduler_wall_ms(app_scheduler(s->f.app)) - 2000;
    assert_string_equal(orders(s), "2 1 0");
    s->k.orders.limit = 2;
    assert_string_equal(orders(s), "2 1");
    s->k.orders.has_after = true;
    s->k.orders.after = s->k.order_page.next;
    s->k.orders.after_since_ms = s->k.order_page.next_since_ms;
    assert_string_equal(orders(s), "0");
    assert_false(s->k.order_page.has_more);
}

static void lists__that_are_late_still_get_further(void **state)
{
    struct shop *s = *state;
    char seen[64] = "";

    for (int i = 0; i < 4; i++)
        place(s, 1);
    s->k.is_late = true;
    s->k.orders.status = ORDER_SHIPPED; /* none is */
    assert_string_equal(orders(s), "");
    s->k.orders.status = ORDER_NONE;
    for (int i = 0; i < 4; i++) {
        const char *page = orders(s);

        assert_int_equal(strlen(page), 1);
        seen[i] = page[0];
        assert_true(s->k.order_page.has_more);
        s->k.orders.has_after = true;
        s->k.orders.after = s->k.order_page.next;
    }
    assert_string_equal(seen, "3210");
    assert_string_equal(orders(s), "");
    assert_false(s->k.order_page.has_more);

    s->k.events.has_types = true;
    s->k.events.types[EVENT_PRODUCT_CHANGED] = true; /* there is none */
    assert_string_equal(types(s), "");
    assert_false(s->k.event_page.has_more);
    s->k.events.has_types = false;
    for (unsigned i = 0; i < 5; i++) {
        (void)types(s);
        assert_int_equal(s->k.event_page.n, 1);
        assert_int_equal(s->k.event_page.has_more, i < 4);
        s->k.events.after = s->k.event_page.next;
    }
}

/* ---- products -------------------------------------------------------------------------------- */

static void products__come_by_sku(void **state)
{
    struct shop *s = *state;

    assert_int_equal(a_product(&s->f, "B-2", "1.50", 5), REPLY_CREATED);
    assert_int_equal(a_product(&s->f, "A-1", "", 7), REPLY_CREATED);
    s->k.products.limit = 2;
    s->k.ask = ask_products_of;
    ask(&s->f, &s->k);
    assert_int_equal(s->k.product_page.n, 2);
    assert_true(str_eq(sku_str(&s->k.product_page.rows[0].product.sku), STR("A-1")));
    assert_int_equal(s->k.product_page.rows[0].stock.on_hand, 7);
    assert_false(s->k.product_page.rows[0].product.has_price);
    assert_int_equal(s->k.product_page.rows[1].product.price, 150);
    assert_int_equal(s->k.product_page.rows[1].position, 2);
    assert_true(s->k.product_page.has_more);
    s->k.products.after = s->k.product_page.next;
    product_page_deinit(&s->k.product_page);
    ask(&s->f, &s->k);
    assert_int_equal(s->k.product_page.n, 1);
    assert_true(str_eq(sku_str(&s->k.product_page.rows[0].product.sku), STR("WIDGET-001")));
    assert_false(s->k.product_page.has_more);
    product_page_deinit(&s->k.product_page);

    /* However late it is, who asks on comes to the end. */
    s->k.is_late = true;
    s->k.products = (struct product_query){ .limit = 50 };
    for (unsigned i = 0; i < 3; i++) {
        ask(&s->f, &s->k);
        assert_int_equal(s->k.product_page.n, 1);
        assert_int_equal(s->k.product_page.has_more, i < 2);
        s->k.products.after = s->k.product_page.next;
        if (i < 2)
            product_page_deinit(&s->k.product_page);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void events__of_an_order_are_seven(void **state)
{
    struct shop *s = *state;
    struct text_id payment;
    struct event_query *q = &s->k.events;

    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000);
    payment = the_order(&s->f)->payment_id.t;
    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000);
    q->has_lane = true;
    q->lane = lane_of_order(s->ids[0]);
    assert_string_equal(types(s), "OrderPlaced InventoryReserved OrderConfirmed PaymentProcessed "
                                  "OrderPaid ShipmentCreated OrderShipped");
    assert_false(s->k.event_page.has_more);
    q->limit = 3;
    assert_string_equal(types(s), "OrderPlaced InventoryReserved OrderConfirmed");
    assert_true(s->k.event_page.has_more);
    q->after = s->k.event_page.next;
    assert_string_equal(types(s), "PaymentProcessed OrderPaid ShipmentCreated");
    q->after = s->k.event_page.next;
    assert_string_equal(types(s), "OrderShipped");
    assert_false(s->k.event_page.has_more);

    /* Of one stream only. */
    *q = (struct event_query){ .aggregate_id = text_id_str(&payment) };
    assert_string_equal(types(s), "PaymentProcessed");
    {
        char id[UUID_TEXT_LEN];

        uuid_format(s->ids[1].u, id);
        *q = (struct event_query){ .aggregate_id = { id, sizeof(id) } };
        assert_string_equal(types(s), "OrderPlaced OrderConfirmed OrderPaid OrderShipped");
    }
    *q = (struct event_query){ .aggregate_id = STR("WIDGET-001") };
    assert_string_equal(types(s), "ProductAdded");
    *q = (struct event_query){ .aggregate_id = STR("nobody") };
    assert_string_equal(types(s), "");
}

static void events__are_found_by_type_in_log_order(void **state)
{
    struct shop *s = *state;
    struct event_query *q = &s->k.events;

    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000);
    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000);
    q->has_types = true;
    q->types[EVENT_ORDER_PAID] = q->types[EVENT_ORDER_PLACED] = true;
    assert_string_equal(types(s), "OrderPlaced OrderPaid OrderPlaced OrderPaid");
    q->limit = 3;
    assert_string_equal(types(s), "OrderPlaced OrderPaid OrderPlaced");
    q->after = s->k.event_page.next;
    assert_string_equal(types(s), "OrderPaid");
    q->after = 0;
    q->has_lane = true;
    q->lane = lane_of_order(s->ids[1]);
    assert_string_equal(types(s), "OrderPlaced OrderPaid");
}

static void events__are_found_by_their_id(void **state)
{
    struct shop *s = *state;
    struct event_id ids[40];
    unsigned n;

    for (int i = 0; i < 4; i++) {
        place(s, 1);
        app_fixture_pass_ms(&s->f, 7);
    }
    app_fixture_pass_ms(&s->f, 1000);
    (void)types(s);
    n = s->k.event_page.n;
    assert_int_equal(n, 29);
    for (unsigned i = 0; i < n; i++)
        ids[i] = s->k.event_page.events[i].id;
    s->k.ask = ask_event_of;
    for (unsigned i = 0; i < n; i++) {
        s->k.event_id = ids[i];
        ask(&s->f, &s->k);
        assert_int_equal(s->k.event.position, i + 1);
    }
    for (unsigned i = 0; i < n; i++) { /* between two, before the first, behind the last */
        s->k.event_id = ids[i];
        s->k.event_id.u.b[15] ^= 1;
        arena_reset(&s->k.arena);
        s->k.is_done = false;
        assert_int_equal(store_read_start(app_store(s->f.app), &s->k.read), ERR_OK);
        app_fixture_settle(&s->f);
        assert_int_equal(s->k.status, ERR_NOT_FOUND);
    }
}

static void topics__are_exact_a_whole_words_or_all(void **state)
{
    struct shop *s = *state;
    struct event_query *q = &s->k.events;

    place(s, 1);
    app_fixture_pass_ms(&s->f, 1000);
    assert_true(event_query_set_topics(q, STR("inventory.*")));
    assert_string_equal(types(s), "InventoryReserved");
    assert_true(event_query_set_topics(q, STR("order.*")));
    assert_string_equal(types(s), "OrderPlaced OrderConfirmed OrderPaid OrderShipped");
    assert_true(event_query_set_topics(q, STR("shipment.created")));
    assert_string_equal(types(s), "ShipmentCreated");
    assert_true(event_query_set_topics(q, STR("*")));
    assert_false(q->types[EVENT_DEAD_LETTERED]);
    assert_int_equal(strncmp(types(s), "ProductAdded OrderPlaced ", 25), 0);
    assert_false(event_query_set_topics(q, STR("order")));
    assert_false(event_query_set_topics(q, STR("order.*.x")));
    assert_false(event_query_set_topics(q, STR("ord*")));
    assert_false(event_query_set_topics(q, STR(".*")));
    assert_false(event_query_set_topics(q, STR("")));
}

static void lanes__of_texts_are_the_same_for_ever(void **state)
{
    struct lane_id lane = lane_of_text(STR("WIDGET-001"));
    struct uuid u;
    char text[UUID_TEXT_LEN];

    (void)state;
    assert_true(uuid_eq(lane_of_correlation(STR("WIDGET-001")).u, lane.u));
    uuid_format(lane.u, text);
    assert_memory_equal(text, "d1b6e80e-ff3b-b7a1-80df-9782eab4c766", UUID_TEXT_LEN);
    assert_true(uuid_parse(STR("0199a1f3-0000-7000-8000-000000000000"), &u));
    assert_true(uuid_eq(lane_of_correlation(STR("0199a1f3-0000-7000-8000-000000000000")).u, u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(orders__come_newest_first_page_by_page),
        T(orders__are_filtered_by_everything),
        T(orders__with_a_refund_due_are_found),
        T(orders__that_are_long_unsettled_are_found),
        T(lists__that_are_late_still_get_further),
        T(products__come_by_sku),
        T(events__of_an_order_are_seven),
        T(events__are_found_by_type_in_log_order),
        T(events__are_found_by_their_id),
        T(topics__are_exact_a_whole_words_or_all),
        cmocka_unit_test(lanes__of_texts_are_the_same_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
