#include "orderly/app/metrics.h"
#include "orderly/base/check.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__has_1_2_5_per_decade_from_10_us_to_10_s),
        cmocka_unit_test(histogram__counts_a_bound_in_its_own_bucket_and_one_more_in_the_next),
        cmocka_unit_test(histogram__takes_a_clock_that_went_back_for_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
