#include "rows/busy_app.h"
#include "orderly/app/app.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/store_virtual.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/infra/virtual/seeded_random.h"
#include <stdio.h>

#define SKU "WIDGET-001"
#define EVENTS_PER_ORDER 7
#define STEP_US 1000
#define CURSORS_US 2000000 /* after which cursors and counts are written */

struct one_order {
    struct place_order command;
    struct requested_line line;
    struct busy_app *owner;
    struct arena arena;
    bool is_under_way;
};

struct busy_app {
    struct busy_app_config config;
    struct store_virtual store;
    struct manual_scheduler scheduler;
    struct seeded_random random;
    struct log log;
    struct app *app;
    struct one_order *slots;
    unsigned n_slots, n_started, n_answered;
    bool is_ready, is_drained;
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
    struct busy_app *b = ctx;

    REQUIRE(status == ERR_OK);
    b->is_ready = true;
}

/* Everything that can be done at this time but committing. */
static void run_app(struct busy_app *b)
{
    bool did;

    do {
        did = manual_scheduler_run_turn(&b->scheduler);
        did |= store_virtual_run_reads(&b->store, UINT32_MAX) > 0;
        did |= manual_scheduler_run_alarm(&b->scheduler);
    } while (did);
}

static void run_to_the_end(struct busy_app *b)
{
    do
        run_app(b);
    while (store_virtual_run(&b->store, STORE_VIRTUAL_ALL) > 0);
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

static void add_product(struct busy_app *b, unsigned stock)
{
    struct add_product c = {
        .command = { .app = b->app, .render = on_render, .done = on_product_added },
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
    run_to_the_end(b);
    arena_deinit(&arena);
}

static void on_order_answered(struct command *c)
{
    struct one_order *o =
        container_of(container_of(c, struct place_order, command), struct one_order, command);

    o->is_under_way = false;
    o->owner->n_answered++;
}

static void start_order(struct busy_app *b, struct one_order *o)
{
    char customer[40];
    int n = snprintf(customer, sizeof(customer), "customer-%u", ++b->n_started);

    arena_reset(&o->arena);
    o->is_under_way = true;
    o->line = (struct requested_line){
        .sku = the_sku(),
        .quantity = 1,
        .unit_price = STR("19.99"),
    };
    o->command = (struct place_order){
        .command = { .app = b->app,
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

static uint64_t events_of(const struct busy_app *b)
{
    return app_event_log(b->app)->durable_position;
}

/* Those that are not SHIPPED, by the events that are there. */
static unsigned under_way(const struct busy_app *b, uint64_t events_before)
{
    return b->n_started - (unsigned)((events_of(b) - events_before) / EVENTS_PER_ORDER);
}

static bool start_orders(struct busy_app *b, unsigned orders, uint64_t events_before)
{
    unsigned n = under_way(b, events_before);
    bool did = false;

    for (unsigned i = 0; i < b->n_slots && b->n_started < orders && n < b->n_slots; i++) {
        if (b->slots[i].is_under_way)
            continue;
        if (app_is_crowded(b->app))
            break;
        start_order(b, &b->slots[i]);
        n++;
        did = true;
    }
    return did;
}

/* Orders of all stages share a commit, as in a server that is busy. */
void busy_app_place(struct busy_app *b, unsigned orders,
                    void (*progress)(void *ctx, uint64_t events), void *ctx)
{
    uint64_t before = events_of(b);
    uint64_t wanted = before + (uint64_t)orders * EVENTS_PER_ORDER;

    b->n_started = b->n_answered = 0;
    while (events_of(b) < wanted) {
        bool did = start_orders(b, orders, before);

        run_app(b);
        did |= store_virtual_run(&b->store, b->config.commit_writes_max) > 0;
        manual_scheduler_advance_us(&b->scheduler, STEP_US);
        run_app(b);
        if (!did)
            UNREACHABLE("the orders do not get to their end");
        if (progress)
            progress(ctx, events_of(b) - before);
    }
    run_to_the_end(b);
    REQUIRE(b->n_answered == orders);
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

struct busy_app *busy_app_create(const struct busy_app_config *config)
{
    struct app_config app_config = config_of();
    struct busy_app *b = mem_zalloc(sizeof(*b));

    b->config = *config;
    b->log = (struct log){ .write = no_line, .least = LOG_ERROR };
    manual_scheduler_init(&b->scheduler);
    if (config->wall_ms)
        b->scheduler.wall_offset_ms = config->wall_ms - b->scheduler.now_us / 1000;
    seeded_random_init(&b->random, 1);
    store_virtual_init(&b->store, config->engine);
    b->app = app_create(&app_config, &b->scheduler.scheduler, &b->store.port, &b->random.random,
                        &b->log);
    b->n_slots = config->in_flight;
    b->slots = mem_zalloc(b->n_slots * sizeof(*b->slots));
    for (unsigned i = 0; i < b->n_slots; i++) {
        b->slots[i].owner = b;
        arena_init(&b->slots[i].arena, NULL, 0);
    }
    app_start(b->app, on_ready, b);
    run_to_the_end(b);
    REQUIRE(b->is_ready);
    add_product(b, config->stock);
    return b;
}

static void on_drained(void *ctx)
{
    struct busy_app *b = ctx;

    b->is_drained = true;
}

void busy_app_destroy(struct busy_app *b)
{
    manual_scheduler_advance_us(&b->scheduler, CURSORS_US);
    run_to_the_end(b);
    app_drain(b->app, on_drained, b);
    while (!b->is_drained) {
        manual_scheduler_advance_us(&b->scheduler, STEP_US);
        run_to_the_end(b);
    }
    for (unsigned i = 0; i < b->n_slots; i++)
        arena_deinit(&b->slots[i].arena);
    mem_free(b->slots);
    app_destroy(b->app);
    store_virtual_deinit(&b->store);
    mem_free(b);
}
