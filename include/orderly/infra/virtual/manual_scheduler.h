/* The scheduler port on virtual time: turns and the alarm happen when the owner says so, and time
 * moves only by manual_scheduler_advance and by what the owner charges for work. */
#ifndef ORDERLY_INFRA_VIRTUAL_MANUAL_SCHEDULER_H
#define ORDERLY_INFRA_VIRTUAL_MANUAL_SCHEDULER_H
#include "orderly/app/scheduler.h"
#include <stdbool.h>

struct manual_scheduler {
    struct scheduler scheduler;

    int64_t now_us;         /* monotonic */
    int64_t wall_offset_ms; /* wall = now + this; change it to let the wall clock jump */
    int64_t alarm_ms;       /* INT64_MAX: none */
    int64_t us_per_look;    /* each look at the clock costs this much time; 0 by default */
    bool is_awake;          /* a turn was asked for */
    bool is_in_turn;        /* inside on_turn or on_alarm: no callback may nest */
    unsigned n_turns, n_wakes;
};

/* Starts at 1,000 s monotonic and 2026-11-20T12:00:00Z. The owner, or the app, sets
 * on_turn, on_alarm and ctx of ms->scheduler. */
void manual_scheduler_init(struct manual_scheduler *ms);
/* One turn if one was asked for. Returns whether it ran. */
bool manual_scheduler_run_turn(struct manual_scheduler *ms);
/* The alarm if it is due. Returns whether it ran. */
bool manual_scheduler_run_alarm(struct manual_scheduler *ms);
/* Moves time without running anything. */
void manual_scheduler_advance_us(struct manual_scheduler *ms, int64_t us);
#endif
