#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/infra/loop/scheduler_uv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct desk {
    uv_loop_t loop;
    struct scheduler_uv scheduler;
    unsigned turns, alarms;
    unsigned turns_wanted; /* by the return value */
    bool wakes_itself;
    int64_t alarm_us; /* when the last alarm came */
    bool is_closed;
};

static int desk_on_turn(void *ctx)
{
    struct desk *d = ctx;

    d->turns++;
    if (d->wakes_itself) {
        unsigned before = d->turns;

        d->wakes_itself = false;
        scheduler_wake(&d->scheduler.port);
        assert_int_equal(d->turns, before); /* not inside */
    }
    return d->turns < d->turns_wanted;
}

static void desk_on_alarm(void *ctx)
{
    struct desk *d = ctx;

    d->alarms++;
    d->alarm_us = scheduler_mono_us(&d->scheduler.port);
}

static void desk_open(struct desk *d)
{
    *d = (struct desk){ 0 };
    assert_int_equal(uv_loop_init(&d->loop), 0);
    scheduler_uv_init(&d->scheduler, &d->loop);
    d->scheduler.port.on_turn = desk_on_turn;
    d->scheduler.port.on_alarm = desk_on_alarm;
    d->scheduler.port.ctx = d;
}

static void desk_on_closed(struct scheduler_uv *s)
{
    container_of(s, struct desk, scheduler)->is_closed = true;
}

static void desk_close(struct desk *d)
{
    scheduler_uv_close(&d->scheduler, desk_on_closed);
    assert_false(d->is_closed);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_true(d->is_closed);
    assert_int_equal(uv_loop_close(&d->loop), 0);
}

static void wake_at(struct desk *d, int64_t mono_ms)
{
    d->scheduler.port.ops->wake_at(&d->scheduler.port, mono_ms);
}

static int64_t now_ms(struct desk *d)
{
    return scheduler_mono_us(&d->scheduler.port) / 1000;
}

static void scheduler_uv__gives_one_turn_for_many_wakes_and_none_inside(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    for (unsigned i = 0; i < 10; i++)
        scheduler_wake(&d.scheduler.port);
    assert_int_equal(d.turns, 0);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT); /* ends when nothing is armed */
    assert_int_equal(d.turns, 1);
    scheduler_wake(&d.scheduler.port);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(d.turns, 2);
    desk_close(&d);
}

static void scheduler_uv__gives_turns_while_they_are_needed(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    d.turns_wanted = 5;
    scheduler_wake(&d.scheduler.port);
    (void)uv_run(&d.loop, UV_RUN_NOWAIT);
    assert_int_equal(d.turns, 1); /* one for each round of the loop */
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(d.turns, 5);
    desk_close(&d);
}

static void scheduler_uv__does_not_lose_a_wake_from_inside_a_turn(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    d.wakes_itself = true;
    scheduler_wake(&d.scheduler.port);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(d.turns, 2);
    desk_close(&d);
}

static void scheduler_uv__rings_the_alarm_once_and_not_early(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    for (int64_t in_ms = -1; in_ms <= 4; in_ms++) {
        int64_t due_ms = now_ms(&d) + in_ms;

        d.alarms = 0;
        wake_at(&d, due_ms);
        assert_int_equal(d.alarms, 0);
        (void)uv_run(&d.loop, UV_RUN_DEFAULT);
        assert_int_equal(d.alarms, 1);
        assert_true(d.alarm_us >= due_ms * 1000);
    }
    desk_close(&d);
}

static void scheduler_uv__keeps_the_last_alarm_that_was_asked_for(void **state)
{
    struct desk d;
    int64_t due_ms;

    (void)state;
    desk_open(&d);
    due_ms = now_ms(&d) + 2;
    wake_at(&d, due_ms + 3600000);
    wake_at(&d, due_ms);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT); /* would run for an hour */
    assert_int_equal(d.alarms, 1);
    wake_at(&d, due_ms); /* the same again is a new alarm, and due */
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(d.alarms, 2);
    wake_at(&d, due_ms);
    wake_at(&d, INT64_MAX);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_int_equal(d.alarms, 2);
    desk_close(&d);
}

static void scheduler_uv__is_deaf_after_it_is_closed(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    scheduler_wake(&d.scheduler.port);
    wake_at(&d, 0);
    scheduler_uv_close(&d.scheduler, desk_on_closed);
    scheduler_wake(&d.scheduler.port);
    wake_at(&d, 1);
    (void)uv_run(&d.loop, UV_RUN_DEFAULT);
    assert_true(d.is_closed);
    assert_int_equal(d.turns, 0);
    assert_int_equal(d.alarms, 0);
    assert_int_equal(uv_loop_close(&d.loop), 0);
}

static void scheduler_uv__reads_both_clocks(void **state)
{
    struct desk d;
    int64_t us;

    (void)state;
    desk_open(&d);
    us = scheduler_mono_us(&d.scheduler.port);
    assert_true(scheduler_mono_us(&d.scheduler.port) >= us);
    assert_true(scheduler_wall_ms(&d.scheduler.port) > INT64_C(1577836800000)); /* 2020 */
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scheduler_uv__gives_one_turn_for_many_wakes_and_none_inside),
        cmocka_unit_test(scheduler_uv__gives_turns_while_they_are_needed),
        cmocka_unit_test(scheduler_uv__does_not_lose_a_wake_from_inside_a_turn),
        cmocka_unit_test(scheduler_uv__rings_the_alarm_once_and_not_early),
        cmocka_unit_test(scheduler_uv__keeps_the_last_alarm_that_was_asked_for),
        cmocka_unit_test(scheduler_uv__is_deaf_after_it_is_closed),
        cmocka_unit_test(scheduler_uv__reads_both_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
