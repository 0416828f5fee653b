#include "orderly/base/check.h"
#include "world.h"

#define SECOND_US INT64_C(1000000)
#define CRASHES_MAX 40
#define LAST_BACK_MS (INT64_C(5) * 3600 * 1000)
#define LAST_DOWN_US (20 * SECOND_US) /* longer than a start is put off */

static const struct {
    const char *name, *text;
    unsigned ppm[3]; /* seldom, often, all the time */
} rows[SIM_FAULT_COUNT] = {
#define X(name, text, what) [SIM_FAULT_##name] = { text, what, { RATES_##name } },
#define RATES_DELAY 5000, 50000, 300000
#define RATES_REORDER 1, 1, 1 /* follows from DELAY */
#define RATES_DUPLICATE 50000, 200000, 600000
#define RATES_LOST_REPLY 5000, 50000, 250000
#define RATES_LATE_REPLY 5000, 50000, 250000
#define RATES_HANDLER_FAILURE 2000, 30000, 200000
#define RATES_UNAVAILABLE 2000, 30000, 200000
#define RATES_POISON 2000, 10000, 40000
#define RATES_CRASH 60, 250, 1500 /* of all steps */
#define RATES_RESTART 1, 3, 10    /* in an hour */
#define RATES_TORN 300, 2000, 10000
#define RATES_STORE_FULL 300, 2000, 10000
#define RATES_STORE_FAILED 300, 2000, 10000
#define RATES_SLOW_COMMIT 1000, 20000, 150000
#define RATES_LATE_READ 2000, 20000, 150000
#define RATES_CLOCK_JUMP 1, 4, 20 /* in an hour */
#define RATES_SUSPEND 1, 3, 8     /* in an hour */
#define RATES_CANCEL 30000, 150000, 500000
#define RATES_SAME_KEY 1, 1, 1 /* follows from what is not answered */
#define RATES_TWIN 5000, 30000, 200000
#define RATES_NEW_KEY 20000, 150000, 500000
#define RATES_BEFORE_24H 100000, 400000, 900000
#define RATES_AFTER_24H 100000, 400000, 900000
#define RATES_SETTINGS 4, 20, 60 /* in an hour */
#define RATES_SPLIT 5000, 50000, 300000
#define RATES_BROKER_AWAY 200, 1000, 5000
#define RATES_LOST_ACK 5000, 50000, 250000
    SIM_FAULT_MAP(X)
#undef X
};

const char *sim_fault_name(enum sim_fault f)
{
    REQUIRE(f < SIM_FAULT_COUNT);
    return rows[f].name;
}

const char *sim_fault_text(enum sim_fault f)
{
    REQUIRE(f < SIM_FAULT_COUNT);
    return rows[f].text;
}

/* Seeds differ in kind: each has its own mix of what never, seldom, often and always happens. */
void faults_init(struct world *w)
{
    struct faults *fs = &w->faults;

    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
        struct chance c = chance_of_seed(w->config.seed, 'f', f);
        unsigned kind = (unsigned)chance_below(&c, 100);

        if (!(w->config.faults & 1u << f) || kind < 25)
            continue;
        fs->ppm[f] = rows[f].ppm[kind < 60 ? 0 : kind < 85 ? 1 : 2];
    }
    fs->chance = chance_of_seed(w->config.seed, 'f', SIM_FAULT_COUNT);
    fs->wall_offset_most_ms = w->ms.wall_offset_ms;
}

bool fault_is_on(const struct world *w, enum sim_fault f)
{
    return w->faults.ppm[f] > 0 && !w->faults.are_over;
}

void fault_count(struct world *w, enum sim_fault f)
{
    w->faults.counts[f]++;
}

bool fault_hits(struct world *w, enum sim_fault f)
{
    if (!fault_is_on(w, f) || !chance_hits(&w->faults.chance, w->faults.ppm[f]))
        return false;
    if ((f == SIM_FAULT_CRASH || f == SIM_FAULT_TORN || f == SIM_FAULT_STORE_FAILED) &&
        (w->faults.n_crashes >= CRASHES_MAX || w->faults.n_crashes >= w->config.crashes_max))
        return false;
    fault_count(w, f);
    return true;
}

/* ---- those that come by the clock ------------------------------------------------------------ */

static int64_t next_us(struct world *w, enum sim_fault f)
{
    return chance_between(&w->faults.chance, 1, 2 * 3600 * SECOND_US / w->faults.ppm[f]);
}

static void set_clock(struct world *w, int64_t ms)
{
    struct faults *fs = &w->faults;

    fault_count(w, SIM_FAULT_CLOCK_JUMP);
    trace_step(&w->trace, 'j', (uint64_t)ms, 0, 0);
    world_tell(w, NULL, TRACE_ALL, "==        the wall clock is set %s by %lld ms",
               ms < 0 ? "back" : "forward", (long long)(ms < 0 ? -ms : ms));
    world_tell_time(w); /* the witness hears of both, though nothing may happen in between */
    w->ms.wall_offset_ms += ms;
    if (w->ms.wall_offset_ms > fs->wall_offset_most_ms)
        fs->wall_offset_most_ms = w->ms.wall_offset_ms;
    world_tell_time(w);
}

static void jump(struct world *w, struct task *t)
{
    struct faults *fs = &w->faults;
    int64_t ms = chance_span(&fs->chance, 23); /* up to 2.3 hours */

    set_clock(w, chance_hits(&fs->chance, 500000) ? -ms : ms);
    task_start(w, t, jump, next_us(w, SIM_FAULT_CLOCK_JUMP));
}

static void stand_still(struct world *w, struct task *t)
{
    int64_t us = chance_span(&w->faults.chance, 30); /* up to 18 minutes */

    fault_count(w, SIM_FAULT_SUSPEND);
    trace_step(&w->trace, 'z', (uint64_t)us, 0, 0);
    world_tell(w, NULL, TRACE_ALL, "==        the machine stands still for %lld ms",
               (long long)us / 1000);
    manual_scheduler_advance_us(&w->ms, us);
    task_start(w, t, stand_still, next_us(w, SIM_FAULT_SUSPEND));
}

static void restart(struct world *w, struct task *t)
{
    if (w->process.is_listening && !w->process.is_draining) {
        fault_count(w, SIM_FAULT_RESTART);
        process_drain(w);
    }
    task_start(w, t, restart, next_us(w, SIM_FAULT_RESTART));
}

void faults_start(struct world *w)
{
    if (fault_is_on(w, SIM_FAULT_RESTART))
        task_start(w, &w->faults.restart, restart, next_us(w, SIM_FAULT_RESTART));
    if (fault_is_on(w, SIM_FAULT_CLOCK_JUMP))
        task_start(w, &w->faults.clock, jump, next_us(w, SIM_FAULT_CLOCK_JUMP));
    if (fault_is_on(w, SIM_FAULT_SUSPEND))
        task_start(w, &w->faults.suspend, stand_still, next_us(w, SIM_FAULT_SUSPEND));
}

/* The last that goes wrong, in some seeds: the clock is set back, and the process does not know, as it
 * starts only then. */
void faults_last(struct world *w)
{
    struct faults *fs = &w->faults;

    if (w->is_over || !w->process.is_running || !chance_hits(&fs->chance, 300000) ||
        !fault_is_on(w, SIM_FAULT_CLOCK_JUMP) || !fault_is_on(w, SIM_FAULT_CRASH) ||
        fs->n_crashes >= CRASHES_MAX || fs->n_crashes >= w->config.crashes_max)
        return;
    set_clock(w, -LAST_BACK_MS);
    fault_count(w, SIM_FAULT_CRASH);
    world_crash(w, "it is killed");
    world_run_until(w, world_now_us(w) + LAST_DOWN_US);
}

void faults_stop(struct world *w)
{
    w->faults.are_over = true;
    task_stop(w, &w->faults.clock);
    task_stop(w, &w->faults.suspend);
    task_stop(w, &w->faults.restart);
    w->faults.full_until_us = 0;
    /* Of what seems to lie ahead nobody can say how long it has been unsettled. */
    if (w->ms.wall_offset_ms < w->faults.wall_offset_most_ms)
        w->ms.wall_offset_ms = w->faults.wall_offset_most_ms;
    world_tell(w, NULL, TRACE_ALL, "==        no more faults");
    trace_step(&w->trace, 'n', 0, 0, 0);
}
