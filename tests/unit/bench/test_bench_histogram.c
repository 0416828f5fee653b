#include "lib/histogram.h"
#include "orderly/base/mem.h"
#include "support/chance.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct histogram histogram, other;

static int compare_values(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void histogram__has_buckets_that_meet_without_gap_or_overlap(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket_of(0), 0);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t end = histogram_bucket_end(i);

        assert_int_equal(histogram_bucket_of(end), i);
        if (i + 1 < HISTOGRAM_BUCKETS)
            assert_int_equal(histogram_bucket_of(end + 1), i + 1);
    }
    assert_true(histogram_bucket_end(HISTOGRAM_BUCKETS - 1) ==
                (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
}

static void histogram__knows_every_value_to_one_percent(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t value = chance_next(&c) >> (24 + chance_below(&c, 40));
        uint64_t end = histogram_bucket_end(histogram_bucket_of(value));

        assert_true(end >= value);
        assert_true((double)(end - value) <= 0.01 * (double)value);
    }
}

static void histogram__gives_the_quantiles_of_the_sorted_values(void **state)
{
    static const double QUANTILES[] = { 0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0 };
    enum { VALUES = 20000 };
    struct chance c = chance_init(__func__);
    uint64_t *values = mem_alloc(VALUES * sizeof(*values));

    (void)state;
    histogram_reset(&histogram);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = chance_next(&c) >> (30 + chance_below(&c, 30));
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(*values), compare_values);
    for (size_t i = 0; i < sizeof(QUANTILES) / sizeof(*QUANTILES); i++) {
        size_t rank = (size_t)ceil(QUANTILES[i] * (double)VALUES);
        uint64_t exact = values[rank ? rank - 1 : 0];
        uint64_t found = histogram_quantile(&histogram, QUANTILES[i]);

        assert_true(found >= exact);
        assert_true((double)(found - exact) <= 0.01 * (double)exact);
    }
    assert_true(histogram.max == values[VALUES - 1]);
    assert_true(histogram_quantile(&histogram, 1.0) == histogram.max);
    mem_free(values);
}

static void histogram__never_reports_more_than_the_largest_value(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    histogram_record(&histogram, 1000001);
    assert_true(histogram_quantile(&histogram, 0.5) == 1000001);
    assert_true(histogram_mean(&histogram) == 1000001);
}

static void histogram__is_all_zero_while_it_is_empty(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.999), 0);
    assert_int_equal(histogram_mean(&histogram), 0);
}

static void histogram__counts_what_is_too_large_in_its_last_bucket(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 1);
    assert_true(histogram.max == UINT64_MAX);
}

static void histogram__merged_is_as_if_one_had_recorded_everything(void **state)
{
    static struct histogram both;
    struct chance c = chance_init(__func__);

    (void)state;
    histogram_reset(&histogram);
    histogram_reset(&other);
    histogram_reset(&both);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t value = chance_below(&c, 1000000);

        histogram_record(i % 3 ? &histogram : &other, value);
        histogram_record(&both, value);
    }
    histogram_merge(&histogram, &other);
    assert_memory_equal(&histogram, &both, sizeof(both));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__has_buckets_that_meet_without_gap_or_overlap),
        cmocka_unit_test(histogram__knows_every_value_to_one_percent),
        cmocka_unit_test(histogram__gives_the_quantiles_of_the_sorted_values),
        cmocka_unit_test(histogram__never_reports_more_than_the_largest_value),
        cmocka_unit_test(histogram__is_all_zero_while_it_is_empty),
        cmocka_unit_test(histogram__counts_what_is_too_large_in_its_last_bucket),
        cmocka_unit_test(histogram__merged_is_as_if_one_had_recorded_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
