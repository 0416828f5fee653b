#include "rows/made_rows.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "rows/busy_app.h"

#define ROWS_EVENTS_MAX 100 /* of an order, more than it can have; so that memory's bound is none */

/* An engine that keeps what it is given to write, and lets another one do the rest. */
struct recorder {
    struct engine engine;
    struct engine *memory;
    struct made_rows *rows;
};

/* ---- keeping -------------------------------------------------------------------- */

static struct recorder *recorder_of(struct engine *e)
{
    return container_of(e, struct recorder, engine);
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
    struct recorder *r = recorder_of(e);

    list_for_each(at, writes) keep(r->rows, container_of(at, struct store_write, link));
    return r->memory->ops->apply(r->memory, writes);
}

static enum err recorder_view_begin(struct engine *e, void **txn)
{
    struct engine *m = recorder_of(e)->memory;

    return m->ops->view_begin(m, txn);
}

static void recorder_view_end(struct engine *e, void *txn)
{
    struct engine *m = recorder_of(e)->memory;

    m->ops->view_end(m, txn);
}

static enum err recorder_get(struct engine *e, void *txn, enum store_db db, struct str key,
                             struct arena *a, struct str *value)
{
    struct engine *m = recorder_of(e)->memory;

    return m->ops->get(m, txn, db, key, a, value);
}

static enum err recorder_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                              struct str key, struct arena *a, struct str *found_key,
                              struct str *value)
{
    struct engine *m = recorder_of(e)->memory;

    return m->ops->seek(m, txn, db, how, key, a, found_key, value);
}

static void recorder_stats(struct engine *e, struct store_stats *out)
{
    struct engine *m = recorder_of(e)->memory;

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

void made_rows_init(struct made_rows *rows, unsigned orders, unsigned in_flight)
{
    struct recorder recorder = {
        .engine.ops = &recorder_ops,
        .memory = memory_engine_create((uint64_t)orders * ROWS_EVENTS_MAX + 1000),
        .rows = rows,
    };
    struct busy_app_config config = {
        .engine = &recorder.engine,
        .in_flight = in_flight,
        .commit_writes_max = STORE_BATCH_EVENTS_MAX,
        .stock = orders,
    };
    struct busy_app *app;

    memset(rows, 0, sizeof(*rows));
    arena_init(&rows->arena, NULL, 0);
    app = busy_app_create(&config);
    rows->first_order_write = rows->n_writes;
    busy_app_place(app, orders, NULL, NULL);
    busy_app_destroy(app);
    memory_engine_destroy(recorder.memory);
}

void made_rows_deinit(struct made_rows *rows)
{
    arena_deinit(&rows->arena);
    mem_free(rows->writes);
}
