#include "orderly/app/metrics.h"
#include "orderly/app/store.h"
#include "orderly/base/check.h"
#include "orderly/domain/order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void histogram__has_1_2_5_per_decade_from_10_us_to_10_s(void **state)
{
    static const int64_t steps[] = { 1, 2, 5 };
    int64_t decade = 10;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(histogram_bounds_us); i++) {
        assert_int_equal(histogram_bounds_us[i], decade * steps[i % 3]);
        if (i % 3 == 2)
            decade *= 10;
    }
    assert_int_equal(histogram_bounds_us[HISTOGRAM_BUCKETS - 2], 10 * 1000 * 1000);
}

static void histogram__counts_a_bound_in_its_own_bucket_and_one_more_in_the_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(histogram_bounds_us); i++) {
        struct histogram h = { 0 };

        histogram_add(&h, histogram_bounds_us[i]);
        histogram_add(&h, histogram_bounds_us[i] + 1);
        assert_int_equal(h.counts[i], 1);
        assert_int_equal(h.counts[i + 1], 1);
        assert_int_equal(h.n, 2);
        assert_int_equal(h.max_us, histogram_bounds_us[i] + 1);
    }
}

static void histogram__takes_a_clock_that_went_back_for_no_time(void **state)
{
    struct histogram h = { 0 };

    (void)state;
    histogram_add(&h, -5);
    assert_int_equal(h.counts[0], 1);
    assert_int_equal(h.max_us, 0);
    assert_true(h.sum_us >= 0);
}

static void commits__are_counted_by_powers_of_two(void **state)
{
    struct commit_stats s = { .events = 0 };

    (void)state;
    commit_stats_add(&s, 100, 0); /* rows only */
    for (unsigned i = 0; i < COMMIT_SIZES - 1; i++) {
        commit_stats_add(&s, 100, 1u << i);
        commit_stats_add(&s, 100, (1u << i) + 1);
    }
    /* 0, 1; 2, 2; 3, 4; 5, 8; … 2049, 4096; 4097 */
    for (unsigned i = 0; i < COMMIT_SIZES - 1; i++)
        assert_int_equal(s.by_size[i], 2);
    assert_int_equal(s.by_size[COMMIT_SIZES - 1], 1);
    assert_int_equal(s.duration.n, 1 + 2 * (COMMIT_SIZES - 1));
    assert_int_equal(s.events, 2 * ((1u << (COMMIT_SIZES - 1)) - 1) + COMMIT_SIZES - 1);
}

/* An order with one payment that is due back. */
static void an_order_owes(struct order *o, struct order_effect *e, int64_t amount,
                          struct currency currency)
{
    *e = (struct order_effect){
        .kind = EFFECT_PAYMENT, .due = DUE_OPEN, .amount = amount, .currency = currency
    };
    *o = (struct order){ .n_effects = 1, .effects = e };
}

static void refund_totals__have_room_for_every_currency(void **state)
{
    static struct refund_totals t;
    struct order o;
    struct order_effect e;
    char code[4] = "AAA";
    unsigned n = 0;

    (void)state;
    for (unsigned i = 0; i < 26 * 26 * 26; i++) {
        struct currency c;

        code[0] = (char)('A' + i / (26 * 26));
        code[1] = (char)('A' + i / 26 % 26);
        code[2] = (char)('A' + i % 26);
        if (!currency_parse(str_of(code), &c))
            continue;
        n++;
        an_order_owes(&o, &e, n, c);
        refund_totals_add(&t, &o);
        refund_totals_add(&t, &o);
    }
    assert_int_equal(t.n, n);
    assert_true(n > 150);
    assert_int_equal(t.list[n - 1].amount, 2 * n);
    assert_int_equal(t.list[n - 1].payments, 2);
}

static void refund_totals__count_only_what_is_due(void **state)
{
    struct refund_totals t = { .n = 0 };
    struct currency usd = { "USD" };
    struct order o;
    struct order_effect e;

    (void)state;
    refund_totals_add(&t, NULL);
    an_order_owes(&o, &e, 500, usd);
    e.due = DUE_DONE;
    refund_totals_add(&t, &o);
    e.due = DUE_OPEN;
    e.kind = EFFECT_RESERVATION;
    refund_totals_add(&t, &o);
    assert_int_equal(t.n, 0);
    e.kind = EFFECT_PAYMENT;
    refund_totals_add(&t, &o);
    assert_int_equal(t.list[0].amount, 500);
    refund_totals_take_off(&t, &o);
    assert_int_equal(t.n, 1); /* a line that has been there stays, with 0 */
    assert_int_equal(t.list[0].amount, 0);
    assert_int_equal(t.list[0].payments, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__has_1_2_5_per_decade_from_10_us_to_10_s),
        cmocka_unit_test(histogram__counts_a_bound_in_its_own_bucket_and_one_more_in_the_next),
        cmocka_unit_test(histogram__takes_a_clock_that_went_back_for_no_time),
        cmocka_unit_test(commits__are_counted_by_powers_of_two),
        cmocka_unit_test(refund_totals__have_room_for_every_currency),
        cmocka_unit_test(refund_totals__count_only_what_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
