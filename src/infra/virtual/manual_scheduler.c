#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"

static struct manual_scheduler *manual_of(struct scheduler *s)
{
    return container_of(s, struct manual_scheduler, scheduler);
}

static void manual_wake(struct scheduler *s)
{
    manual_of(s)->is_awake = true;
    manual_of(s)->n_wakes++;
}

static void manual_wake_at(struct scheduler *s, int64_t mono_ms)
{
    manual_of(s)->alarm_ms = mono_ms;
}

static int64_t manual_mono_us(struct scheduler *s)
{
    struct manual_scheduler *ms = manual_of(s);

    ms->now_us += ms->us_per_look;
    return ms->now_us;
}

static int64_t manual_wall_ms(struct scheduler *s)
{
    return manual_of(s)->now_us / 1000 + manual_of(s)->wall_offset_ms;
}

static const struct scheduler_ops manual_ops = {
    .wake = manual_wake,
    .wake_at = manual_wake_at,
    .mono_us = manual_mono_us,
    .wall_ms = manual_wall_ms,
};

void manual_scheduler_init(struct manual_scheduler *ms)
{
    *ms = (struct manual_scheduler){
        .scheduler = { .ops = &manual_ops },
        .now_us = INT64_C(1000000000),
        .wall_offset_ms = INT64_C(1795176000000) - 1000000,
        .alarm_ms = INT64_MAX,
    };
}

bool manual_scheduler_run_turn(struct manual_scheduler *ms)
{
    if (!ms->is_awake)
        return false;
    REQUIRE(!ms->is_in_turn);
    ms->is_awake = false;
    ms->is_in_turn = true;
    ms->n_turns++;
    if (ms->scheduler.on_turn(ms->scheduler.ctx))
        ms->is_awake = true;
    ms->is_in_turn = false;
    return true;
}

bool manual_scheduler_run_alarm(struct manual_scheduler *ms)
{
    if (ms->alarm_ms == INT64_MAX || ms->now_us / 1000 < ms->alarm_ms)
        return false;
    REQUIRE(!ms->is_in_turn);
    ms->alarm_ms = INT64_MAX;
    ms->is_in_turn = true;
    ms->scheduler.on_alarm(ms->scheduler.ctx);
    ms->is_in_turn = false;
    return true;
}

void manual_scheduler_advance_us(struct manual_scheduler *ms, int64_t us)
{
    REQUIRE(us >= 0);
    ms->now_us += us;
}
