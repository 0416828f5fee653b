#include "rows/made_rows.h"
#include "orderly/app/app.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_virtual.h"
#include "support/manual_scheduler.h"
#include "support/seeded_random.h"
#include <stdio.h>

#define SKU "WIDGET-001"
#define EVENTS_PER_ORDER 7

/* An engine that keeps what it is given to write, and lets another one do the rest. */
struct recorder {
    struct engine engine;
    struct engine *memory;
    struct made_rows *rows;
};

struct one_order {
    struct place_order command;
    struct requested_line line;
    struct maker *maker;
    struct arena arena;
    bool is_under_way;
};

struct maker {
    struct recorder recorder;
    struct store_virtual store;
    struct manual_scheduler scheduler;
    struct seeded_random random;
    struct log log;
    struct app *app;
    struct one_order *slots;
    unsigned n_slots, n_started, n_answered;
    bool is_ready;
};

/* ---- keeping -------------------------------------------------------------------- */

static struct maker *maker_of(struct engine *e)
{
    return container_of(e, struct maker, recorder.engine);
}

static void keep(struct made_rows *m, const struct store_write *w)
{
    struct store_row *rows = arena_alloc(&m->arena, w->n_rows * sizeof(*rows));

    for (unsigned i = 0; i < w->n_rows; i++) {
        rows[i] = w->rows[i];
        rows[i].key = arena_str(&m->arena, w->rows[i].key);
        rows[i].value = arena_str(&m->arena, w->rows[i].value);
    }
    if (m->n_writes == m->writes_cap) {
        m->writes_cap = m->writes_cap ? 2 * m->writes_cap : 65536;
        m->writes = mem_realloc(m->writes, m->writes_cap * sizeof(*m->writes));
    }
    m->writes[m->n_writes++] = (struct store_write){
        .rows = rows,
        .n_rows = w->n_rows,
        .n_events = w->n_events,
        .n_bytes = w->n_bytes,
    };
    m->n_events += w->n_events;
    m->n_rows += w->n_rows;
    m->n_bytes += w->n_bytes;
}

static enum err recorder_apply(struct engine *e, const struct list *writes)
{
    struct recorder *r = &maker_of(e)->recorder;

    list_for_each(at, writes) keep(r->rows, container_of(at, struct store_write, link));
    return r->memory->ops->apply(r->memory, writes);
}

static enum err recorder_view_begin(struct engine *e, void **txn)
{
    struct engine *m = maker_of(e)->recorder.memory;

    return m->ops->view_begin(m, txn);
}

static void recorder_view_end(struct engine *e, void *txn)
{
    struct engine *m = maker_of(e)->recorder.memory;

    m->ops->view_end(m, txn);
}

static enum err recorder_get(struct engine *e, void *txn, enum store_db db, struct str key,
                             struct arena *a, struct str *value)
{
    struct engine *m = maker_of(e)->recorder.memory;

    return m->ops->get(m, txn, db, key, a, value);
}

static enum err recorder_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                              struct str key, struct arena *a, struct str *found_key,
                              struct str *value)
{
    struct engine *m = maker_of(e)->recorder.memory;

    return m->ops->seek(m, txn, db, how, key, a, found_key, value);
}

static void recorder_stats(struct engine *e, struct store_stats *out)
{
    struct engine *m = maker_of(e)->recorder.memory;

    m->ops->stats(m, out);
}

static const struct engine_ops recorder_ops = {
    .apply = recorder_apply,
    .view_begin = recorder_view_begin,
    .view_end = recorder_view_end,
    .get = recorder_get,
    .seek = recorder_seek,
    .stats = recorder_stats,
};

/* ---- the app -------------------------------------------------------------------- */

static void no_line(struct log *l, enum log_level level, const char *event,
                    const struct log_field *fields, unsigned n_fields)
{
    (void)l;
    (void)level;
    (void)event;
    (void)fields;
    (void)n_fields;
}

static void on_ready(void *ctx, enum err status)
{
    struct maker *m = ctx;

    REQUIRE(status == ERR_OK);
    m->is_ready = true;
}

/* Everything that can be done at this time but committing. */
static void run_app(struct maker *m)
{
    bool did;

    do {
        did = manual_scheduler_run_turn(&m->scheduler);
        did |= store_virtual_run_reads(&m->store, UINT32_MAX) > 0;
        did |= manual_scheduler_run_alarm(&m->scheduler);
    } while (did);
}

static void run_to_the_end(struct maker *m)
{
    do
        run_app(m);
    while (store_virtual_run(&m->store, STORE_VIRTUAL_ALL) > 0);
}

static struct sku the_sku(void)
{
    struct sku sku;

    if (!sku_parse(STR(SKU), &sku))
        UNREACHABLE("it is a SKU");
    return sku;
}

static void on_render(struct command *c, const struct reply *r)
{
    REQUIRE(r->code == REPLY_CREATED || r->code == REPLY_ACCEPTED);
    c->answer.content_type = STR("application/json");
}

static void on_product_added(struct command *c)
{
    (void)c;
}

static void add_product(struct maker *m, unsigned stock)
{
    struct add_product c = {
        .command = { .app = m->app, .render = on_render, .done = on_product_added },
        .sku = the_sku(),
        .name = STR("Widget"),
        .price = STR("19.99"),
        .currency = STR("USD"),
        .stock = stock,
    };
    struct arena arena;

    arena_init(&arena, NULL, 0);
    c.command.arena = &arena;
    add_product_start(&c);
    run_to_the_end(m);
    arena_deinit(&arena);
}

static void on_order_answered(struct command *c)
{
    struct one_order *o =
        container_of(container_of(c, struct place_order, command), struct one_order, command);

    o->is_under_way = false;
    o->maker->n_answered++;
}

static void start_order(struct maker *m, struct one_order *o)
{
    char customer[40];
    int n = snprintf(customer, sizeof(customer), "customer-%u", ++m->n_started);

    arena_reset(&o->arena);
    o->is_under_way = true;
    o->line = (struct requested_line){
        .sku = the_sku(),
        .quantity = 1,
        .unit_price = STR("19.99"),
    };
    o->command = (struct place_order){
        .command = { .app = m->app,
                     .arena = &o->arena,
                     .render = on_render,
                     .done = on_order_answered },
        .flow = FLOW_STOCK_FIRST,
        .currency = STR("USD"),
        .lines = &o->line,
        .n_lines = 1,
        .address = { .street = STR("1 Main St"),
                     .city = STR("Springfield"),
                     .state = STR("IL"),
                     .postal_code = STR("62701"),
                     .country = STR("US") },
    };
    if (!text_id_parse((struct str){ customer, (size_t)n }, &o->command.customer_id.t))
        UNREACHABLE("it is a customer");
    place_order_start(&o->command);
}

/* Those that are not SHIPPED, by the events that are there. */
static unsigned under_way(const struct maker *m, uint64_t events_before)
{
    uint64_t done = (m->recorder.rows->n_events - events_before) / EVENTS_PER_ORDER;

    return m->n_started - (unsigned)done;
}

/* Orders of all stages share a commit, as in a server that is busy. */
static void make_orders(struct maker *m, unsigned orders)
{
    uint64_t before = m->recorder.rows->n_events;
    uint64_t wanted = before + (uint64_t)orders * EVENTS_PER_ORDER;

    while (m->recorder.rows->n_events < wanted) {
        bool did = false;

        for (unsigned i = 0; i < m->n_slots && m->n_started < orders; i++)
            if (!m->slots[i].is_under_way && under_way(m, before) < m->n_slots &&
                !app_is_crowded(m->app)) {
                start_order(m, &m->slots[i]);
                did = true;
            }
        run_app(m);
        did |= store_virtual_run(&m->store, STORE_BATCH_EVENTS_MAX) > 0;
        manual_scheduler_advance_us(&m->scheduler, 1000);
        if (!did)
            UNREACHABLE("the orders do not get to their end");
    }
    run_to_the_end(m);
    REQUIRE(m->n_answered == orders);
}

static struct app_config config_of(void)
{
    struct app_config c = app_config_default;

    c.audit = false;
    c.simulators = simulators_default;
    for (unsigned i = 0; i < FLOW_COUNT; i++)
        c.simulators.payments.delay_ms[i] = c.simulators.inventory.delay_ms[i] =
            c.simulators.shipments.delay_ms[i] = 0;
    return c;
}

void made_rows_init(struct made_rows *rows, unsigned orders, unsigned in_flight)
{
    struct app_config config = config_of();
    struct maker *m = mem_zalloc(sizeof(*m));

    memset(rows, 0, sizeof(*rows));
    arena_init(&rows->arena, NULL, 0);
    m->recorder = (struct recorder){
        .engine.ops = &recorder_ops,
        .memory = memory_engine_create((uint64_t)orders * 2 * EVENTS_PER_ORDER + 1000),
        .rows = rows,
    };
    m->log = (struct log){ .write = no_line, .least = LOG_ERROR };
    manual_scheduler_init(&m->scheduler);
    seeded_random_init(&m->random, 1);
    store_virtual_init(&m->store, &m->recorder.engine);
    m->app =
        app_create(&config, &m->scheduler.scheduler, &m->store.port, &m->random.random, &m->log);
    app_start(m->app, on_ready, m);
    run_to_the_end(m);
    REQUIRE(m->is_ready);
    add_product(m, orders);
    rows->first_order_write = rows->n_writes;

    m->n_slots = in_flight;
    m->slots = mem_zalloc(in_flight * sizeof(*m->slots));
    for (unsigned i = 0; i < in_flight; i++) {
        m->slots[i].maker = m;
        arena_init(&m->slots[i].arena, NULL, 0);
    }
    make_orders(m, orders);

    for (unsigned i = 0; i < in_flight; i++)
        arena_deinit(&m->slots[i].arena);
    mem_free(m->slots);
    app_destroy(m->app);
    store_virtual_deinit(&m->store);
    memory_engine_destroy(m->recorder.memory);
    mem_free(m);
}

void made_rows_deinit(struct made_rows *rows)
{
    arena_deinit(&rows->arena);
    mem_free(rows->writes);
}
