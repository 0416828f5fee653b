#include "domain_fixture.h"
#include "orderly/base/arena.h"
#include "orderly/domain/pricing.h"

struct priced {
    bool is_fine;
    struct order_line lines[4];
    struct discount discounts[2];
    unsigned n_discounts, bad_line;
    int64_t subtotal, total;
    struct arena arena;
};

/* Pairs of price and quantity, ended by a quantity of 0. */
static void price(struct priced *p, const struct discount_rules *rules, const char *currency,
                  const int64_t pairs[][2])
{
    struct currency c;
    unsigned n = 0;

    memset(p, 0, sizeof(*p));
    arena_init(&p->arena, NULL, 0);
    assert_true(currency_parse(str_of(currency), &c));
    for (; pairs[n][1]; n++) {
        p->lines[n].price = pairs[n][0];
        p->lines[n].quantity = pairs[n][1];
    }
    p->is_fine = pricing_apply(rules, c, p->lines, n, p->discounts, &p->n_discounts, &p->subtotal,
                               &p->total, &p->bad_line, &p->arena);
}

static const struct discount_rules OFF;
static const struct discount_rules DEMO = { .line_percent_hundredths = 1000,
                                            .line_from_quantity = 3,
                                            .order_amount = 1000,
                                            .order_above = 10000,
                                            .order_currency = { "USD" } };

static void pricing__without_discounts_is_a_sum(void **state)
{
    struct priced p;

    (void)state;
    price(&p, &OFF, "USD", (const int64_t[][2]){ { 1999, 2 }, { 0, 5 }, { 4999, 1 }, { 0, 0 } });
    assert_true(p.is_fine);
    assert_int_equal(p.subtotal, 8997);
    assert_int_equal(p.total, 8997);
    assert_int_equal(p.n_discounts, 0);
    arena_deinit(&p.arena);
}

static void pricing__takes_a_percentage_off_a_line_from_n_pieces_half_up(void **state)
{
    struct priced p;

    (void)state;
    price(&p, &DEMO, "USD", (const int64_t[][2]){ { 1299, 2 }, { 1999, 3 }, { 0, 0 } });
    assert_int_equal(p.lines[0].discount, 0);   /* 2 pieces */
    assert_int_equal(p.lines[1].discount, 600); /* 10 % of 59.97 is 5.997 */
    assert_int_equal(p.subtotal, 2598 + 5997);
    assert_int_equal(p.total, p.subtotal - 600);
    assert_int_equal(p.n_discounts, 1);
    assert_true(str_eq(p.discounts[0].code, STR("line_percent")));
    assert_true(str_eq(p.discounts[0].description, STR("10 % off a line of 3 or more")));
    assert_int_equal(p.discounts[0].amount, 600);
    arena_deinit(&p.arena);
}

static void pricing__takes_an_amount_off_above_a_subtotal_once(void **state)
{
    struct priced p;

    (void)state;
    price(&p, &DEMO, "USD", (const int64_t[][2]){ { 5000, 2 }, { 0, 0 } });
    assert_int_equal(p.n_discounts, 0); /* 100.00 is not above 100.00 */
    arena_deinit(&p.arena);
    price(&p, &DEMO, "USD", (const int64_t[][2]){ { 5001, 1 }, { 5000, 1 }, { 0, 0 } });
    assert_int_equal(p.n_discounts, 1);
    assert_true(str_eq(p.discounts[0].code, STR("order_amount")));
    assert_true(str_eq(p.discounts[0].description, STR("10.00 USD off above 100.00 USD")));
    assert_int_equal(p.total, 10001 - 1000);
    arena_deinit(&p.arena);
    /* After the lines' discounts: 111.00 less 11.10 is below. */
    price(&p, &DEMO, "USD", (const int64_t[][2]){ { 3700, 3 }, { 0, 0 } });
    assert_int_equal(p.n_discounts, 1);
    assert_int_equal(p.total, 9990);
    arena_deinit(&p.arena);
    price(&p, &DEMO, "USD", (const int64_t[][2]){ { 8999, 3 }, { 0, 0 } });
    assert_int_equal(p.n_discounts, 2);
    assert_int_equal(p.discounts[0].amount + p.discounts[1].amount, p.subtotal - p.total);
    arena_deinit(&p.arena);
}

static void pricing__leaves_other_currencies_alone(void **state)
{
    struct priced p;

    (void)state;
    price(&p, &DEMO, "EUR", (const int64_t[][2]){ { 50000, 1 }, { 0, 0 } });
    assert_int_equal(p.n_discounts, 0);
    assert_int_equal(p.total, 50000);
    arena_deinit(&p.arena);
}

static void pricing__never_goes_below_zero(void **state)
{
    struct discount_rules all = { .line_percent_hundredths = 20000,
                                  .order_amount = 5000,
                                  .order_currency = { "USD" } };
    struct priced p;

    (void)state;
    price(&p, &all, "USD", (const int64_t[][2]){ { 300, 1 }, { 0, 0 } });
    assert_int_equal(p.lines[0].discount, 300);
    assert_int_equal(p.total, 0);
    arena_deinit(&p.arena);
    all.line_percent_hundredths = 0;
    price(&p, &all, "USD", (const int64_t[][2]){ { 300, 1 }, { 0, 0 } });
    assert_int_equal(p.discounts[0].amount, 300);
    assert_int_equal(p.total, 0);
    arena_deinit(&p.arena);
}

static void pricing__names_odd_percentages(void **state)
{
    struct discount_rules r = { .line_percent_hundredths = 1250, .line_from_quantity = 1 };
    struct priced p;

    (void)state;
    price(&p, &r, "JPY", (const int64_t[][2]){ { 1000, 1 }, { 0, 0 } });
    assert_true(str_eq(p.discounts[0].description, STR("12.5 % off a line of 1 or more")));
    assert_int_equal(p.total, 875);
    arena_deinit(&p.arena);
    r.line_percent_hundredths = 1205;
    price(&p, &r, "JPY", (const int64_t[][2]){ { 1000, 1 }, { 0, 0 } });
    assert_true(str_eq(p.discounts[0].description, STR("12.05 % off a line of 1 or more")));
    arena_deinit(&p.arena);
}

static void pricing__refuses_lines_and_sums_beyond_10_to_the_12(void **state)
{
    struct priced p;

    (void)state;
    price(&p, &OFF, "USD",
          (const int64_t[][2]){ { 1, 1 }, { MONEY_MAX_MINOR / 10000, 10000 }, { 0, 0 } });
    assert_false(p.is_fine);
    assert_int_equal(p.bad_line, 2); /* each line is fine, the sum is not */
    arena_deinit(&p.arena);
    price(&p, &OFF, "USD", (const int64_t[][2]){ { MONEY_MAX_MINOR / 10000, 10000 }, { 0, 0 } });
    assert_true(p.is_fine);
    assert_true(p.total == MONEY_MAX_MINOR);
    arena_deinit(&p.arena);
    price(&p, &OFF, "USD", (const int64_t[][2]){ { 1, 1 }, { MONEY_MAX_MINOR, 2 }, { 0, 0 } });
    assert_false(p.is_fine);
    assert_int_equal(p.bad_line, 1);
    arena_deinit(&p.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pricing__without_discounts_is_a_sum),
        cmocka_unit_test(pricing__takes_a_percentage_off_a_line_from_n_pieces_half_up),
        cmocka_unit_test(pricing__takes_an_amount_off_above_a_subtotal_once),
        cmocka_unit_test(pricing__leaves_other_currencies_alone),
        cmocka_unit_test(pricing__never_goes_below_zero),
        cmocka_unit_test(pricing__names_odd_percentages),
        cmocka_unit_test(pricing__refuses_lines_and_sums_beyond_10_to_the_12),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
