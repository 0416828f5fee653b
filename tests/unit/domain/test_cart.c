#include "domain_fixture.h"
#include "orderly/domain/cart.h"

static void apply_to(struct cart *c, struct event_list *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        l->events[i].sequence = c->sequence + 1;
        l->events[i].occurred_at_ms = PLACED_AT_MS + (int64_t)c->sequence;
        cart_apply(c, &l->events[i]);
    }
}

static struct cart a_cart(void)
{
    struct cart c = { 0 };
    struct customer_id customer = { text_id_of("customer-123") };
    struct event_list l;

    event_list_init(&l);
    cart_create((struct cart_id){ uuid_of(9) }, &customer, &l);
    apply_to(&c, &l);
    return c;
}

static enum cart_outcome add(struct cart *c, const char *text, int64_t quantity)
{
    struct sku sku = sku_of(text);
    struct event_list l;
    enum cart_outcome outcome;

    event_list_init(&l);
    outcome = cart_add_item(c, &sku, quantity, &l);
    assert_int_equal(l.n, outcome == CART_CHANGED);
    apply_to(c, &l);
    return outcome;
}

static enum cart_outcome set(struct cart *c, const char *text, int64_t quantity)
{
    struct sku sku = sku_of(text);
    struct event_list l;
    enum cart_outcome outcome;

    event_list_init(&l);
    outcome = cart_set_item(c, &sku, quantity, &l);
    assert_int_equal(l.n, outcome == CART_CHANGED);
    apply_to(c, &l);
    return outcome;
}

static enum cart_outcome take_out(struct cart *c, const char *text)
{
    struct sku sku = sku_of(text);
    struct event_list l;
    enum cart_outcome outcome;

    event_list_init(&l);
    outcome = cart_remove_item(c, &sku, &l);
    assert_int_equal(l.n, outcome == CART_CHANGED);
    apply_to(c, &l);
    return outcome;
}

static enum cart_outcome convert(struct cart *c, struct uuid order)
{
    struct event_list l;
    enum cart_outcome outcome;

    event_list_init(&l);
    outcome = cart_convert(c, (struct order_id){ order }, &l);
    assert_int_equal(l.n, outcome == CART_CHANGED);
    apply_to(c, &l);
    return outcome;
}

static void cart__begins_empty(void **state)
{
    struct cart c = a_cart();

    (void)state;
    assert_true(uuid_eq(c.id.u, uuid_of(9)));
    assert_true(str_eq(text_id_str(&c.customer_id.t), STR("customer-123")));
    assert_int_equal(c.n_lines, 0);
    assert_false(c.is_converted);
    assert_int_equal(c.sequence, 1);
    assert_true(c.created_at_ms == PLACED_AT_MS);
}

static void cart__adds_up_what_is_added_again(void **state)
{
    struct cart c = a_cart();
    struct sku sku = sku_of("MUG");
    struct event_list l;

    (void)state;
    assert_int_equal(add(&c, "MUG", 2), CART_CHANGED);
    event_list_init(&l);
    assert_int_equal(cart_add_item(&c, &sku, 3, &l), CART_CHANGED);
    assert_int_equal(l.events[0].type, EVENT_CART_ITEM_CHANGED);
    assert_int_equal(l.events[0].p.quantity, 5); /* what it is after the change */
    apply_to(&c, &l);
    assert_int_equal(c.n_lines, 1);
    assert_int_equal(c.lines[0].quantity, 5);
}

static void cart__holds_10_pieces_of_one_product_and_not_11(void **state)
{
    struct cart c = a_cart();

    (void)state;
    assert_int_equal(add(&c, "MUG", CART_QUANTITY_MAX), CART_CHANGED);
    assert_int_equal(add(&c, "MUG", 1), CART_TOO_MANY_PIECES);
    assert_int_equal(set(&c, "MUG", 9), CART_CHANGED);
    assert_int_equal(add(&c, "MUG", 1), CART_CHANGED);
    assert_int_equal(add(&c, "MUG", 1), CART_TOO_MANY_PIECES);
    assert_int_equal(c.lines[0].quantity, 10);
}

static void cart__holds_20_products_and_not_21(void **state)
{
    struct cart c = a_cart();
    char text[16];

    (void)state;
    for (unsigned i = 0; i < CART_LINES_MAX; i++) {
        snprintf(text, sizeof(text), "SKU-%u", i);
        assert_int_equal(add(&c, text, 1), CART_CHANGED);
    }
    assert_int_equal(add(&c, "ONE-MORE", 1), CART_TOO_MANY_LINES);
    assert_int_equal(add(&c, "SKU-7", 1), CART_CHANGED);
    assert_int_equal(take_out(&c, "SKU-0"), CART_CHANGED);
    assert_int_equal(add(&c, "ONE-MORE", 1), CART_CHANGED);
    assert_int_equal(c.n_lines, CART_LINES_MAX);
    assert_true(str_eq(sku_str(&c.lines[0].sku), STR("SKU-1")));
    assert_true(str_eq(sku_str(&c.lines[19].sku), STR("ONE-MORE")));
}

static void cart__replaces_and_removes_only_what_is_in_it(void **state)
{
    struct cart c = a_cart();

    (void)state;
    assert_int_equal(set(&c, "MUG", 1), CART_NO_SUCH_LINE);
    assert_int_equal(take_out(&c, "MUG"), CART_NO_SUCH_LINE);
    assert_int_equal(add(&c, "MUG", 1), CART_CHANGED);
    assert_int_equal(set(&c, "MUG", 1), CART_HOLDS);
    assert_int_equal(set(&c, "MUG", 4), CART_CHANGED);
    assert_int_equal(c.lines[0].quantity, 4);
    assert_int_equal(take_out(&c, "MUG"), CART_CHANGED);
    assert_int_equal(c.n_lines, 0);
}

static void cart__that_is_converted_stays_as_it_is(void **state)
{
    struct cart c = a_cart();

    (void)state;
    assert_int_equal(convert(&c, (struct uuid){ { 0 } }), CART_EMPTY);
    assert_int_equal(convert(&c, uuid_of(1)), CART_EMPTY);
    assert_int_equal(add(&c, "MUG", 1), CART_CHANGED);
    assert_int_equal(convert(&c, (struct uuid){ { 0 } }), CART_CHANGED);
    assert_true(c.is_converted);
    assert_int_equal(convert(&c, (struct uuid){ { 0 } }), CART_HOLDS);
    assert_int_equal(add(&c, "MUG", 1), CART_CONVERTED);
    assert_int_equal(set(&c, "MUG", 1), CART_CONVERTED);
    assert_int_equal(take_out(&c, "MUG"), CART_CONVERTED);
}

static void cart__belongs_to_its_first_order(void **state)
{
    struct cart c = a_cart();

    (void)state;
    assert_int_equal(add(&c, "MUG", 1), CART_CHANGED);
    assert_int_equal(convert(&c, (struct uuid){ { 0 } }), CART_CHANGED);
    assert_int_equal(convert(&c, uuid_of(1)), CART_CHANGED); /* frozen first, checked out later */
    assert_int_equal(convert(&c, uuid_of(2)), CART_HOLDS);
    assert_int_equal(convert(&c, (struct uuid){ { 0 } }), CART_HOLDS);
    assert_true(uuid_eq(c.order_id.u, uuid_of(1)));
}

static void cart__takes_events_that_cannot_be(void **state)
{
    struct cart c = a_cart();
    struct event e = { .type = EVENT_CART_ITEM_REMOVED, .p.sku = sku_of("NONE") };
    char text[16];

    (void)state;
    cart_apply(&c, &e);
    e.type = EVENT_CART_ITEM_ADDED;
    for (unsigned i = 0; i < CART_LINES_MAX + 5; i++) {
        snprintf(text, sizeof(text), "SKU-%u", i);
        e.p.sku = sku_of(text);
        cart_apply(&c, &e);
    }
    assert_int_equal(c.n_lines, CART_LINES_MAX);
    e.type = EVENT_ORDER_PAID;
    cart_apply(&c, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cart__begins_empty),
        cmocka_unit_test(cart__adds_up_what_is_added_again),
        cmocka_unit_test(cart__holds_10_pieces_of_one_product_and_not_11),
        cmocka_unit_test(cart__holds_20_products_and_not_21),
        cmocka_unit_test(cart__replaces_and_removes_only_what_is_in_it),
        cmocka_unit_test(cart__that_is_converted_stays_as_it_is),
        cmocka_unit_test(cart__belongs_to_its_first_order),
        cmocka_unit_test(cart__takes_events_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
