#include "lib/clock_ns.h"
#include "lib/schedule.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void schedule__spreads_the_rate_evenly_over_the_duration(void **state)
{
    struct schedule s;

    (void)state;
    schedule_init(&s, 5 * NS_PER_S, 1000.0, 2 * NS_PER_S, UINT64_MAX);
    assert_int_equal(s.total, 2000);
    assert_true(schedule_due_ns(&s, 0) == 5 * NS_PER_S);
    assert_true(schedule_due_ns(&s, 1) == 5 * NS_PER_S + NS_PER_MS);
    assert_true(schedule_due_ns(&s, 1999) == 7 * NS_PER_S - NS_PER_MS);
}

static void schedule__ends_with_its_count_when_that_comes_first(void **state)
{
    struct schedule s;

    (void)state;
    schedule_init(&s, 0, 1000.0, 2 * NS_PER_S, 10);
    assert_int_equal(s.total, 10);
    assert_int_equal(schedule_due_count(&s, 0, NS_PER_S), 10);
    assert_int_equal(schedule_due_count(&s, 10, NS_PER_S), 0);
}

static void schedule__counts_what_a_stall_let_fall_due(void **state)
{
    struct schedule s;

    (void)state;
    schedule_init(&s, NS_PER_S, 1000.0, 10 * NS_PER_S, UINT64_MAX);
    assert_int_equal(schedule_due_count(&s, 0, NS_PER_S - 1), 0);
    assert_int_equal(schedule_due_count(&s, 0, NS_PER_S), 1);
    assert_int_equal(schedule_due_count(&s, 1, NS_PER_S + NS_PER_MS - 1), 0);
    assert_int_equal(schedule_due_count(&s, 1, NS_PER_S + 500 * NS_PER_MS), 500);
}

static void schedule__counts_exactly_those_whose_time_has_come(void **state)
{
    struct chance c = chance_init(__func__);

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        struct schedule s;
        double rate = 0.5 + (double)chance_below(&c, 3000000) / 7.0;
        uint64_t from, now_ns, n;

        schedule_init(&s, chance_below(&c, 1000000) * NS_PER_US, rate, 100 * NS_PER_S, UINT64_MAX);
        now_ns = s.start_ns + chance_below(&c, 110 * 1000) * NS_PER_MS;
        from = chance_below(&c, s.total + 2);
        n = schedule_due_count(&s, from, now_ns);
        assert_true(from + n <= s.total || n == 0);
        if (n > 0)
            assert_true(schedule_due_ns(&s, from + n - 1) <= now_ns);
        if (from + n < s.total)
            assert_true(schedule_due_ns(&s, from + n) > now_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule__spreads_the_rate_evenly_over_the_duration),
        cmocka_unit_test(schedule__ends_with_its_count_when_that_comes_first),
        cmocka_unit_test(schedule__counts_what_a_stall_let_fall_due),
        cmocka_unit_test(schedule__counts_exactly_those_whose_time_has_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
