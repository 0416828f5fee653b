/* Port: turns, one alarm, and the two clocks. The server implements it with uv_idle, uv_timer and
 * uv_hrtime; tests and the simulator with a queue and a number. */
#ifndef ORDERLY_APP_SCHEDULER_H
#define ORDERLY_APP_SCHEDULER_H
#include <stdint.h>

struct scheduler;
struct scheduler_ops {
    /* Asks for on_turn in a later turn of the loop, never inside this call. Repeats are folded. */
    void (*wake)(struct scheduler *s);
    /* Asks for on_alarm at (not before) this monotonic time in ms; replaces the earlier request.
     * INT64_MAX: no alarm. */
    void (*wake_at)(struct scheduler *s, int64_t mono_ms);
    int64_t (*mono_us)(struct scheduler *s); /* monotonic; not cached */
    int64_t (*wall_ms)(struct scheduler *s); /* since 1970, UTC; may jump */
};
struct scheduler {
    const struct scheduler_ops *ops;

    /* Set by the app. on_turn returns nonzero when another turn is needed. */
    int (*on_turn)(void *ctx);
    void (*on_alarm)(void *ctx);
    void *ctx;
};

static inline void scheduler_wake(struct scheduler *s)
{
    s->ops->wake(s);
}
static inline int64_t scheduler_mono_us(struct scheduler *s)
{
    return s->ops->mono_us(s);
}
static inline int64_t scheduler_wall_ms(struct scheduler *s)
{
    return s->ops->wall_ms(s);
}
#endif
