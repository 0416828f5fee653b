#include "orderly/app/app.h"
#include "app_private.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

#define TURN_APPENDS_MAX 128
#define TURN_FINISHED_MAX 256
#define TURN_TIMERS_MAX 1024
#define TURN_CROWDED_US_MAX 8000
#define PROBE_MS 1000
#define DRAIN_LOOK_MS 5
#define CACHE_CARTS_SHARE 4 /* a fourth of the cache is for carts, the rest for orders */

const struct app_config app_config_default = {
    .contexts = CONTEXTS_ALL,
    .payment_timeout_ms = PAYMENT_TIMEOUT_MS_DEFAULT,
    .default_currency = { "USD" },
    .idempotency_keys_max = IDEMPOTENCY_KEYS_MAX_DEFAULT,
    .cache_bytes_max = AGGREGATE_CACHE_BYTES_DEFAULT,
    .products_max = PRODUCTS_MAX_DEFAULT,
    .followers_max = FOLLOWERS_MAX_DEFAULT,
    .bus_window = BUS_WINDOW_DEFAULT,
    .retries = 3,
    .retry_base_ms = 100,
    .retry_max_ms = 30000,
    .audit = true,
};

/* ---- turns ----------------------------------------------------------------------------------- */

static void app_publish(void *ctx, struct message *m)
{
    struct app *a = ctx;

    bus_publish(&a->bus, m);
    feed_publish(&a->feed, m);
}

static bool app_turn(struct app *a)
{
    bool more = event_log_run(&a->log, TURN_APPENDS_MAX);

    more |= feed_run(&a->feed);
    more |= bus_run_turn(&a->bus);
    more |= command_run_finished(a, TURN_FINISHED_MAX);
    return more;
}

/* One turn, so that reading and answering get theirs. Only while clients crowd at the door do turns
 * follow on each other: then what was accepted gets twice the time that reading took since the last
 * turn, or the refusing of new work would eat up the doing of old. */
static int app_on_turn(void *ctx)
{
    struct app *a = ctx;
    int64_t start_us = scheduler_mono_us(a->scheduler),
            budget_us = 2 * (start_us - a->turn_ended_us);
    int64_t now_us;
    bool more;

    if (budget_us > TURN_CROWDED_US_MAX)
        budget_us = TURN_CROWDED_US_MAX;
    do {
        more = app_turn(a);
        now_us = scheduler_mono_us(a->scheduler);
    } while (more && a->n_door >= DOOR_WAITING_MAX / 2 && now_us - start_us < budget_us);
    more |= door_run(a); /* once: what enters waits for the store, which is heard between turns */
    a->turn_ended_us = scheduler_mono_us(a->scheduler);
    return more;
}

static void app_on_alarm(void *ctx)
{
    struct app *a = ctx;

    (void)timers_run(&a->timers, TURN_TIMERS_MAX); /* arms the alarm again where more are due */
}

static void app_on_counts_written(struct append *ap)
{
    struct app *a = container_of(ap, struct app, counts_append);

    a->is_writing_counts = false;
}

/* The counts are those of the durable position: both move when an append is worked off. */
static void app_write_counts(struct app *a)
{
    struct order_counts c = { .position = a->log.durable_position };
    struct buf row = { 0 };

    if (a->is_writing_counts || c.position == a->counts_written ||
        append_begin(&a->counts_append, &a->log, APPEND_CONSEQUENCE) != ERR_OK)
        return;
    for (unsigned f = 0; f < FLOW_COUNT; f++)
        for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++)
            c.orders[f][s] = a->metrics.orders[f][s];
    order_counts_encode(&c, &row);
    append_put(&a->counts_append, DB_META, STR(META_COUNTS), buf_str(&row));
    buf_deinit(&row);
    a->counts_written = c.position;
    a->is_writing_counts = true;
    append_submit(&a->counts_append, app_on_counts_written);
}

static enum room app_room(const struct app *a, const struct store_stats *stats)
{
    if (a->log.is_full || app_refuses_orders(a) == REFUSED_STORE_FULL)
        return ROOM_NONE;
    return stats->free_ratio < STORE_FREE_WARNS ? ROOM_LITTLE : ROOM_ENOUGH;
}

static void app_tell_room(struct app *a, const struct store_stats *stats)
{
    static const struct {
        enum log_level level;
        const char *event;
    } lines[] = {
        [ROOM_ENOUGH] = { LOG_INFO, "store_has_room" },
        [ROOM_LITTLE] = { LOG_WARN, "store_nearly_full" },
        [ROOM_NONE] = { LOG_ERROR, "store_full" },
    };
    enum room room = app_room(a, stats);
    struct log_field field = { "freePercent", STR_NONE };
    char text[32];
    struct arena arena;

    if (room == a->room)
        return;
    a->room = room;
    arena_init(&arena, text, sizeof(text));
    field.value = arena_printf(&arena, "%u", (unsigned)(stats->free_ratio * 100));
    log_write(a->logger, lines[room].level, lines[room].event, &field, 1);
    arena_deinit(&arena);
}

/* One line for all that were met in a second. */
static void app_tell_damage(struct app *a, const struct store_stats *stats)
{
    static const char digits[] = "0123456789abcdef";
    char key[2 * sizeof(stats->damaged_key)];
    struct log_field fields[3];
    char text[32];
    struct arena arena;

    if (stats->damaged == a->damaged_told)
        return;
    for (size_t i = 0; i < sizeof(stats->damaged_key); i++) {
        key[2 * i] = digits[stats->damaged_key[i] >> 4];
        key[2 * i + 1] = digits[stats->damaged_key[i] & 15];
    }
    arena_init(&arena, text, sizeof(text));
    fields[0] = (struct log_field){
        "rows", arena_printf(&arena, "%llu", (unsigned long long)(stats->damaged - a->damaged_told))
    };
    fields[1] = (struct log_field){ "lastDatabase", str_of(store_db_name(stats->damaged_db)) };
    fields[2] = (struct log_field){ "lastKey", { key, sizeof(key) } };
    a->damaged_told = stats->damaged;
    log_write(a->logger, LOG_ERROR, "store_rows_damaged", fields, ARRAY_LEN(fields));
    arena_deinit(&arena);
}

/* Once a second. */
static void app_on_probe(struct timer *t)
{
    struct app *a = container_of(t, struct app, probe_timer);
    struct store_stats stats = { 0 };

    a->store->ops->stats(a->store, &stats);
    app_tell_room(a, &stats);
    app_tell_damage(a, &stats);
    event_log_probe(&a->log);
    app_write_counts(a);
    timer_start(&a->timers, &a->probe_timer, PROBE_MS);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void app_subscribe_contexts(struct app *a)
{
    if (app_has(a, CONTEXT_ORDERS))
        orders_subscribe(a);
    if (app_has(a, CONTEXT_PAYMENTS))
        payments_subscribe(a);
    if (app_has(a, CONTEXT_INVENTORY))
        inventory_subscribe(a);
    if (app_has(a, CONTEXT_SHIPMENTS))
        shipments_subscribe(a);
}

struct app *app_create(const struct app_config *config, struct scheduler *scheduler,
                       struct store *store, struct random *random, struct log *log)
{
    struct app *a = mem_zalloc(sizeof(*a));
    struct map_key key;

    REQUIRE(config->contexts > 0);
    REQUIRE(config->contexts <= CONTEXTS_ALL);
    random_fill(random, key.bytes, sizeof(key.bytes));
    a->config = *config;
    a->scheduler = scheduler;
    a->store = store;
    a->random = random;
    a->logger = log;
    a->simulators = config->simulators;
    scheduler->on_turn = app_on_turn;
    scheduler->on_alarm = app_on_alarm;
    scheduler->ctx = a;
    timers_init(&a->timers, scheduler);
    event_log_init(&a->log, store, scheduler, random, &a->metrics);
    a->log.publish = app_publish;
    a->log.publish_ctx = a;
    bus_init(&a->bus, &a->log, &a->timers, random, log, &a->metrics, &key);
    feed_init(&a->feed, store, &a->timers, config->followers_max);
    carts_init(&a->carts, store, &key, config->cache_bytes_max / CACHE_CARTS_SHARE);
    dossiers_init(&a->dossiers, store, &key, config->cache_bytes_max - a->carts.bytes_max);
    catalogue_init(&a->catalogue, &key, config->products_max);
    idempotency_init(&a->idempotency, &key, config->idempotency_keys_max);
    map_init(&a->letters, &key);
    map_init(&a->bindings, &key);
    list_init(&a->bindings_left);
    list_init(&a->binding_checks);
    map_init(&a->handled, &key);
    list_init(&a->door);
    list_init(&a->finished);
    list_init(&a->handlings_spare);
    list_init(&a->watches);
    timer_init(&a->probe_timer, app_on_probe);
    deadlines_init(a);
    bulk_init(&a->bulk);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        a->subscriptions[i].config.id = (enum subscription_id)i;
        a->subscriptions[i].config.name = subscription_name((enum subscription_id)i).p;
        a->bus.letters_of[i] = &a->subscriptions[i];
    }
    app_subscribe_contexts(a);
    if (config->audit)
        audit_subscribe(a);
    return a;
}

/* ---- start ----------------------------------------------------------------------------------- */

static void app_on_settings_kept(struct app *a)
{
    bool is_kept = a->has_contexts;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        is_kept = is_kept && !a->begins_at_end[i];
    a->ready(a->ready_ctx, is_kept ? ERR_OK : ERR_FULL);
}

void app_started(struct app *a, enum err status)
{
    a->is_started = status == ERR_OK;
    if (status == ERR_OK) {
        a->counts_written = a->log.durable_position;
        feed_start(&a->feed, a->log.durable_position);
        timer_start(&a->timers, &a->probe_timer, PROBE_MS);
        key_sweep_init(a);
        settings_keep(a, app_on_settings_kept);
    } else {
        a->ready(a->ready_ctx, status);
    }
}

static void app_on_start(struct timer *t)
{
    struct app *a = container_of(t, struct app, start_timer);
    enum err err = startup_start(a);

    if (err != ERR_OK)
        app_started(a, err);
}

void app_start(struct app *a, void (*ready)(void *ctx, enum err status), void *ctx)
{
    REQUIRE(!a->is_started);
    a->ready = ready;
    a->ready_ctx = ctx;
    timer_init(&a->start_timer, app_on_start);
    timer_start(&a->timers, &a->start_timer, 0);
}

/* ---- drain ----------------------------------------------------------------------------------- */

/* Nothing is in a handler's or a command's hands, and nothing on its way to the store or back. A
 * simulator's delay counts as in hand; whoever drains ends it when its time is over. What waits for
 * a retry is not waited for. */
static bool app_is_drained(const struct app *a)
{
    return bus_is_quiet(&a->bus) && a->log.in_flight == 0 && a->commands_in_flight == 0 &&
           a->deadlines.n_open == 0 && !a->deadlines.is_reading && !a->key_sweep.is_busy &&
           a->feed.n_reads == 0 && !a->bulk.is_reading;
}

static void app_on_drain_look(struct timer *t)
{
    struct app *a = container_of(t, struct app, start_timer);

    if (!app_is_drained(a)) {
        timer_start(&a->timers, &a->start_timer, DRAIN_LOOK_MS);
        return;
    }
    timer_stop(&a->timers, &a->probe_timer); /* nothing more is written */
    bus_stop(&a->bus);
    a->drained(a->drained_ctx);
}

void app_drain(struct app *a, void (*drained)(void *ctx), void *ctx)
{
    REQUIRE(!a->is_draining);
    a->is_draining = true;
    a->log.is_closed = true;
    a->bus.is_draining = true;
    a->drained = drained;
    a->drained_ctx = ctx;
    order_watch_drain(a);
    feed_close(&a->feed);
    scheduler_wake(a->scheduler);
    timer_stop(&a->timers, &a->start_timer);
    timer_init(&a->start_timer, app_on_drain_look);
    timer_start(&a->timers, &a->start_timer, 0);
}

static void app_free_spare(struct app *a)
{
    while (!list_is_empty(&a->handlings_spare))
        mem_free(container_of(list_pop_front(&a->handlings_spare), struct handling, link));
}

void app_destroy(struct app *a)
{
    feed_deinit(&a->feed);
    bulk_deinit(&a->bulk);
    timers_deinit(&a->timers);
    bus_deinit(&a->bus);
    event_log_deinit(&a->log);
    dossiers_deinit(&a->dossiers);
    carts_deinit(&a->carts);
    catalogue_deinit(&a->catalogue);
    idempotency_deinit(&a->idempotency);
    bindings_deinit(a);
    map_deinit(&a->letters);
    startup_forget(a);
    deadlines_deinit(a);
    app_free_spare(a);
    mem_free(a);
}

/* ---- looking in ------------------------------------------------------------------------------ */

const struct metrics *app_metrics(const struct app *a)
{
    return &a->metrics;
}

struct metrics *app_metrics_mut(struct app *a)
{
    return &a->metrics;
}

struct bus *app_bus(struct app *a)
{
    return &a->bus;
}

struct event_log *app_event_log(struct app *a)
{
    return &a->log;
}

struct feed *app_feed(struct app *a)
{
    return &a->feed;
}

struct catalogue *app_catalogue(struct app *a)
{
    return &a->catalogue;
}

const struct simulators *app_simulators(const struct app *a)
{
    return &a->simulators;
}

struct timers *app_timers(struct app *a)
{
    return &a->timers;
}

void app_set_message_reader(struct app *a, const struct message_reader *r)
{
    a->reader = r;
}

struct scheduler *app_scheduler(struct app *a)
{
    return a->scheduler;
}

struct store *app_store(struct app *a)
{
    return a->store;
}

uint64_t app_idempotency_entries(const struct app *a)
{
    return a->idempotency.len;
}

struct cache_use app_cache_use(const struct app *a, enum cached what)
{
    if (what == CACHED_CARTS)
        return (struct cache_use){ carts_bytes(&a->carts), a->carts.n_evicted };
    return (struct cache_use){ a->dossiers.bytes, a->dossiers.n_evicted };
}

bool app_is_crowded(const struct app *a)
{
    return a->n_door >= DOOR_WAITING_MAX;
}

void app_count_refused(struct app *a, enum refused why)
{
    a->metrics.refused[why]++;
}

bool app_is_ready(const struct app *a, struct str *why)
{
    struct store_stats stats;

    *why = STR_NONE;
    if (!a->is_started)
        *why = STR("starting");
    else if (a->is_draining)
        *why = STR("shutting_down");
    else if (a->log.is_full || app_refuses_orders(a) == REFUSED_STORE_FULL)
        *why = STR("store_full");
    else if (app_refuses_orders(a) == REFUSED_BACKLOG)
        *why = STR("backlog");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT && !why->n; i++) {
        const struct subscription *s = a->bus.subscriptions[i];

        if (s && s->is_at_limit)
            *why = STR("deferred_lanes");
        else if (s && s->is_stuck)
            *why = STR("log_unreadable");
    }
    if (why->n)
        return false;
    a->store->ops->stats(a->store, &stats);
    if (app_room(a, &stats) != ROOM_ENOUGH)
        *why = STR("store_nearly_full");
    else
        *why = relays_warning(a);
    return true;
}
