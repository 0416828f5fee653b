#include "orderly/app/event_log.h"
#include "orderly/app/metrics.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define KEY_POSITION 8
#define KEY_LANE 16
#define KEY_TYPE 2

/* Of an append's memory at first. The rows of an order of one line take a third of it; as thousands are
 * in flight, what they do not take is better left to the caches. */
#define APPEND_ARENA 2016

static void event_log_on_written(void *ctx, struct list *writes)
{
    struct event_log *log = ctx;

    while (!list_is_empty(writes)) {
        struct store_write *w = container_of(list_pop_front(writes), struct store_write, link);
        struct append *a = container_of(w, struct append, write);

        /* At once, though its turn comes later: an append begun in between would stand behind a
         * hole. */
        if (w->status != ERR_OK)
            log->is_full = true;
        log->n_written++;
        list_push_back(&log->written, &a->link);
    }
    scheduler_wake(log->scheduler);
}

void event_log_init(struct event_log *log, struct store *store, struct scheduler *scheduler,
                    struct random *random, struct metrics *metrics)
{
    *log = (struct event_log){
        .store = store,
        .scheduler = scheduler,
        .random = random,
        .metrics = metrics,
        .epoch = 1,
    };
    list_init(&log->written);
    store->on_written = event_log_on_written;
    store->ctx = log;
}

void event_log_deinit(struct event_log *log)
{
    REQUIRE(log->open == NULL);
    arena_deinit(&log->spare);
}

struct uuid event_log_new_uuid(struct event_log *log)
{
    uint8_t chance[10];

    random_fill(log->random, chance, sizeof(chance));
    return uuid_make(&log->uuids, scheduler_wall_ms(log->scheduler), chance);
}

/* ---- building -------------------------------------------------------------------------------- */

static enum err event_log_admits(const struct event_log *log, enum append_kind kind)
{
    if (log->is_full)
        return ERR_FULL;
    if (log->in_flight >= STORE_QUEUE_MAX)
        return ERR_BUSY;
    if (kind == APPEND_CONSEQUENCE)
        return ERR_OK;
    if (log->is_closed)
        return ERR_SHUTTING_DOWN;
    return log->in_flight >= STORE_QUEUE_COMMANDS_MAX ? ERR_BUSY : ERR_OK;
}

enum err append_begin(struct append *a, struct event_log *log, enum append_kind kind)
{
    enum err err = event_log_admits(log, kind);

    REQUIRE(log->open == NULL);
    if (err != ERR_OK)
        return err;
    a->status = ERR_OK;
    a->first_position = a->last_position = 0;
    a->log = log;
    a->done = NULL;
    a->write = (struct store_write){ .is_command = kind == APPEND_COMMAND, .epoch = log->epoch };
    a->rows = a->rows_inline;
    a->rows_cap = APPEND_ROWS_INLINE;
    a->n_messages = 0;
    list_init(&a->link);
    a->submitted_us = scheduler_mono_us(log->scheduler);
    if (log->spare.blocks) {
        a->arena = log->spare;
        log->spare = (struct arena){ 0 };
    } else {
        arena_init(&a->arena, NULL, APPEND_ARENA);
    }
    log->open = a;
    return ERR_OK;
}

static void append_row(struct append *a, struct store_row row)
{
    REQUIRE(row.key.n <= STORE_KEY_MAX);
    if (a->write.n_rows == a->rows_cap) {
        struct store_row *more = arena_alloc(&a->arena, 2 * a->rows_cap * sizeof(*more));

        memcpy(more, a->rows, a->rows_cap * sizeof(*more));
        a->rows = more;
        a->rows_cap *= 2;
    }
    a->rows[a->write.n_rows++] = row;
    a->write.n_bytes += row.key.n + row.value.n;
}

void append_put(struct append *a, enum store_db db, struct str key, struct str value)
{
    REQUIRE(a->log->open == a);
    append_row(a, (struct store_row){ .db = db,
                                      .key = arena_str(&a->arena, key),
                                      .value = arena_str(&a->arena, value) });
}

void append_delete(struct append *a, enum store_db db, struct str key)
{
    REQUIRE(a->log->open == a);
    append_row(a,
               (struct store_row){ .db = db, .is_delete = true, .key = arena_str(&a->arena, key) });
}

void append_event(struct append *a, struct event *e)
{
    struct event_log *log = a->log;
    char *keys =
        arena_alloc(&a->arena, KEY_POSITION + KEY_LANE + KEY_POSITION + KEY_TYPE + KEY_POSITION);
    char *by_lane = keys + KEY_POSITION;
    char *by_type = by_lane + KEY_LANE + KEY_POSITION;
    struct message *m;

    REQUIRE(log->open == a);
    REQUIRE(a->n_messages < APPEND_EVENTS_MAX);
    REQUIRE(e->sequence > 0);
    e->id.u = event_log_new_uuid(log);
    e->position = ++log->last_position;
    if (e->occurred_at_ms == 0)
        e->occurred_at_ms = scheduler_wall_ms(log->scheduler);
    if (a->first_position == 0)
        a->first_position = e->position;
    a->last_position = e->position;

    m = message_of_event(e);
    m->appended_us = a->submitted_us;
    a->messages[a->n_messages++] = m;
    a->write.n_events++;

    bytes_put_u64(keys, e->position);
    memcpy(by_lane, e->lane.u.b, KEY_LANE);
    bytes_put_u64(by_lane + KEY_LANE, e->position);
    bytes_put_u16(by_type, (uint16_t)e->type);
    bytes_put_u64(by_type + KEY_TYPE, e->position);
    append_row(
        a, (struct store_row){ .db = DB_EVENTS, .key = { keys, KEY_POSITION }, .value = m->row });
    append_row(a,
               (struct store_row){ .db = DB_BY_LANE, .key = { by_lane, KEY_LANE + KEY_POSITION } });
    append_row(a,
               (struct store_row){ .db = DB_BY_TYPE, .key = { by_type, KEY_TYPE + KEY_POSITION } });
}

/* Rows and their memory are of no use any more. One arena is kept for the next append. */
static void append_free_rows(struct append *a)
{
    struct event_log *log = a->log;

    if (log->spare.blocks == NULL) {
        arena_reset(&a->arena);
        log->spare = a->arena;
        a->arena = (struct arena){ 0 };
    } else {
        arena_deinit(&a->arena);
    }
}

void append_abandon(struct append *a)
{
    struct event_log *log = a->log;

    REQUIRE(log->open == a);
    for (unsigned i = 0; i < a->n_messages; i++)
        message_unref(a->messages[i]);
    log->last_position -= a->n_messages;
    a->n_messages = 0;
    log->open = NULL;
    append_free_rows(a);
}

void append_submit(struct append *a, append_cb done)
{
    struct event_log *log = a->log;
    enum err err;

    REQUIRE(log->open == a);
    REQUIRE(a->write.n_rows > 0);
    a->done = done;
    a->write.rows = a->rows;
    log->open = NULL;
    log->in_flight++;
    err = store_write_start(log->store, &a->write);
    ENSURE(err == ERR_OK); /* append_begin counted; the store's bound is the same number */
}

/* ---- coming back ----------------------------------------------------------------------------- */

/* Everything that was in flight has failed: the next position is behind the last durable one. */
static void event_log_return_to_durable(struct event_log *log)
{
    log->last_position = log->durable_position;
    log->epoch++;
}

static void append_finish(struct append *a)
{
    struct event_log *log = a->log;
    struct message *messages[APPEND_EVENTS_MAX];
    unsigned n = a->n_messages;
    int64_t us = scheduler_mono_us(log->scheduler) - a->submitted_us;

    memcpy(messages, a->messages, n * sizeof(struct message *));
    a->status = a->write.status;
    log->in_flight--;
    append_free_rows(a);
    if (a->status == ERR_OK) {
        if (a->last_position)
            log->durable_position = a->last_position;
        for (unsigned i = 0; i < n; i++) {
            log->metrics->events_appended[messages[i]->event.type]++;
            histogram_add(&log->metrics->publish_accepted, us);
        }
    } else {
        ENSURE(a->status == ERR_FULL); /* the store ends the process on anything else */
        log->is_full = true;
        if (log->in_flight == 0)
            event_log_return_to_durable(log);
    }

    bool is_durable = a->status == ERR_OK;

    a->done(a); /* a may be gone from here on */
    for (unsigned i = 0; i < n; i++) {
        if (is_durable)
            log->publish(log->publish_ctx, messages[i]);
        message_unref(messages[i]);
    }
}

bool event_log_run(struct event_log *log, unsigned max)
{
    while (!list_is_empty(&log->written) && max-- > 0) {
        log->n_written--;
        append_finish(container_of(list_pop_front(&log->written), struct append, link));
    }
    return !list_is_empty(&log->written);
}

static void event_log_on_probed(struct append *a)
{
    if (a->status == ERR_OK)
        a->log->is_full = false;
}

void event_log_probe(struct event_log *log)
{
    enum err err;

    if (!log->is_full || log->in_flight > 0)
        return;
    log->is_full = false; /* for this one append only */
    err = append_begin(&log->probe, log, APPEND_CONSEQUENCE);
    log->is_full = true;
    ENSURE(err == ERR_OK);
    append_put(&log->probe, DB_META, STR("probe"), STR(""));
    append_submit(&log->probe, event_log_on_probed);
}
