#include "orderly/app/timers.h"
#include "orderly/base/check.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct alarm {
    struct timer timer;
    struct bench *bench;
    int64_t due_us;
    unsigned n_fired;
    bool restarts; /* with no delay, from inside its own fire */
};
struct bench {
    struct manual_scheduler ms;
    struct timers timers;
    struct alarm alarms[100];
    unsigned max; /* per run */
    unsigned order[100], n_order;
    int was_more;
};

static void bench_on_alarm(void *ctx)
{
    struct bench *b = ctx;

    b->was_more = timers_run(&b->timers, b->max);
}

static void alarm_fire(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);
    struct bench *b = a->bench;

    assert_true(b->ms.now_us >= a->due_us);
    a->n_fired++;
    if (b->n_order < ARRAY_LEN(b->order))
        b->order[b->n_order++] = (unsigned)(a - b->alarms);
    if (a->restarts)
        timer_start(&b->timers, t, 0);
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){ .max = 1000 };
    manual_scheduler_init(&b->ms);
    b->ms.scheduler.on_alarm = bench_on_alarm;
    b->ms.scheduler.ctx = b;
    timers_init(&b->timers, &b->ms.scheduler);
    for (size_t i = 0; i < ARRAY_LEN(b->alarms); i++) {
        timer_init(&b->alarms[i].timer, alarm_fire);
        b->alarms[i].bench = b;
    }
}

static void bench_start(struct bench *b, unsigned i, int64_t delay_ms)
{
    b->alarms[i].due_us = b->ms.now_us + delay_ms * 1000;
    timer_start(&b->timers, &b->alarms[i].timer, delay_ms);
}

static void bench_advance_ms(struct bench *b, int64_t ms)
{
    manual_scheduler_advance_us(&b->ms, ms * 1000);
    (void)manual_scheduler_run_alarm(&b->ms);
}

static void timers__fire_once_when_due_and_not_a_millisecond_before(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.ms.now_us += 999; /* a timer that starts within a millisecond still waits all of its time */
    bench_start(&b, 0, 5);
    bench_advance_ms(&b, 5);
    assert_int_equal(b.alarms[0].n_fired, 0);
    b.ms.now_us += 1;
    bench_advance_ms(&b, 0);
    assert_int_equal(b.alarms[0].n_fired, 1);
    assert_false(timer_is_running(&b.alarms[0].timer));
    bench_advance_ms(&b, 1000);
    assert_int_equal(b.alarms[0].n_fired, 1);
    timers_deinit(&b.timers);
}

static void timers__never_fire_inside_start(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    bench_start(&b, 0, 0);
    assert_int_equal(b.alarms[0].n_fired, 0);
    bench_advance_ms(&b, 0);
    assert_int_equal(b.alarms[0].n_fired, 1);
    timers_deinit(&b.timers);
}

static void timers__fire_equal_times_in_the_order_of_their_start(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    bench_start(&b, 3, 10);
    bench_start(&b, 1, 10);
    bench_start(&b, 2, 9);
    bench_advance_ms(&b, 10);
    assert_int_equal(b.n_order, 3);
    assert_int_equal(b.order[0], 2);
    assert_int_equal(b.order[1], 3);
    assert_int_equal(b.order[2], 1);
    timers_deinit(&b.timers);
}

static void timers__move_when_started_again_and_are_silent_when_stopped(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    bench_start(&b, 0, 10);
    bench_start(&b, 0, 20);
    bench_start(&b, 1, 10);
    timer_stop(&b.timers, &b.alarms[1].timer);
    timer_stop(&b.timers, &b.alarms[1].timer);
    bench_advance_ms(&b, 10);
    assert_int_equal(b.n_order, 0);
    bench_advance_ms(&b, 10);
    assert_int_equal(b.n_order, 1);
    timers_deinit(&b.timers);
    assert_true(b.ms.alarm_ms == INT64_MAX);
}

static void timers__leave_what_is_beyond_the_budget_to_the_next_run(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.max = 3;
    for (unsigned i = 0; i < 4; i++)
        bench_start(&b, i, 1);
    bench_advance_ms(&b, 1);
    assert_int_equal(b.n_order, 3);
    assert_true(b.was_more);
    bench_advance_ms(&b, 0); /* the alarm is armed again at once */
    assert_int_equal(b.n_order, 4);
    assert_false(b.was_more);
    timers_deinit(&b.timers);
}

static void timers__let_one_that_starts_itself_again_wait_for_the_next_run(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.alarms[0].restarts = true;
    bench_start(&b, 0, 1);
    bench_start(&b, 1, 1);
    bench_advance_ms(&b, 1);
    assert_int_equal(b.alarms[0].n_fired, 1);
    assert_int_equal(b.alarms[1].n_fired, 1);
    bench_advance_ms(&b, 0);
    assert_int_equal(b.alarms[0].n_fired, 2);
    timers_deinit(&b.timers);
}

static void timers__agree_with_a_model_over_random_operations(void **state)
{
    struct chance c = chance_init(__func__);
    struct bench b;

    (void)state;
    bench_init(&b);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)chance_below(&c, ARRAY_LEN(b.alarms));
        size_t what = chance_below(&c, 4);

        if (what == 0) {
            manual_scheduler_advance_us(&b.ms, (int64_t)chance_below(&c, 3000));
            while (manual_scheduler_run_alarm(&b.ms))
                ;
        } else if (what == 1) {
            timer_stop(&b.timers, &b.alarms[i].timer);
        } else {
            bench_start(&b, i, (int64_t)chance_below(&c, 20));
        }
        for (size_t k = 0; what == 0 && k < ARRAY_LEN(b.alarms); k++) {
            if (timer_is_running(&b.alarms[k].timer)) /* due ones fired, to the millisecond */
                assert_true(b.alarms[k].due_us > b.ms.now_us / 1000 * 1000);
        }
    }
    timers_deinit(&b.timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers__fire_once_when_due_and_not_a_millisecond_before),
        cmocka_unit_test(timers__never_fire_inside_start),
        cmocka_unit_test(timers__fire_equal_times_in_the_order_of_their_start),
        cmocka_unit_test(timers__move_when_started_again_and_are_silent_when_stopped),
        cmocka_unit_test(timers__leave_what_is_beyond_the_budget_to_the_next_run),
        cmocka_unit_test(timers__let_one_that_starts_itself_again_wait_for_the_next_run),
        cmocka_unit_test(timers__agree_with_a_model_over_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
