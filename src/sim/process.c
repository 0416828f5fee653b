/* The simulated server: built from the same parts as the real one, on other ports. */
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "world.h"

struct mem_source *process_enter(struct world *w)
{
    return mem_use(&w->process.memory.source);
}

void process_leave(struct mem_source *before)
{
    (void)mem_use(before);
}

#define DRAIN_US INT64_C(10000000)

static struct world *world_of_tap(struct bus_tap *t)
{
    return container_of(t, struct world, process.tap);
}

/* ---- what is seen of it ---------------------------------------------------------------------- */

static void tell_delivery(struct world *w, const struct delivery *d, const char *what)
{
    const struct event *e = &d->message->event;

    world_tell(w, &e->lane.u, TRACE_NONE, "%-9s %s #%llu, attempt %u: %s",
               d->subscription->config.name, event_infos[e->type].type.p,
               (unsigned long long)e->position, d->attempt, what);
}

static void on_handed_over(struct bus_tap *t, const struct delivery *d)
{
    struct world *w = world_of_tap(t);
    struct mem_source *before = mem_use(NULL);

    world_tell_time(w);
    trace_step(&w->trace, 'h', d->subscription->config.id, d->message->event.position, d->attempt);
    tell_delivery(w, d, "handed over");
    witness_handed_over(w->witness, d);
    (void)mem_use(before);
}

static void on_ended(struct bus_tap *t, const struct delivery *d, enum delivery_end how)
{
    static const char *const names[] = {
        [DELIVERY_DONE] = "done", [DELIVERY_FAILED] = "failed", [DELIVERY_UNAVAILABLE] = "not now"
    };
    struct world *w = world_of_tap(t);
    struct mem_source *before = mem_use(NULL);

    world_tell_time(w);
    trace_step(&w->trace, 'e', d->subscription->config.id, d->message->event.position, how);
    tell_delivery(w, d, names[how]);
    witness_ended(w->witness, d, how);
    (void)mem_use(before);
}

static void tell_event(struct world *w, const struct store_row *row)
{
    struct arena arena;
    struct event e;

    arena_init(&arena, NULL, 0);
    if (event_decode(row->value, bytes_get_u64(row->key.p), &e, &arena) == ERR_OK)
        world_tell(w, &e.lane.u, TRACE_NONE, "          %s #%llu is durable (%s " STR_FMT " %llu)",
                   event_infos[e.type].type.p, (unsigned long long)e.position,
                   aggregate_name(e.stream.type).p, STR_ARG(text_id_str(&e.stream.id)),
                   (unsigned long long)e.sequence);
    arena_deinit(&arena);
}

static void on_committed(void *ctx, const struct list *writes)
{
    struct world *w = ctx;
    unsigned n = 0, n_rows = 0;

    world_tell_time(w);
    list_for_each(at, writes)
    {
        const struct store_write *write = container_of(at, struct store_write, link);

        n++;
        n_rows += write->n_rows;
        for (unsigned i = 0; w->trace.tells && i < write->n_rows; i++)
            if (write->rows[i].db == DB_EVENTS)
                tell_event(w, &write->rows[i]);
    }
    trace_step(&w->trace, 'c', n, n_rows, (uint64_t)world_now_us(w));
    witness_committed(w->witness, writes);
}

/* ---- handlers in the way --------------------------------------------------------------------- */

static bool is_poisoned(struct world *w, const struct delivery *d)
{
    uint64_t mix = 0;
    struct chance c;

    if (!fault_is_on(w, SIM_FAULT_POISON))
        return false;
    memcpy(&mix, d->message->event.lane.u.b + 8, sizeof(mix));
    c = chance_of_seed(w->config.seed, mix, d->subscription->config.id);
    if (!chance_hits(&c, w->faults.ppm[SIM_FAULT_POISON]))
        return false;
    fault_count(w, SIM_FAULT_POISON);
    return true;
}

static void fail(struct world *w, struct delivery *d)
{
    const struct failure f = { .code = FAILURE_CODE_HANDLER_FAILED,
                               .detail = STR("The simulation lets it fail.") };
    struct mem_source *before = mem_use(NULL);

    world_tell_time(w);
    tell_delivery(w, d, "made to fail");
    witness_fails(w->witness, d, f.code);
    (void)mem_use(before);
    delivery_failed(d, &f);
}

static bool is_overtaken(const struct held *h, const struct delivery *by)
{
    return h->delivery->subscription == by->subscription &&
           h->delivery->message->event.position < by->message->event.position &&
           !uuid_eq(h->delivery->message->event.lane.u, by->message->event.lane.u);
}

static void count_overtaken(struct world *w, const struct delivery *by)
{
    struct process *p = &w->process;

    for (unsigned i = 0; i < p->n_held; i++) {
        if (!p->held[i].overtaken && is_overtaken(&p->held[i], by)) {
            p->held[i].overtaken = true;
            fault_count(w, SIM_FAULT_REORDER);
        }
    }
}

static void sim_handle(struct subscription *s, struct delivery *d)
{
    struct world *w = world_of_tap(s->bus->tap);
    struct process *p = &w->process;

    count_overtaken(w, d);
    if (is_poisoned(w, d) || fault_hits(w, SIM_FAULT_HANDLER_FAILURE)) {
        fail(w, d);
    } else if (fault_hits(w, SIM_FAULT_UNAVAILABLE)) {
        delivery_unavailable(d);
    } else if (p->n_held < PROCESS_HELD_MAX && fault_hits(w, SIM_FAULT_DELAY)) {
        p->held[p->n_held++] = (struct held){
            .delivery = d,
            .due_us = world_now_us(w) + chance_span(&w->faults.chance, 22),
        };
    } else {
        p->handles[s->config.id](s, d);
    }
}

void process_begin_held(struct world *w, unsigned n)
{
    struct process *p = &w->process;
    struct delivery *d = p->held[n].delivery;
    struct mem_source *before = process_enter(w);

    p->held[n] = p->held[--p->n_held];
    p->handles[d->subscription->config.id](d->subscription, d);
    process_leave(before);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void on_ready(void *ctx, enum err status)
{
    struct world *w = ctx;

    /* Which contexts a server has, where that is not all, is durable before it begins: there was no
     * room for it, and the server ends and is started again, as anybody would do. */
    REQUIRE(status == ERR_OK || (status == ERR_FULL && w->outside.is_there));
    w->process.is_listening = status == ERR_OK;
    w->process.has_failed |= status != ERR_OK;
}

static void on_fatal(void *ctx, enum err why)
{
    struct world *w = ctx;

    (void)why;
    w->process.has_failed = true;
}

static void on_drained(void *ctx)
{
    struct world *w = ctx;

    w->process.is_drained = true;
}

static void put_in_the_way(struct world *w)
{
    struct process *p = &w->process;
    struct bus *bus = app_bus(p->app);

    p->tap = (struct bus_tap){ .handed_over = on_handed_over, .ended = on_ended };
    bus->tap = &p->tap;
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        struct subscription *s = bus->subscriptions[i];

        if (!s)
            continue;
        p->handles[i] = s->handle;
        s->handle = sim_handle;
    }
}

static void open_http(struct world *w)
{
    struct process *p = &w->process;
    struct http_config http;

    p->api = api_create(&(struct api_config){
        .app = p->app, .log = &w->log, .version = STR("0"), .epoch = STR("0123456789abcdef") });
    memset(&http, 0, sizeof(http));
    http_limits_set_defaults(&http.limits);
    if (w->stream_queue_max > 0)
        http.limits.stream_queue_max = w->stream_queue_max;
    http.handler = api_handler(p->api);
    http.clock = &w->ms.scheduler;
    random_fill(&w->random.random, &http.map_key, sizeof(http.map_key));
    http_server_init(&p->http, &http);
    api_attach(p->api, &p->http);
}

void process_start(struct world *w)
{
    struct process *p = &w->process;
    struct mem_source *before;

    REQUIRE(!p->is_running);
    process_memory_init(&p->memory);
    before = process_enter(w);
    store_virtual_init(&p->store, &w->disk.engine);
    p->store.on_fatal = on_fatal;
    p->store.fatal_ctx = w;
    p->app =
        app_create(&w->app_config, &w->ms.scheduler, &p->store.port, &w->random.random, &w->log);
    relay_add(w);
    outside_add(w);
    put_in_the_way(w);
    app_start(p->app, on_ready, w);
    open_http(w);
    process_leave(before);
    p->is_running = true;
    p->is_told = p->n_starts == 0; /* the witness is made with the first process's bus */
    p->is_listening = p->has_failed = p->is_draining = p->is_drained = false;
    p->n_held = 0;
    w->commit_due_us = w->read_due_us = 0;
    trace_step(&w->trace, 's', p->n_starts++, (uint64_t)world_now_us(w), 0);
    world_tell(w, NULL, TRACE_ALL, "==        the process starts");
    w->disk.committed = on_committed;
    w->disk.ctx = w;
}

/* The bus has what was stored before it hands anything over, so the witness may hear of it. */
void process_look(struct world *w)
{
    struct process *p = &w->process;
    struct str why;

    if (!p->is_running || p->is_told)
        return;
    (void)app_is_ready(p->app, &why);
    if (str_eq(why, STR("starting")))
        return;
    p->is_told = true;
    world_tell_time(w);
    witness_started(w->witness, app_bus(p->app));
}

struct crash_look {
    struct store_read read;
    struct world *w;
};

static void look_at_what_is_left(struct store_read *r, const struct store_view *v)
{
    struct crash_look *look = container_of(r, struct crash_look, read);

    witness_crashed(look->w->witness, v);
}

static int64_t clock_that_stands(void)
{
    return 0;
}

void process_crash(struct world *w, const char *why)
{
    struct process *p = &w->process;
    struct crash_look look = { .read = { .run = look_at_what_is_left }, .w = w };

    REQUIRE(p->is_running);
    trace_step(&w->trace, 'x', (uint64_t)world_now_us(w), p->store.n_writes, p->memory.n_blocks);
    world_tell(w, NULL, TRACE_ALL, "==        the process ends: %s", why);
    w->faults.n_crashes++;
    task_stop(w, &p->deadline);
    clients_lose_all(w);
    relay_lose_all(w);
    outside_lose_all(w);
    process_memory_drop(&p->memory);
    p->is_running = p->is_listening = false;
    w->disk.mood = SIM_DISK_FINE;
    w->ms.is_awake = false;
    w->ms.alarm_ms = INT64_MAX;
    world_tell_time(w);
    engine_run_read(&w->disk.engine, clock_that_stands, INT64_MAX, &look.read);
}

/* ---- ended in order -------------------------------------------------------------------------- */

/* As the server does after --drain: it leaves, and what is unfinished is delivered again. */
static void on_deadline(struct world *w, struct task *t)
{
    (void)t;
    process_crash(w, "the drain took too long");
    world_restart(w);
}

void process_drain(struct world *w)
{
    struct process *p = &w->process;
    struct mem_source *before = process_enter(w);

    trace_step(&w->trace, 'q', (uint64_t)world_now_us(w), 0, 0);
    world_tell(w, NULL, TRACE_ALL, "==        the process is asked to end");
    p->is_draining = true;
    http_server_drain(&p->http);
    relay_drain(w);
    outside_drain(w);
    app_drain(p->app, on_drained, w);
    process_leave(before);
    task_start(w, &p->deadline, on_deadline, DRAIN_US);
}

bool process_ended(struct world *w)
{
    struct process *p = &w->process;
    struct crash_look look = { .read = { .run = look_at_what_is_left }, .w = w };
    struct mem_source *before;

    if (!p->is_running || !p->is_drained || p->http.counters.connections_open > 0 ||
        p->store.n_reads > 0)
        return false;
    task_stop(w, &p->deadline);
    relay_lose_all(w);
    outside_lose_all(w);
    trace_step(&w->trace, 'y', (uint64_t)world_now_us(w), 0, 0);
    world_tell(w, NULL, TRACE_ALL, "==        the process has ended in order");
    clients_close_all(w);
    before = process_enter(w);
    http_server_deinit(&p->http);
    api_destroy(p->api);
    app_destroy(p->app);
    outside_remove(w);
    store_virtual_deinit(&p->store);
    process_leave(before);
    ENSURE(p->memory.n_blocks == 0); /* whatever it took it has given back */
    p->is_running = p->is_listening = false;
    w->ms.is_awake = false;
    w->ms.alarm_ms = INT64_MAX;
    world_tell_time(w);
    engine_run_read(&w->disk.engine, clock_that_stands, INT64_MAX, &look.read);
    return true;
}
