#include "domain_fixture.h"
#include "orderly/domain/product.h"

static void product__takes_full_new_values(void **state)
{
    struct product p = { 0 };
    char name[] = "Widget";
    struct event e = { .type = EVENT_PRODUCT_ADDED,
                       .sequence = 1,
                       .p = { .sku = sku_of("WIDGET-001"),
                              .name = str_of(name),
                              .description = STR("A widget"),
                              .has_price = true,
                              .price = 1999,
                              .currency = USD,
                              .stock_delta = 100 } };

    (void)state;
    product_apply(&p, &e);
    memset(name, 'x', sizeof(name) - 1);
    assert_true(str_eq(p.name, STR("Widget")));
    assert_int_equal(p.price, 1999);
    assert_int_equal(p.sequence, 1);
    e = (struct event){ .type = EVENT_PRODUCT_CHANGED,
                        .sequence = 2,
                        .p = { .sku = sku_of("WIDGET-001"), .name = STR("Better widget") } };
    product_apply(&p, &e);
    assert_true(str_eq(p.name, STR("Better widget")));
    assert_int_equal(p.description.n, 0);
    assert_false(p.has_price);
    assert_true(currency_is_none(p.currency));
    e = (struct event){ .type = EVENT_STOCK_ADJUSTED, .sequence = 3, .p.stock_delta = 5 };
    product_apply(&p, &e);
    assert_true(str_eq(p.name, STR("Better widget")));
    assert_int_equal(p.sequence, 3);
    product_deinit(&p);
}

static void product__is_copied_with_its_texts(void **state)
{
    struct product p = { 0 }, copy;
    struct event e = { .type = EVENT_PRODUCT_ADDED,
                       .sequence = 1,
                       .p = { .sku = sku_of("WIDGET-001"), .name = STR("Widget") } };

    (void)state;
    product_apply(&p, &e);
    copy = product_copy(&p);
    product_deinit(&p);
    assert_true(str_eq(copy.name, STR("Widget")));
    assert_int_equal(copy.description.n, 0);
    assert_int_equal(copy.sequence, 1);
    product_deinit(&copy);
}

static void stock__is_added_reserved_released_and_taken(void **state)
{
    static const struct {
        enum event_type type;
        int64_t quantity, on_hand, reserved;
    } steps[] = {
        { EVENT_PRODUCT_ADDED, 100, 100, 0 },     { EVENT_STOCK_RESERVED, 10, 100, 10 },
        { EVENT_INVENTORY_RESERVED, 5, 100, 15 }, { EVENT_STOCK_RELEASED, 10, 100, 5 },
        { EVENT_STOCK_ADJUSTED, -20, 80, 5 },     { EVENT_STOCK_TAKEN, 5, 75, 0 },
        { EVENT_INVENTORY_RESERVED, 75, 75, 75 }, { EVENT_INVENTORY_RELEASED, 75, 75, 0 },
        { EVENT_STOCK_REJECTED, 9, 75, 0 },       { EVENT_INVENTORY_RESERVATION_FAILED, 9, 75, 0 },
        { EVENT_PRODUCT_CHANGED, 9, 75, 0 },
    };
    struct stock s = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        stock_apply(&s, steps[i].type, steps[i].quantity);
        assert_int_equal(s.on_hand, steps[i].on_hand);
        assert_int_equal(s.reserved, steps[i].reserved);
        assert_int_equal(s.on_hand, s.reserved + stock_available(&s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product__takes_full_new_values),
        cmocka_unit_test(product__is_copied_with_its_texts),
        cmocka_unit_test(stock__is_added_reserved_released_and_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
