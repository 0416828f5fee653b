/* The scheduler port (app/scheduler.h) on a libuv loop: turns by uv_idle, the alarm by uv_timer.
 *
 * Monotonic time is uv_hrtime, wall time CLOCK_REALTIME. The alarm is due by the loop's own
 * millisecond clock, which follows uv_hrtime and never runs ahead of it, so on_alarm does not come
 * early by either. Thread: loop. */
#ifndef ORDERLY_INFRA_LOOP_SCHEDULER_UV_H
#define ORDERLY_INFRA_LOOP_SCHEDULER_UV_H
#include "orderly/app/scheduler.h"
#include <stdbool.h>
#include <uv.h>

struct scheduler_uv;
typedef void (*scheduler_uv_close_cb)(struct scheduler_uv *s);

struct scheduler_uv {
    struct scheduler port;
    uv_loop_t *loop;
    uv_idle_t idle;
    uv_timer_t timer;
    bool is_woken;    /* somebody asked for a turn that has not begun */
    int64_t alarm_ms; /* INT64_MAX: none */
    unsigned handles_open;
    scheduler_uv_close_cb on_closed;
};

void scheduler_uv_init(struct scheduler_uv *s, uv_loop_t *loop);
/* No turn and no alarm from here on. on_closed runs later, and is the last to touch s. */
void scheduler_uv_close(struct scheduler_uv *s, scheduler_uv_close_cb on_closed);
#endif
