#include "support/bus_world.h"
#include "orderly/app/dead_letters.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

/* ---- players --------------------------------------------------------------------------------- */

static struct player *player_of(const struct subscription *s)
{
    return container_of(s, struct player, s);
}

static bool player_wants(const struct subscription *s, const struct event *e)
{
    const struct player *p = player_of(s);

    return p->wants == EVENT_NONE || p->wants == e->type;
}

static void player_write_down(struct player *p, const struct delivery *d)
{
    if (p->n_handed == p->journal_cap) {
        p->journal_cap = p->journal_cap ? 2 * p->journal_cap : 64;
        p->journal = mem_realloc(p->journal, p->journal_cap * sizeof(p->journal[0]));
    }
    p->journal[p->n_handed++] = (struct handed){
        .position = d->message->event.position,
        .lane = lane_number_of(d->message->event.lane),
        .attempt = d->attempt,
        .at_us = p->world->ms.now_us,
        .turn = p->world->ms.n_turns,
    };
}

static void player_end(struct player *p, struct delivery *d, enum answer a)
{
    struct failure f = { a == ANSWER_PERMANENT ? FAILURE_CODE_UNKNOWN_ORDER
                                               : FAILURE_CODE_HANDLER_FAILED,
                         STR("it did not work") };

    p->n_taken[a]++;
    switch (a) {
    case ANSWER_DONE:
        delivery_done(d);
        break;
    case ANSWER_FAIL:
    case ANSWER_PERMANENT:
        delivery_failed(d, &f);
        break;
    case ANSWER_UNAVAILABLE:
        delivery_unavailable(d);
        break;
    case ANSWER_LATER:
        UNREACHABLE("later is no answer");
    }
}

static void player_handle(struct subscription *s, struct delivery *d)
{
    struct player *p = player_of(s);
    enum answer a;

    player_write_down(p, d);
    a = p->decide ? p->decide(p, d) : ANSWER_DONE;
    if (a != ANSWER_LATER) {
        player_end(p, d, a);
        return;
    }
    if (p->n_held == p->held_cap) {
        p->held_cap = p->held_cap ? 2 * p->held_cap : 64;
        p->held = mem_realloc(p->held, p->held_cap * sizeof(struct delivery *));
    }
    p->held[p->n_held++] = d;
}

void player_answer(struct player *p, size_t held, enum answer a)
{
    struct delivery *d;

    REQUIRE(held < p->n_held);
    d = p->held[held];
    p->n_held--;
    memmove(p->held + held, p->held + held + 1, (p->n_held - held) * sizeof(struct delivery *));
    player_end(p, d, a);
}

/* ---- the world ------------------------------------------------------------------------------- */

static void world_publish(void *ctx, struct message *m)
{
    struct bus_world *w = ctx;

    if (w->on_publish)
        w->on_publish(w->ctx, m);
    bus_publish(&w->bus, m);
}

static int world_on_turn(void *ctx)
{
    struct bus_world *w = ctx;
    bool is_more = event_log_run(&w->log, 256);

    return (int)bus_run_turn(&w->bus) | (int)is_more;
}

static void world_on_alarm(void *ctx)
{
    struct bus_world *w = ctx;

    (void)timers_run(&w->timers, 256);
}

static void world_begin_process(struct bus_world *w)
{
    struct map_key key = { { 7 } };

    timers_init(&w->timers, &w->ms.scheduler);
    store_virtual_init(&w->store, w->engine);
    event_log_init(&w->log, &w->store.port, &w->ms.scheduler, &w->random.random, &w->metrics);
    w->log.publish = world_publish;
    w->log.publish_ctx = w;
    bus_init(&w->bus, &w->log, &w->timers, &w->random.random, &w->log_lines.log, &w->metrics, &key);
}

void bus_world_init(struct bus_world *w, uint64_t seed)
{
    *w = (struct bus_world){ 0 };
    manual_scheduler_init(&w->ms);
    w->ms.scheduler.on_turn = world_on_turn;
    w->ms.scheduler.on_alarm = world_on_alarm;
    w->ms.scheduler.ctx = w;
    seeded_random_init(&w->random, seed);
    capture_log_init(&w->log_lines);
    w->engine = memory_engine_create(MEMORY_EVENTS_MAX_DEFAULT);
    world_begin_process(w);
}

struct player *bus_world_add(struct bus_world *w)
{
    static const char *const names[] = { "orders", "payments", "inventory", "shipments" };
    struct player *p = &w->players[w->n_players];

    REQUIRE(w->n_players < WORLD_PLAYERS_MAX);
    p->world = w;
    p->s.config = subscription_config_default;
    p->s.config.id = (enum subscription_id)(SUBSCRIPTION_NONE + 1 + w->n_players);
    p->s.config.name = names[w->n_players];
    p->s.config.counts_for_backlog = true;
    p->s.wants = player_wants;
    p->s.handle = player_handle;
    w->n_players++;
    return p;
}

void bus_world_start(struct bus_world *w)
{
    for (unsigned i = 0; i < w->n_players; i++)
        bus_subscribe(&w->bus, &w->players[i].s);
    w->is_bus_up = true;
}

static void world_answer_all(struct bus_world *w)
{
    for (unsigned i = 0; i < w->n_players; i++) {
        while (w->players[i].n_held > 0)
            player_answer(&w->players[i], 0, ANSWER_DONE);
    }
}

static void world_end_process(struct bus_world *w)
{
    bus_deinit(&w->bus);
    event_log_deinit(&w->log);
    timers_deinit(&w->timers);
    store_virtual_deinit(&w->store);
    w->is_bus_up = false;
}

void bus_world_deinit(struct bus_world *w)
{
    w->bus.is_draining = true;
    bus_world_settle(w);
    world_answer_all(w);
    bus_world_settle(w);
    world_end_process(w);
    for (unsigned i = 0; i < w->n_players; i++) {
        mem_free(w->players[i].journal);
        mem_free(w->players[i].held);
    }
    memory_engine_destroy(w->engine);
    capture_log_deinit(&w->log_lines);
}

/* A copy of the durable rows, taken at the moment of the crash. */
struct saved {
    struct store_row *rows;
    unsigned n, cap;
    enum store_db db;
    struct arena arena;
};

static void saved_add(void *ctx, struct str key, struct str value)
{
    struct saved *s = ctx;

    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->rows = mem_realloc(s->rows, s->cap * sizeof(s->rows[0]));
    }
    s->rows[s->n++] = (struct store_row){ .db = s->db,
                                          .key = arena_str(&s->arena, key),
                                          .value = arena_str(&s->arena, value) };
}

/* The old process is wound down properly, so that no memory is lost; what it writes while that
 * happens goes into an engine that is thrown away. */
void bus_world_crash(struct bus_world *w)
{
    struct saved saved = { 0 };
    struct store_write write = { 0 };
    struct list writes;
    unsigned n_events = 0;

    arena_init(&saved.arena, NULL, 0);
    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        saved.db = (enum store_db)db;
        bus_world_each_row(w, saved.db, saved_add, &saved);
        if (saved.db == DB_EVENTS)
            n_events = saved.n;
    }
    w->on_publish = NULL;
    w->bus.is_draining = true;
    scheduler_wake(&w->ms.scheduler);
    bus_world_settle(w);
    world_answer_all(w);
    bus_world_settle(w);
    REQUIRE(bus_in_progress(&w->bus) == 0);
    world_end_process(w);
    memory_engine_destroy(w->engine);

    w->engine = memory_engine_create(MEMORY_EVENTS_MAX_DEFAULT);
    write.rows = saved.rows;
    write.n_rows = saved.n;
    write.n_events = n_events;
    list_init(&writes);
    list_push_back(&writes, &write.link);
    if (saved.n > 0) {
        enum err err = w->engine->ops->apply(w->engine, &writes);

        ENSURE(err == ERR_OK);
    }
    mem_free(saved.rows);
    arena_deinit(&saved.arena);
    world_begin_process(w);
}

struct recovered {
    struct bus_world *w;
    struct arena arena;
    struct deferred_lane *lanes;
    unsigned n_lanes;
    enum subscription_id id;
};

static void recover_event(void *ctx, struct str key, struct str value)
{
    struct bus_world *w = ctx;
    struct message *m = NULL;
    enum err err = message_of_row(value, bytes_get_u64(key.p), &m);

    ENSURE(err == ERR_OK);
    w->log.last_position = w->log.durable_position = bytes_get_u64(key.p);
    for (unsigned i = 0; m->event.stream.type == AGGREGATE_SUBSCRIPTION && i < w->n_players; i++) {
        struct subscription *s = &w->players[i].s;

        if (str_eq(text_id_str(&m->event.stream.id), str_of(s->config.name)))
            s->sequence = m->event.sequence;
    }
    message_unref(m);
}

static void recover_lane(void *ctx, struct str key, struct str value)
{
    struct recovered *r = ctx;
    enum err err;

    if ((enum subscription_id)key.p[0] != r->id)
        return;
    r->lanes = mem_realloc(r->lanes, (r->n_lanes + 1) * sizeof(r->lanes[0]));
    err = deferred_lane_decode(arena_str(&r->arena, key), arena_str(&r->arena, value),
                               &r->lanes[r->n_lanes++]);
    ENSURE(err == ERR_OK);
}

static void recover_letter(void *ctx, struct str key, struct str value)
{
    struct bus_world *w = ctx;
    struct dead_letter letter;
    enum err err = dead_letter_decode(value, &letter);

    (void)key;
    ENSURE(err == ERR_OK);
    if (!dead_letter_is_open(&letter))
        return;
    w->bus.n_dead_letters_open++;
    w->metrics.dead_letters_open[letter.subscription]++;
    w->players[letter.subscription - 1].s.n_letters++;
}

void bus_world_recover(struct bus_world *w)
{
    for (unsigned i = 0; i < w->n_players; i++)
        w->players[i].s.sequence = w->players[i].s.n_letters = 0;
    memset(w->metrics.dead_letters_open, 0, sizeof(w->metrics.dead_letters_open));
    bus_world_each_row(w, DB_EVENTS, recover_event, w);
    bus_world_each_row(w, DB_DEAD_LETTERS, recover_letter, w);
    bus_world_start(w);
    for (unsigned i = 0; i < w->n_players; i++) {
        struct player *p = &w->players[i];
        struct recovered r = { .w = w, .id = p->s.config.id };

        arena_init(&r.arena, NULL, 0);
        bus_world_each_row(w, DB_LANES, recover_lane, &r);
        bus_recover_subscription(&p->s, bus_world_stored_cursor(w, p), r.lanes, r.n_lanes);
        mem_free(r.lanes);
        arena_deinit(&r.arena);
    }
}

/* ---- what happens ---------------------------------------------------------------------------- */

struct lane_id lane_number(unsigned n)
{
    struct lane_id id = { { { 0x01, 0x99 } } };

    id.u.b[6] = 0x70;
    id.u.b[8] = 0x80;
    bytes_put_u32(id.u.b + 12, n);
    return id;
}

unsigned lane_number_of(struct lane_id id)
{
    return bytes_get_u32(id.u.b + 12);
}

struct world_append {
    struct append append;
};

static void world_append_done(struct append *a)
{
    mem_free(container_of(a, struct world_append, append));
}

bool bus_world_append(struct bus_world *w, unsigned lane, enum event_type type)
{
    struct world_append *op = mem_alloc(sizeof(*op));
    struct event e = {
        .type = type,
        .lane = lane_number(lane),
        .stream = { .type = AGGREGATE_ORDER, .id = { .n = 1, .s = "o" } },
        .p = { .order_id = { lane_number(lane).u }, .flow = FLOW_STOCK_FIRST },
    };

    if (append_begin(&op->append, &w->log, APPEND_COMMAND) != ERR_OK) {
        mem_free(op);
        return false;
    }
    e.sequence = ++w->sequence;
    append_event(&op->append, &e);
    append_submit(&op->append, world_append_done);
    return true;
}

void bus_world_commit(struct bus_world *w)
{
    while (store_virtual_run(&w->store, STORE_VIRTUAL_ALL) > 0) {
        while (event_log_run(&w->log, 256))
            ;
    }
}

void bus_world_publish(struct bus_world *w, unsigned lane)
{
    bool ok = bus_world_append(w, lane, EVENT_ORDER_PLACED);

    ENSURE(ok);
    bus_world_commit(w);
}

bool bus_world_turn(struct bus_world *w)
{
    w->ms.n_turns++;
    return bus_run_turn(&w->bus);
}

void bus_world_settle(struct bus_world *w)
{
    bool is_busy = true;

    while (is_busy) {
        is_busy = store_virtual_run(&w->store, STORE_VIRTUAL_ALL) > 0;
        is_busy |= store_virtual_run_reads(&w->store, STORE_VIRTUAL_ALL) > 0;
        is_busy |= manual_scheduler_run_turn(&w->ms);
        is_busy |= manual_scheduler_run_alarm(&w->ms);
    }
}

bool bus_world_next_alarm(struct bus_world *w, int64_t within_ms)
{
    int64_t at_us;

    bus_world_settle(w);
    if (w->ms.alarm_ms == INT64_MAX)
        return false;
    at_us = w->ms.alarm_ms * 1000;
    if (at_us > w->ms.now_us + within_ms * 1000)
        return false;
    if (at_us > w->ms.now_us)
        w->ms.now_us = at_us;
    bus_world_settle(w);
    return true;
}

void bus_world_pass_ms(struct bus_world *w, int64_t ms)
{
    int64_t end_us = w->ms.now_us + ms * 1000;

    while (w->ms.now_us <= end_us && bus_world_next_alarm(w, (end_us - w->ms.now_us) / 1000))
        ;
    w->ms.now_us = end_us;
    bus_world_settle(w);
}

/* ---- what is durable ------------------------------------------------------------------------- */

void bus_world_each_row(struct bus_world *w, enum store_db db,
                        void (*cb)(void *ctx, struct str key, struct str value), void *ctx)
{
    const struct engine_ops *ops = w->engine->ops;
    struct arena arena;
    struct str at = { "", 0 };
    char key[STORE_KEY_MAX];
    enum store_seek how = STORE_GE;
    void *txn = NULL;
    enum err err = ops->view_begin(w->engine, &txn);

    ENSURE(err == ERR_OK);
    arena_init(&arena, NULL, 0);
    for (;;) {
        struct str found, value;

        err = ops->seek(w->engine, txn, db, how, at, &arena, &found, &value);
        if (err != ERR_OK)
            break;
        cb(ctx, found, value);
        memcpy(key, found.p, found.n);
        at = (struct str){ key, found.n };
        how = STORE_GT;
        arena_reset(&arena);
    }
    ENSURE(err == ERR_NOT_FOUND);
    arena_deinit(&arena);
    ops->view_end(w->engine, txn);
}

static void count_row(void *ctx, struct str key, struct str value)
{
    unsigned *n = ctx;

    (void)key;
    (void)value;
    ++*n;
}

unsigned bus_world_count_rows(struct bus_world *w, enum store_db db)
{
    unsigned n = 0;

    bus_world_each_row(w, db, count_row, &n);
    return n;
}

struct wanted_row {
    struct str key;
    struct arena *arena;
    struct str value;
    bool is_found;
};

static void match_row(void *ctx, struct str key, struct str value)
{
    struct wanted_row *r = ctx;

    if (!str_eq(key, r->key))
        return;
    r->is_found = true;
    r->value = r->arena ? arena_str(r->arena, value) : STR_NONE;
}

uint64_t bus_world_stored_cursor(struct bus_world *w, const struct player *p)
{
    char key = (char)p->s.config.id;
    struct arena arena;
    struct wanted_row r = { .key = { &key, 1 }, .arena = &arena };
    uint64_t cursor;

    arena_init(&arena, NULL, 0);
    bus_world_each_row(w, DB_CURSORS, match_row, &r);
    cursor = r.is_found ? bytes_get_u64(r.value.p) : 0;
    arena_deinit(&arena);
    return cursor;
}

bool bus_world_stored_lane(struct bus_world *w, const struct player *p, unsigned lane,
                           struct deferred_lane *out)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct arena arena;
    struct wanted_row r = { .key = { key, sizeof(key) }, .arena = &arena };

    deferred_lane_key(p->s.config.id, lane_number(lane), key);
    arena_init(&arena, NULL, 0);
    bus_world_each_row(w, DB_LANES, match_row, &r);
    if (r.is_found) {
        enum err err = deferred_lane_decode(r.key, r.value, out);

        ENSURE(err == ERR_OK);
        out->error_code = out->error_detail = STR_NONE; /* their memory goes */
    }
    arena_deinit(&arena);
    return r.is_found;
}
