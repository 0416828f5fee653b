#include "orderly/infra/loop/scheduler_uv.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include <time.h>

static struct scheduler_uv *scheduler_of(struct scheduler *port)
{
    return container_of(port, struct scheduler_uv, port);
}

static bool scheduler_is_closed(const struct scheduler_uv *s)
{
    return uv_is_closing((const uv_handle_t *)&s->idle) != 0;
}

static void scheduler_on_idle(uv_idle_t *h)
{
    struct scheduler_uv *s = container_of(h, struct scheduler_uv, idle);
    int again;

    s->is_woken = false;
    again = s->port.on_turn(s->port.ctx);
    /* A wake from inside the turn counts, whatever the turn says. */
    if (!again && !s->is_woken && !scheduler_is_closed(s))
        (void)uv_idle_stop(&s->idle);
}

static void scheduler_on_timer(uv_timer_t *h)
{
    struct scheduler_uv *s = container_of(h, struct scheduler_uv, timer);

    s->alarm_ms = INT64_MAX;
    s->port.on_alarm(s->port.ctx);
}

static void scheduler_uv_wake(struct scheduler *port)
{
    struct scheduler_uv *s = scheduler_of(port);
    int rc;

    REQUIRE(port->on_turn != NULL);
    if (s->is_woken || scheduler_is_closed(s))
        return;
    s->is_woken = true;
    rc = uv_idle_start(&s->idle, scheduler_on_idle); /* no-op while it is armed */
    ENSURE(rc == 0);
}

static void scheduler_uv_wake_at(struct scheduler *port, int64_t mono_ms)
{
    struct scheduler_uv *s = scheduler_of(port);
    int64_t now_ms = (int64_t)uv_now(s->loop);
    int rc;

    REQUIRE(port->on_alarm != NULL);
    if (mono_ms == s->alarm_ms || scheduler_is_closed(s))
        return;
    s->alarm_ms = mono_ms;
    /* Relative to the loop's cached time, by which libuv also fires: the due time is exact however
     * old the cache is. */
    if (mono_ms == INT64_MAX)
        rc = uv_timer_stop(&s->timer);
    else
        rc = uv_timer_start(&s->timer, scheduler_on_timer,
                            mono_ms > now_ms ? (uint64_t)(mono_ms - now_ms) : 0, 0);
    ENSURE(rc == 0);
}

static int64_t scheduler_uv_mono_us(struct scheduler *port)
{
    (void)port;
    return (int64_t)(uv_hrtime() / 1000);
}

static int64_t scheduler_uv_wall_ms(struct scheduler *port)
{
    struct timespec t;
    int rc = clock_gettime(CLOCK_REALTIME, &t);

    (void)port;
    ENSURE(rc == 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const struct scheduler_ops scheduler_uv_ops = {
    .wake = scheduler_uv_wake,
    .wake_at = scheduler_uv_wake_at,
    .mono_us = scheduler_uv_mono_us,
    .wall_ms = scheduler_uv_wall_ms,
};

void scheduler_uv_init(struct scheduler_uv *s, uv_loop_t *loop)
{
    int rc;

    *s = (struct scheduler_uv){
        .port.ops = &scheduler_uv_ops,
        .loop = loop,
        .alarm_ms = INT64_MAX,
        .handles_open = 2,
    };
    rc = uv_idle_init(loop, &s->idle);
    ENSURE(rc == 0);
    rc = uv_timer_init(loop, &s->timer);
    ENSURE(rc == 0);
}

static void scheduler_on_one_closed(struct scheduler_uv *s)
{
    if (--s->handles_open == 0 && s->on_closed)
        s->on_closed(s);
}

static void scheduler_on_idle_closed(uv_handle_t *h)
{
    scheduler_on_one_closed(container_of((uv_idle_t *)h, struct scheduler_uv, idle));
}

static void scheduler_on_timer_closed(uv_handle_t *h)
{
    scheduler_on_one_closed(container_of((uv_timer_t *)h, struct scheduler_uv, timer));
}

void scheduler_uv_close(struct scheduler_uv *s, scheduler_uv_close_cb on_closed)
{
    s->on_closed = on_closed;
    uv_close((uv_handle_t *)&s->idle, scheduler_on_idle_closed);
    uv_close((uv_handle_t *)&s->timer, scheduler_on_timer_closed);
}
