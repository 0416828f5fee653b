#include "world.h"
#include "orderly/base/mem.h"
#include <limits.h>

#define SECOND_US INT64_C(1000000)
#define DAY_MS (24 * 3600 * INT64_C(1000))
#define TICK_US 500000
/* A world that never comes to rest is a fault of its own. */
#define STEPS_AT_ONE_TIME_MAX 1000000

int64_t world_now_us(const struct world *w)
{
    return w->ms.now_us;
}

void world_tell_time(struct world *w)
{
    witness_time(w->witness, w->ms.now_us, scheduler_wall_ms(&w->ms.scheduler));
}

void task_start(struct world *w, struct task *t, void (*run)(struct world *w, struct task *t),
                int64_t delay_us)
{
    task_stop(w, t);
    t->run = run;
    heap_push(&w->tasks, &t->node, w->ms.now_us + delay_us);
}

void task_stop(struct world *w, struct task *t)
{
    if (heap_contains(&t->node))
        heap_remove(&w->tasks, &t->node);
}

/* ---- what the disk does ---------------------------------------------------------------------- */

static void restart(struct world *w, struct task *t)
{
    (void)t;
    process_start(w);
}

void world_restart(struct world *w)
{
    task_start(w, &w->restart, restart, chance_span(&w->faults.chance, 24));
}

void world_crash(struct world *w, const char *why)
{
    process_crash(w, why);
    world_restart(w);
}

/* When the writes, or reads, that wait now are done. */
static int64_t done_us(struct world *w, enum sim_fault slow)
{
    int64_t us = 50 + chance_span(&w->steps, 12);

    if (fault_hits(w, slow))
        us = chance_span(&w->faults.chance, 22);
    return w->ms.now_us + us;
}

/* The process ends inside the commit: the first n writes are durable or are not, the others are not,
 * and it never learns which. */
static void tear(struct world *w, uint32_t n)
{
    struct store_virtual *s = &w->process.store;
    bool is_durable = chance_hits(&w->faults.chance, 500000);
    struct list writes;

    trace_step(&w->trace, 'T', n, s->n_writes, is_durable);
    list_init(&writes);
    for (uint32_t i = 0; i < n; i++)
        list_push_back(&writes, list_pop_front(&s->writes_waiting));
    if (is_durable)
        (void)w->disk.engine.ops->apply(&w->disk.engine, &writes);
    list_init(&writes);
    w->commit_due_us = 0;
    world_crash(w, "it is killed inside a commit");
}

static void commit(struct world *w)
{
    struct store_virtual *s = &w->process.store;
    uint32_t n = STORE_VIRTUAL_ALL;
    struct mem_source *before;

    if (chance_hits(&w->steps, 400000))
        n = 1 + (uint32_t)chance_below(&w->steps, s->n_writes);
    w->disk.mood = SIM_DISK_FINE;
    if (w->ms.now_us < w->faults.full_until_us) {
        w->disk.mood = SIM_DISK_FULL;
    } else if (fault_hits(w, SIM_FAULT_STORE_FULL)) {
        w->faults.full_until_us = w->ms.now_us + chance_span(&w->faults.chance, 24);
        world_tell(w, NULL, TRACE_ALL, "==        the disk is full");
        if (chance_hits(&w->faults.chance, 500000) && n > 1 && s->n_writes > 1)
            store_virtual_fail_write(
                s, 1 + (uint32_t)chance_below(&w->faults.chance, n < s->n_writes ? n : s->n_writes),
                ERR_FULL);
        else
            w->disk.mood = SIM_DISK_FULL;
    } else if (fault_hits(w, SIM_FAULT_TORN)) {
        tear(w, n < s->n_writes ? n : s->n_writes);
        return;
    } else if (fault_hits(w, SIM_FAULT_STORE_FAILED)) {
        w->disk.mood =
            chance_hits(&w->faults.chance, 500000) ? SIM_DISK_FAILS_BEFORE : SIM_DISK_FAILS_AFTER;
    }
    trace_step(&w->trace, 'w', n, s->n_writes, w->disk.mood);
    before = process_enter(w);
    (void)store_virtual_run(s, n);
    process_leave(before);
    w->commit_due_us = 0;
    w->disk.mood = SIM_DISK_FINE;
    if (w->process.has_failed)
        world_crash(w, "a commit failed");
}

static void read_some(struct world *w)
{
    struct store_virtual *s = &w->process.store;
    uint32_t n = 1 + (uint32_t)chance_below(&w->steps, s->n_reads);
    struct mem_source *before = process_enter(w);

    s->reads_are_late = fault_hits(w, SIM_FAULT_LATE_READ);
    trace_step(&w->trace, 'd', n, s->n_reads, s->reads_are_late);
    (void)store_virtual_run_reads(s, n);
    process_leave(before);
    w->read_due_us = 0;
}

/* ---- what can happen now --------------------------------------------------------------------- */

enum step {
    STEP_TURN,
    STEP_ALARM,
    STEP_COMMIT,
    STEP_READ,
    STEP_TASK,
    STEP_SEND,
    STEP_TAKE,
    STEP_GIVE_UP,
    STEP_FOLLOW,
    STEP_HELD
};
struct choice {
    enum step step;
    unsigned which;
};
#define CHOICES_MAX (5 + 3 * (CLIENTS_MAX + CLIENTS_WAITING) + FOLLOWERS_MAX + PROCESS_HELD_MAX)

static unsigned add(struct choice *cs, unsigned n, enum step step, unsigned which)
{
    cs[n] = (struct choice){ step, which };
    return n + 1;
}

static unsigned add_process(struct world *w, struct choice *cs, unsigned n)
{
    struct process *p = &w->process;

    if (w->ms.is_awake)
        n = add(cs, n, STEP_TURN, 0);
    if (w->ms.alarm_ms != INT64_MAX && w->ms.alarm_ms <= w->ms.now_us / 1000)
        n = add(cs, n, STEP_ALARM, 0);
    if (p->store.n_writes > 0) {
        if (w->commit_due_us == 0)
            w->commit_due_us = done_us(w, SIM_FAULT_SLOW_COMMIT);
        if (w->commit_due_us <= w->ms.now_us)
            n = add(cs, n, STEP_COMMIT, 0);
    }
    if (p->store.n_reads > 0) {
        if (w->read_due_us == 0)
            w->read_due_us = done_us(w, SIM_FAULT_LATE_READ);
        if (w->read_due_us <= w->ms.now_us)
            n = add(cs, n, STEP_READ, 0);
    }
    for (unsigned i = 0; i < p->n_held; i++)
        if (p->held[i].due_us <= w->ms.now_us || w->faults.are_over)
            n = add(cs, n, STEP_HELD, i);
    return n;
}

static unsigned add_clients(struct world *w, struct choice *cs, unsigned n)
{
    for (unsigned i = 0; i < w->clients.n_all; i++) {
        const struct client *c = &w->clients.all[i];

        if (client_can_send(w, c))
            n = add(cs, n, STEP_SEND, i);
        if (client_can_read(w, c))
            n = add(cs, n, STEP_TAKE, i);
        else if (client_next_us(w, c) <= w->ms.now_us)
            n = add(cs, n, STEP_GIVE_UP, i);
    }
    for (unsigned i = 0; i < w->followers.n; i++)
        if (follower_next_us(w, &w->followers.all[i]) <= w->ms.now_us)
            n = add(cs, n, STEP_FOLLOW, i);
    return n;
}

static unsigned choices(struct world *w, struct choice *cs)
{
    struct heap_node *first = heap_peek(&w->tasks);
    unsigned n = 0;

    if (w->process.is_running) {
        n = add_process(w, cs, n);
        n = add_clients(w, cs, n);
    }
    if (first && first->key <= w->ms.now_us)
        n = add(cs, n, STEP_TASK, 0);
    return n;
}

/* ---- one step -------------------------------------------------------------------------------- */

static void run_task(struct world *w)
{
    struct heap_node *first = heap_peek(&w->tasks);
    struct task *t = container_of(first, struct task, node);

    heap_remove(&w->tasks, first);
    t->run(w, t);
}

static void run_turn(struct world *w, bool is_alarm)
{
    struct mem_source *before = process_enter(w);

    trace_step(&w->trace, is_alarm ? 'a' : 't', (uint64_t)w->ms.now_us, 0, 0);
    if (is_alarm)
        (void)manual_scheduler_run_alarm(&w->ms);
    else
        (void)manual_scheduler_run_turn(&w->ms);
    process_leave(before);
}

static void run_step(struct world *w, const struct choice *c)
{
    switch (c->step) {
    case STEP_TURN:
    case STEP_ALARM:
        run_turn(w, c->step == STEP_ALARM);
        break;
    case STEP_COMMIT:
        commit(w);
        break;
    case STEP_READ:
        read_some(w);
        break;
    case STEP_TASK:
        run_task(w);
        break;
    case STEP_SEND:
        client_send(w, &w->clients.all[c->which]);
        break;
    case STEP_TAKE:
        client_read(w, &w->clients.all[c->which]);
        break;
    case STEP_GIVE_UP:
        client_give_up(w, &w->clients.all[c->which]);
        break;
    case STEP_FOLLOW:
        follower_step(w, &w->followers.all[c->which]);
        break;
    case STEP_HELD:
        process_begin_held(w, c->which);
        break;
    }
}

static void after_step(struct world *w)
{
    if (w->process.is_running) {
        clients_turn(w);
        process_look(w);
    }
    if (witness_violation(w->witness)) {
        w->is_over = true;
        return;
    }
    if (process_ended(w)) {
        if (!w->is_stopping)
            world_restart(w);
    } else if (w->process.is_running && w->process.has_failed) {
        world_crash(w, "it can't begin");
    } else if (w->process.is_running && fault_hits(w, SIM_FAULT_CRASH)) {
        world_crash(w, "it is killed");
    }
    if (witness_violation(w->witness))
        w->is_over = true;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_due_us(const struct world *w)
{
    struct heap_node *first = heap_peek(&w->tasks);
    int64_t next = first ? first->key : INT64_MAX;

    if (!w->process.is_running)
        return next;
    if (w->ms.alarm_ms != INT64_MAX)
        next = earlier(next, w->ms.alarm_ms * 1000);
    if (w->process.store.n_writes > 0)
        next = earlier(next, w->commit_due_us);
    if (w->process.store.n_reads > 0)
        next = earlier(next, w->read_due_us);
    for (unsigned i = 0; i < w->process.n_held; i++)
        next = earlier(next, w->process.held[i].due_us);
    for (unsigned i = 0; i < w->clients.n_all; i++)
        next = earlier(next, client_next_us(w, &w->clients.all[i]));
    for (unsigned i = 0; i < w->followers.n; i++)
        next = earlier(next, follower_next_us(w, &w->followers.all[i]));
    return next;
}

static void tick(struct world *w)
{
    struct transport_acceptor *a = http_server_acceptor(&w->process.http);
    struct mem_source *before = process_enter(w);

    a->ops->tick(a);
    process_leave(before);
    clients_turn(w);
}

void world_run_until(struct world *w, int64_t until_us)
{
    unsigned at_once = 0;

    while (!w->is_over && !(w->is_stopping && !w->process.is_running)) {
        struct choice cs[CHOICES_MAX];
        unsigned n = choices(w, cs);

        world_tell_time(w); /* what the server may see: the clock may be set back after that */
        if (n > 0) {
            run_step(w, &cs[n == 1 ? 0 : chance_below(&w->steps, n)]);
            manual_scheduler_advance_us(&w->ms, (int64_t)(chance_next(&w->steps) & 31));
            after_step(w);
            if (++at_once > STEPS_AT_ONE_TIME_MAX)
                UNREACHABLE("the server comes to rest");
        } else {
            int64_t next = next_due_us(w);
            int64_t before = w->ms.now_us;

            at_once = 0;
            if (next > until_us) {
                if (until_us > w->ms.now_us)
                    manual_scheduler_advance_us(&w->ms, until_us - w->ms.now_us);
                return;
            }
            if (next > before)
                manual_scheduler_advance_us(&w->ms, next - before);
            if (w->process.is_running && w->ms.now_us / TICK_US != before / TICK_US)
                tick(w);
        }
    }
}

/* ---- the day after --------------------------------------------------------------------------- */

/* The wall clock moves on: the machine stands still, or its clock is set. */
static void go_to_wall_ms(struct world *w, int64_t wall_ms)
{
    int64_t ms = wall_ms - scheduler_wall_ms(&w->ms.scheduler);

    if (ms <= 0)
        return;
    trace_step(&w->trace, 'o', (uint64_t)ms, 0, 0);
    world_tell(w, NULL, TRACE_ALL, "==        %lld ms go by at once", (long long)ms);
    manual_scheduler_advance_us(&w->ms, ms * 1000);
    world_run_until(w, w->ms.now_us + SECOND_US);
}

static void repeat(struct world *w, const struct wish *r, enum sim_fault f)
{
    fault_count(w, f);
    wish_start(w, wish_repeat(w, r), 0);
    world_run_until(w, w->ms.now_us + 2 * SECOND_US);
}

/* What was kept is said again shortly before its key is forgotten, and shortly after. */
static void repeat_a_day_later(struct world *w)
{
    struct list *kept = &w->clients.kept;

    if (!fault_is_on(w, SIM_FAULT_BEFORE_24H) && !fault_is_on(w, SIM_FAULT_AFTER_24H))
        return;
    list_for_each(at, kept)
    {
        const struct wish *r = container_of(at, struct wish, link);

        if (w->is_over)
            return;
        if (chance_hits(&w->faults.chance, w->faults.ppm[SIM_FAULT_BEFORE_24H])) {
            go_to_wall_ms(w, r->asked_wall_ms + DAY_MS - 5000 - chance_span(&w->faults.chance, 12));
            if (scheduler_wall_ms(&w->ms.scheduler) < r->asked_wall_ms + DAY_MS)
                repeat(w, r, SIM_FAULT_BEFORE_24H);
        }
        if (chance_hits(&w->faults.chance, w->faults.ppm[SIM_FAULT_AFTER_24H])) {
            go_to_wall_ms(w, r->answered_wall_ms + DAY_MS + 1 + chance_span(&w->faults.chance, 12));
            repeat(w, r, SIM_FAULT_AFTER_24H);
        }
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void no_log(struct log *l, enum log_level level, const char *event,
                   const struct log_field *fields, unsigned n_fields)
{
    (void)l;
    (void)level;
    (void)event;
    (void)fields;
    (void)n_fields;
}

/* Small bounds in some seeds, so that what lies beyond them is walked too. */
static void choose_config(struct world *w)
{
    struct chance c = chance_of_seed(w->config.seed, 'g', 0);
    struct app_config *a = &w->app_config;

    *a = app_config_default;
    a->simulators = simulators_default;
    a->audit = chance_hits(&c, 250000);
    a->products_max = 100;
    a->followers_max = 4;
    if (chance_hits(&c, 300000))
        a->bus_window = 1 + (unsigned)chance_span(&c, 6);
    if (chance_hits(&c, 300000))
        a->cache_bytes_max = 4096 + (size_t)chance_span(&c, 16);
    if (chance_hits(&c, 300000))
        a->payment_timeout_ms = chance_hits(&c, 100000) ? 0 : 5000 + chance_span(&c, 20);
    if (chance_hits(&c, 500000))
        w->stream_queue_max = 1000 + (size_t)chance_span(&c, 16);
    if (chance_hits(&c, 200000))
        a->retries = (unsigned)chance_below(&c, 3);
}

static void world_init(struct world *w, const struct sim_config *config)
{
    memset(w, 0, sizeof(*w));
    w->config = *config;
    manual_scheduler_init(&w->ms);
    w->started_us = w->ms.now_us;
    trace_init(&w->trace, config->tells, w->started_us);
    seeded_random_init(&w->random, config->seed * UINT64_C(0x9E3779B97F4A7C15) + 1);
    w->steps = chance_of_seed(config->seed, 's', 0);
    w->wishes = chance_of_seed(config->seed, 'w', 0);
    heap_init(&w->tasks);
    w->log = (struct log){ .write = no_log, .least = LOG_ERROR };
    choose_config(w);
    sim_disk_init(&w->disk);
    faults_init(w);
    clients_init(w);
    followers_init(w);
    relay_init(w);
    outside_init(w);
    process_start(w);
    w->witness = witness_create(&(struct witness_config){
        .bus = app_bus(w->process.app),
        .seed = config->seed,
        .payment_timeout_ms = w->app_config.payment_timeout_ms,
        .retries = w->app_config.retries,
        .lacks_inventory = !(w->app_config.contexts & CONTEXT_BIT(INVENTORY)),
    });
    shop_init(w);
}

static void world_deinit(struct world *w)
{
    if (w->process.is_running)
        process_memory_drop(&w->process.memory);
    clients_deinit(w);
    outside_deinit(w);
    shop_deinit(w);
    witness_destroy(w->witness);
    sim_disk_deinit(&w->disk);
    heap_deinit(&w->tasks);
    trace_deinit(&w->trace);
}

struct last_look {
    struct store_read read;
    struct world *w;
};

static void look_at_the_end(struct store_read *r, const struct store_view *v)
{
    witness_finished(container_of(r, struct last_look, read)->w->witness, v);
}

static int64_t clock_that_stands(void)
{
    return 0;
}

static void judge_the_end(struct world *w)
{
    struct last_look look = { .read = { .run = look_at_the_end }, .w = w };

    if (w->is_over)
        return;
    world_tell_time(w);
    followers_finished(w);
    engine_run_read(&w->disk.engine, clock_that_stands, INT64_MAX, &look.read);
    if (witness_violation(w->witness))
        w->is_over = true;
}

static int plan_of(const struct world *w, const struct order_id *id)
{
    for (unsigned i = 0; i < w->shop.n_plans; i++)
        if (w->shop.plans[i].is_placed && uuid_eq(w->shop.plans[i].id.u, id->u))
            return (int)i;
    return -1;
}

#define STORY_LINES_MAX 400
#define LAST_LINES_MAX 60

static void note_outcome(struct world *w, struct sim_outcome *out, struct buf *story)
{
    const struct sim_violation *v = witness_violation(w->witness);

    memset(out, 0, sizeof(*out));
    out->is_violated = v != NULL;
    if (v)
        out->violation = *v;
    out->trace = trace_sum(&w->trace);
    witness_counts(w->witness, &out->counts);
    out->steps = w->trace.n_steps;
    out->requests = w->clients.n_requests;
    out->orders = w->shop.n_plans + probe_orders(w);
    memcpy(out->faults, w->faults.counts, sizeof(out->faults));
    out->simulated_us = w->ms.now_us - w->started_us;
    if (story)
        trace_print(&w->trace, v && v->has_order ? &v->order.u : NULL,
                    v && v->has_order ? plan_of(w, &v->order) : -1, v ? STORY_LINES_MAX : SIZE_MAX,
                    story);
}

static void stop_in_order(struct world *w)
{
    if (w->is_over)
        return;
    w->is_stopping = true;
    process_drain(w);
    world_run_until(w, w->ms.now_us + 60 * SECOND_US);
    ENSURE(w->is_over || !w->process.is_running);
}

static struct world *told; /* for who asks after an abort */

void sim_tell_last(struct buf *out)
{
    (void)mem_use(NULL);
    if (told)
        trace_print(&told->trace, NULL, TRACE_NONE, LAST_LINES_MAX, out);
}

void sim_run(const struct sim_config *config, struct sim_outcome *out, struct buf *story)
{
    struct world *w = mem_alloc(sizeof(*w));
    int64_t duration_us = config->hours * 3600 * SECOND_US;

    told = w;
    world_init(w, config);
    shop_open(w, duration_us);
    faults_start(w);
    world_run_until(w, w->started_us + duration_us);
    repeat_a_day_later(w);
    faults_last(w);
    faults_stop(w);
    finish_run(w);
    judge_the_end(w);
    stop_in_order(w);
    note_outcome(w, out, story);
    told = NULL;
    world_deinit(w);
    mem_free(w);
}
