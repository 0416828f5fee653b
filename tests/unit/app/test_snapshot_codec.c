/* Aggregates as rows: what was encoded comes back, and what is damaged is found. */
#include "codec_fixture.h"
#include "orderly/app/snapshot_codec.h"

static struct buf row;
static struct event placed; /* of the order that was made last */

static int set_up(void **state)
{
    (void)state;
    row = (struct buf){ 0 };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&row);
    return 0;
}

static struct order *an_order_and_its_placing(enum flow_id flow, const enum way *way)
{
    struct order_placing placing = a_placing(flow);
    struct order *o = order_create();
    struct event_list l;

    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    apply_all(o, &l);
    placed = l.events[0];
    for (; *way != END_OF_WAY; way++)
        go(o, *way);
    return o;
}

static void assert_same_order(const struct order *a, const struct order *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->visited, b->visited);
    assert_true(a->sequence == b->sequence);
    assert_true(a->updated_at_ms == b->updated_at_ms);
    assert_true(a->unsettled_since_ms == b->unsettled_since_ms);
    assert_int_equal(a->payment_requested, b->payment_requested);
    assert_true(same_id(&a->payment_id.t, &b->payment_id.t));
    assert_true(same_id(&a->reservation_id.t, &b->reservation_id.t));
    assert_true(same_id(&a->shipment_id.t, &b->shipment_id.t));
    assert_true(same_id(&a->invoice_id.t, &b->invoice_id.t));
    assert_true(str_eq(a->tracking_number, b->tracking_number));
    assert_true(str_eq(a->cancellation_reason, b->cancellation_reason));
    assert_true(str_eq(a->rejection_reason, b->rejection_reason));
    assert_true(str_eq(a->payment_failure_reason, b->payment_failure_reason));
    assert_true(a->delivered_at_ms == b->delivered_at_ms);
    assert_int_equal(a->n_effects, b->n_effects);
    for (unsigned i = 0; i < a->n_effects; i++) {
        assert_int_equal(a->effects[i].kind, b->effects[i].kind);
        assert_int_equal(a->effects[i].is_own, b->effects[i].is_own);
        assert_int_equal(a->effects[i].is_unasked, b->effects[i].is_unasked);
        assert_int_equal(a->effects[i].due, b->effects[i].due);
        assert_true(same_id(&a->effects[i].id, &b->effects[i].id));
        assert_true(a->effects[i].amount == b->effects[i].amount);
        assert_true(currency_eq(a->effects[i].currency, b->effects[i].currency));
    }
    assert_true(uuid_eq(a->body->id.u, b->body->id.u));
    assert_int_equal(a->body->flow_version, b->body->flow_version);
    assert_true(a->body->placed_position == b->body->placed_position);
    assert_int_equal(a->body->n_lines, b->body->n_lines);
    assert_true(str_eq(a->body->lines[0].name, b->body->lines[0].name));
    assert_true(str_eq(a->body->address.street, b->body->address.street));
    assert_true(a->body->created_at_ms == b->body->created_at_ms);
}

static void check_order(struct order *o)
{
    struct order *back = NULL;
    uint64_t position = 0;

    row.n = 0;
    order_snapshot_encode(o, &row);
    assert_int_equal(order_snapshot_placed_position(buf_str(&row), &position), ERR_OK);
    assert_true(position == placed.position);
    assert_int_equal(order_snapshot_decode(buf_str(&row), &placed, &back), ERR_OK);
    assert_same_order(o, back);
    /* And it lives on: the effects' memory is its own. */
    order_destroy(o);
    order_destroy(order_clone(back));
    order_destroy(back);
}

static void order__comes_back_in_every_state(void **state)
{
    (void)state;
    check_order(an_order_and_its_placing(FLOW_PAY_FIRST, WAY(END_OF_WAY)));
    check_order(an_order_and_its_placing(FLOW_PAY_FIRST, WAY(DECLINE_IT)));
    check_order(an_order_and_its_placing(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT)));
    check_order(
        an_order_and_its_placing(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT, READY_IT, COMPLETE_IT)));
    check_order(an_order_and_its_placing(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT, CANCEL_IT)));
    check_order(an_order_and_its_placing(FLOW_STOCK_FIRST, WAY(REJECT_IT)));
    check_order(
        an_order_and_its_placing(FLOW_STOCK_FIRST, WAY(RESERVE_IT, PAY_IT, SHIP_IT, DELIVER_IT)));
    check_order(an_order_and_its_placing(FLOW_STOCK_FIRST,
                                         WAY(RESERVE_IT, PAY_IT, SHIP_IT, CANCEL_SHIPMENT)));
}

static void order__comes_back_with_many_strays(void **state)
{
    struct order *o = an_order_and_its_placing(FLOW_PAY_FIRST, WAY(PAY_IT));

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct event_list l;
        struct payment_id p;
        char text[16];
        bool unasked;

        snprintf(text, sizeof(text), "P-%u", i + 10);
        p = payment_of(text);
        event_list_init(&l);
        if (i % 3)
            assert_int_equal(order_mark_as_paid(o, &p, i, EUR, &l), ORDER_OUTCOME_CHANGED);
        else
            assert_int_equal(order_apply_refunded(o, &p, i, USD, &unasked, &l),
                             ORDER_OUTCOME_CHANGED);
        apply_all(o, &l);
    }
    check_order(o);
}

static void summary__has_what_lists_need(void **state)
{
    struct order *o = an_order_and_its_placing(FLOW_STOCK_FIRST, WAY(RESERVE_IT));
    struct order_summary s;

    (void)state;
    order_snapshot_encode(o, &row);
    assert_int_equal(order_snapshot_summary(buf_str(&row), &s), ERR_OK);
    assert_true(uuid_eq(s.id.u, o->body->id.u));
    assert_int_equal(s.flow, FLOW_STOCK_FIRST);
    assert_int_equal(s.status, ORDER_CONFIRMED);
    assert_true(str_eq(text_id_str(&s.customer_id.t), STR("customer-789")));
    assert_int_equal(s.total, TOTAL);
    assert_true(currency_eq(s.currency, USD));
    assert_true(s.created_at_ms == PLACED_AT_MS);
    assert_true(s.updated_at_ms == PLACED_AT_MS + 1000);
    assert_true(s.payment_deadline_ms == PLACED_AT_MS + TIMEOUT_MS);
    assert_true(s.unsettled_since_ms == PLACED_AT_MS);
    assert_int_equal(s.sequence, 2);
    order_destroy(o);
}

static void order__is_not_joined_with_another_s_placing(void **state)
{
    struct order *o = an_order_and_its_placing(FLOW_STOCK_FIRST, WAY(RESERVE_IT)), *back = NULL;
    struct event other = placed;

    (void)state;
    order_snapshot_encode(o, &row);
    other.position++;
    assert_int_equal(order_snapshot_decode(buf_str(&row), &other, &back), ERR_DAMAGED);
    other = placed;
    other.p.order_id.u = uuid_of(2);
    assert_int_equal(order_snapshot_decode(buf_str(&row), &other, &back), ERR_DAMAGED);
    other = placed;
    other.p.flow = FLOW_PAY_FIRST;
    assert_int_equal(order_snapshot_decode(buf_str(&row), &other, &back), ERR_DAMAGED);
    other = placed;
    other.type = EVENT_ORDER_PAID;
    assert_int_equal(order_snapshot_decode(buf_str(&row), &other, &back), ERR_DAMAGED);
    assert_null(back);
    order_destroy(o);
}

static struct cart a_cart(void)
{
    struct cart c = { .id.u = uuid_of(9),
                      .customer_id.t = text_id_of("customer-123"),
                      .is_converted = true,
                      .order_id.u = uuid_of(1),
                      .sequence = 4,
                      .created_at_ms = PLACED_AT_MS,
                      .updated_at_ms = PLACED_AT_MS + 3,
                      .n_lines = 2 };

    c.lines[0] = (struct stock_line){ .sku = sku_of("MUG"), .quantity = 10 };
    c.lines[1] = (struct stock_line){ .sku = sku_of("TEA"), .quantity = 1 };
    return c;
}

static struct shipment a_shipment(void)
{
    struct shipment s = { 0 };
    struct event e = {
        .type = EVENT_SHIPMENT_CREATED,
        .handled_by = SUBSCRIPTION_SHIPMENTS,
        .sequence = 1,
        .occurred_at_ms = PLACED_AT_MS,
        .p = { .order_id.u = uuid_of(1), .flow = FLOW_STOCK_FIRST, .tracking_number = STR("TRK-1") }
    };

    shipment_apply(&s, &e);
    s.is_confirmed = true;
    return s;
}

static struct reservation a_reservation(void)
{
    static struct stock_line lines[2];
    struct reservation r = { 0 };
    struct event e = { .type = EVENT_STOCK_RESERVED,
                       .handled_by = SUBSCRIPTION_INVENTORY,
                       .sequence = 1,
                       .p = { .stock_lines = lines, .n_stock_lines = 2 } };

    lines[0] = (struct stock_line){ .sku = sku_of("MUG"), .quantity = 10 };
    lines[1] = (struct stock_line){ .sku = sku_of("TEA"), .quantity = 1 };
    reservation_apply(&r, &e);
    return r;
}

static struct product a_product(void)
{
    struct product p = { 0 };
    struct event e = { .type = EVENT_PRODUCT_ADDED,
                       .sequence = 1,
                       .p = { .sku = sku_of("WIDGET-001"),
                              .name = STR("Widget"),
                              .description = STR("A widget"),
                              .has_price = true,
                              .price = 1999,
                              .currency = USD } };

    product_apply(&p, &e);
    return p;
}

static void cart__comes_back(void **state)
{
    struct cart c = a_cart(), back, empty = { 0 };

    (void)state;
    cart_encode(&c, &row);
    assert_int_equal(cart_decode(buf_str(&row), &back), ERR_OK);
    assert_true(uuid_eq(back.id.u, c.id.u));
    assert_true(uuid_eq(back.order_id.u, c.order_id.u));
    assert_true(same_id(&back.customer_id.t, &c.customer_id.t));
    assert_true(back.is_converted);
    assert_int_equal(back.sequence, 4);
    assert_true(back.created_at_ms == c.created_at_ms);
    assert_true(back.updated_at_ms == c.updated_at_ms);
    assert_int_equal(back.n_lines, 2);
    assert_true(sku_eq(&back.lines[1].sku, &c.lines[1].sku));
    assert_int_equal(back.lines[0].quantity, 10);
    row.n = 0;
    cart_encode(&empty, &row);
    assert_int_equal(cart_decode(buf_str(&row), &back), ERR_OK);
    assert_int_equal(back.n_lines, 0);
}

static void cart__with_more_than_it_can_hold_is_damage(void **state)
{
    struct cart c = a_cart(), back;

    (void)state;
    c.lines[0].quantity = CART_QUANTITY_MAX + 1;
    cart_encode(&c, &row);
    assert_int_equal(cart_decode(buf_str(&row), &back), ERR_DAMAGED);
    row.n = 0;
    c.lines[0].quantity = 1;
    for (c.n_lines = 0; c.n_lines < CART_LINES_MAX; c.n_lines++)
        c.lines[c.n_lines] = c.lines[0];
    cart_encode(&c, &row);
    assert_int_equal(cart_decode(buf_str(&row), &back), ERR_OK);
    /* One line more: the count, and a line of sku, 3 letters and 8 bytes of quantity behind it. */
    row.p[row.n - CART_LINES_MAX * 12 - 1]++;
    buf_add(&row, "\3MUG\0\0\0\0\0\0\0\1", 12);
    assert_int_equal(cart_decode(buf_str(&row), &back), ERR_DAMAGED);
}

static void product_and_stock__come_back(void **state)
{
    struct product p = a_product(), back;
    struct stock s = { .on_hand = 100, .reserved = 7 }, stock_back;
    uint64_t position;

    (void)state;
    product_encode(&p, &row);
    assert_int_equal(product_decode(buf_str(&row), &back), ERR_OK);
    assert_true(sku_eq(&back.sku, &p.sku));
    assert_true(str_eq(back.name, STR("Widget")));
    assert_true(str_eq(back.description, STR("A widget")));
    assert_true(back.has_price);
    assert_int_equal(back.price, 1999);
    assert_true(currency_eq(back.currency, USD));
    assert_int_equal(back.sequence, 1);
    product_deinit(&back);
    product_deinit(&p);
    row.n = 0;
    stock_encode(&s, 4711, &row);
    assert_int_equal(stock_decode(buf_str(&row), &stock_back, &position), ERR_OK);
    assert_int_equal(stock_back.on_hand, 100);
    assert_int_equal(stock_back.reserved, 7);
    assert_int_equal(position, 4711);
}

static void parts_of_an_order__come_back(void **state)
{
    struct payment p = { .status = PAYMENT_STATUS_APPROVED,
                         .is_ours = true,
                         .amount = 3998,
                         .currency = USD,
                         .sequence = 2 },
                   p_back;
    struct reservation r = a_reservation(), r_back;
    struct shipment s = a_shipment(), s_back;

    (void)state;
    payment_encode(&p, &row);
    assert_int_equal(payment_decode(buf_str(&row), &p_back), ERR_OK);
    assert_int_equal(p_back.status, PAYMENT_STATUS_APPROVED);
    assert_true(p_back.is_ours);
    assert_int_equal(p_back.amount, 3998);
    assert_true(currency_eq(p_back.currency, USD));
    assert_int_equal(p_back.sequence, 2);
    row.n = 0;
    reservation_encode(&r, &row);
    assert_int_equal(reservation_decode(buf_str(&row), &r_back), ERR_OK);
    assert_int_equal(r_back.status, RESERVATION_STATUS_RESERVED);
    assert_true(r_back.is_ours);
    assert_int_equal(r_back.n_lines, 2);
    assert_int_equal(r_back.lines[0].quantity, 10);
    assert_true(sku_eq(&r_back.lines[1].sku, &r.lines[1].sku));
    row.n = 0;
    shipment_encode(&s, &row);
    assert_int_equal(shipment_decode(buf_str(&row), &s_back), ERR_OK);
    assert_int_equal(s_back.status, SHIPMENT_STATUS_CREATED);
    assert_true(s_back.is_ours);
    assert_true(s_back.is_confirmed);
    assert_true(uuid_eq(s_back.order_id.u, uuid_of(1)));
    assert_int_equal(s_back.flow, FLOW_STOCK_FIRST);
    assert_true(str_eq(s_back.tracking_number, STR("TRK-1")));
    assert_true(s_back.created_at_ms == PLACED_AT_MS);
    assert_int_equal(s_back.sequence, 1);
    reservation_deinit(&r);
    reservation_deinit(&r_back);
    shipment_deinit(&s);
    shipment_deinit(&s_back);
}

/* ---- damage ----------------------------------------------------------------------------------- */

enum kind {
    ORDER_ROW,
    CART_ROW,
    PRODUCT_ROW,
    STOCK_ROW,
    PAYMENT_ROW,
    RESERVATION_ROW,
    SHIPMENT_ROW,
    KINDS
};

static enum err decode(enum kind kind, struct str s)
{
    struct order *o = NULL;
    struct cart cart;
    struct product product;
    struct stock stock;
    struct payment payment;
    struct reservation reservation;
    struct shipment shipment;
    uint64_t position;
    enum err err = ERR_DAMAGED;

    switch (kind) {
    case ORDER_ROW:
        err = order_snapshot_decode(s, &placed, &o);
        if (err == ERR_OK)
            order_destroy(o);
        break;
    case CART_ROW:
        err = cart_decode(s, &cart);
        break;
    case PRODUCT_ROW:
        err = product_decode(s, &product);
        if (err == ERR_OK)
            product_deinit(&product);
        break;
    case STOCK_ROW:
        err = stock_decode(s, &stock, &position);
        break;
    case PAYMENT_ROW:
        err = payment_decode(s, &payment);
        break;
    case RESERVATION_ROW:
        err = reservation_decode(s, &reservation);
        if (err == ERR_OK)
            reservation_deinit(&reservation);
        break;
    case SHIPMENT_ROW:
        err = shipment_decode(s, &shipment);
        if (err == ERR_OK)
            shipment_deinit(&shipment);
        break;
    case KINDS:
        break;
    }
    return err;
}

static void encode(enum kind kind)
{
    struct order *o = an_order_and_its_placing(FLOW_STOCK_FIRST,
                                               WAY(RESERVE_IT, PAY_IT, SHIP_IT, CANCEL_SHIPMENT));
    struct cart cart = a_cart();
    struct product product = a_product();
    struct stock stock = { .on_hand = 1 };
    struct payment payment = { .status = PAYMENT_STATUS_PENDING, .currency = USD };
    struct reservation reservation = a_reservation();
    struct shipment shipment = a_shipment();

    row.n = 0;
    if (kind == ORDER_ROW)
        order_snapshot_encode(o, &row);
    else if (kind == CART_ROW)
        cart_encode(&cart, &row);
    else if (kind == PRODUCT_ROW)
        product_encode(&product, &row);
    else if (kind == STOCK_ROW)
        stock_encode(&stock, 1, &row);
    else if (kind == PAYMENT_ROW)
        payment_encode(&payment, &row);
    else if (kind == RESERVATION_ROW)
        reservation_encode(&reservation, &row);
    else
        shipment_encode(&shipment, &row);
    order_destroy(o);
    product_deinit(&product);
    reservation_deinit(&reservation);
    shipment_deinit(&shipment);
}

static void row__that_is_cut_too_long_or_of_another_kind_is_damage(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        encode((enum kind)kind);
        assert_int_equal(decode((enum kind)kind, buf_str(&row)), ERR_OK);
        for (unsigned other = 0; other < KINDS; other++) {
            if (other != kind)
                assert_int_equal(decode((enum kind)other, buf_str(&row)), ERR_DAMAGED);
        }
        for (size_t n = 0; n < row.n; n++) {
            struct str cut = tight_copy((struct str){ row.p, n });

            assert_int_equal(decode((enum kind)kind, cut), ERR_DAMAGED);
            tight_free(cut);
        }
        buf_add(&row, "x", 1);
        assert_int_equal(decode((enum kind)kind, buf_str(&row)), ERR_DAMAGED);
    }
}

static void row__of_any_bytes_is_read_within_its_bounds(void **state)
{
    uint64_t random = seed_of_run();

    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct str good;

        encode((enum kind)kind);
        good = tight_copy(buf_str(&row));
        for (unsigned run = 0; run < 3000; run++) {
            struct str broken = tight_copy(good);
            char *bytes = (char *)broken.p;
            struct order_summary summary;
            enum err err;

            for (unsigned flips = 1 + below(&random, 4); flips > 0; flips--)
                bytes[below(&random, (unsigned)broken.n)] = (char)below(&random, 256);
            err = decode((enum kind)kind, broken);
            assert_true(err == ERR_OK || err == ERR_DAMAGED);
            err = order_snapshot_summary(broken, &summary);
            assert_true(err == ERR_OK || err == ERR_DAMAGED);
            tight_free(broken);
        }
        tight_free(good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(order__comes_back_in_every_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order__comes_back_with_many_strays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(summary__has_what_lists_need, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order__is_not_joined_with_another_s_placing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(cart__comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cart__with_more_than_it_can_hold_is_damage, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(product_and_stock__come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_of_an_order__come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row__that_is_cut_too_long_or_of_another_kind_is_damage,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(row__of_any_bytes_is_read_within_its_bounds, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
