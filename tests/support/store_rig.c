#include "store_rig.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/lmdb_engine.h"
#include "orderly/infra/store/memory.h"
#include "support/temp_dir.h"

/* ---- writes ------------------------------------------------------------------------- */

struct a_write *a_write_create(unsigned id)
{
    struct a_write *w = mem_zalloc(sizeof(*w));

    w->id = id;
    w->write.rows = w->rows;
    return w;
}

void a_write_destroy(struct a_write *w)
{
    mem_free(w);
}

static void a_write_add(struct a_write *w, struct store_row row)
{
    REQUIRE(w->write.n_rows < A_WRITE_ROWS_MAX);
    w->rows[w->write.n_rows++] = row;
    w->write.n_bytes += row.key.n + row.value.n;
}

void a_write_put(struct a_write *w, enum store_db db, struct str key, struct str value)
{
    a_write_add(w, (struct store_row){ .db = db, .key = key, .value = value });
}

void a_write_delete(struct a_write *w, enum store_db db, struct str key)
{
    a_write_add(w, (struct store_row){ .db = db, .is_delete = true, .key = key });
}

void a_write_event(struct a_write *w, uint64_t position, struct str value)
{
    char *key = w->numbers[w->write.n_rows];

    bytes_put_u64(key, position);
    a_write_put(w, DB_EVENTS, (struct str){ key, 8 }, value);
    w->write.n_events++;
}

/* ---- engines ------------------------------------------------------------------------ */

static struct engine *memory_create(bool small)
{
    return memory_engine_create(small ? RIG_SMALL_EVENTS : MEMORY_EVENTS_MAX_DEFAULT);
}

static const struct rig_engine memory_engine = {
    .create = memory_create,
    .destroy = memory_engine_destroy,
};

/* One at a time: LMDB's locks are of the process. */
static struct temp_dir lmdb_dir;

static struct engine *lmdb_create(bool small)
{
    struct lmdb_config config = { .events_max = small ? RIG_SMALL_EVENTS : 0 };
    struct lmdb_report report;
    struct engine *e;
    enum err err;

    temp_dir_init(&lmdb_dir);
    config.dir = lmdb_dir.path;
    err = lmdb_engine_open(&config, &e, &report);
    if (err != ERR_OK)
        check_failed("store", report.why, __FILE__, __LINE__);
    return e;
}

static void lmdb_destroy(struct engine *e)
{
    lmdb_engine_close(e);
    temp_dir_deinit(&lmdb_dir);
}

static const struct rig_engine lmdb_engine = {
    .create = lmdb_create,
    .destroy = lmdb_destroy,
};

/* ---- adapters ----------------------------------------------------------------------- */

static void virtual_open(struct rig *r)
{
    store_virtual_init(&r->virt, r->engine);
    r->store = &r->virt.port;
}

static void virtual_close(struct rig *r)
{
    store_virtual_deinit(&r->virt);
}

static void virtual_step(struct rig *r)
{
    (void)store_virtual_run(&r->virt, 700);
    (void)store_virtual_run_reads(&r->virt, 3);
}

static const struct rig_adapter virtual_adapter = {
    .open = virtual_open,
    .close = virtual_close,
    .step = virtual_step,
};

static void thread_on_fatal(void *ctx, enum err why)
{
    (void)ctx;
    check_failed("store", err_name(why), __FILE__, __LINE__);
}

static void thread_open(struct rig *r)
{
    int rc = uv_loop_init(&r->loop);

    ENSURE(rc == 0);
    r->thread = store_thread_create(&r->loop, r->engine, thread_on_fatal, NULL);
    r->store = store_thread_port(r->thread);
}

static void thread_on_closed(void *ctx)
{
    struct rig *r = ctx;

    r->is_closed = true;
}

static void thread_close(struct rig *r)
{
    int rc;

    store_thread_close(r->thread, thread_on_closed, r);
    REQUIRE(!r->is_closed);
    while (!r->is_closed)
        (void)uv_run(&r->loop, UV_RUN_ONCE);
    rc = uv_loop_close(&r->loop);
    ENSURE(rc == 0);
}

static void thread_step(struct rig *r)
{
    (void)uv_run(&r->loop, UV_RUN_ONCE);
}

static const struct rig_adapter thread_adapter = {
    .open = thread_open,
    .close = thread_close,
    .step = thread_step,
};

const struct rig_kind rig_kinds[] = {
    { "virtual, memory", &memory_engine, &virtual_adapter },
    { "thread, memory", &memory_engine, &thread_adapter },
    { "virtual, lmdb", &lmdb_engine, &virtual_adapter },
    { "thread, lmdb", &lmdb_engine, &thread_adapter },
};
const unsigned rig_kinds_len = ARRAY_LEN(rig_kinds);

/* ---- the rig ------------------------------------------------------------------------ */

static void rig_on_written(void *ctx, struct list *writes)
{
    struct rig *r = ctx;

    while (!list_is_empty(writes)) {
        struct store_write *write = container_of(list_pop_front(writes), struct store_write, link);
        struct a_write *w = container_of(write, struct a_write, write);

        REQUIRE(r->n_back < ARRAY_LEN(r->back));
        r->back[r->n_back++] = w;
        w->back++;
        if (r->on_back)
            r->on_back(r, w);
    }
}

struct rig *rig_open(const struct rig_kind *kind, bool small)
{
    struct rig *r = mem_zalloc(sizeof(*r));

    r->kind = kind;
    r->engine = kind->engine->create(small);
    arena_init(&r->arena, NULL, 0);
    kind->adapter->open(r);
    r->store->on_written = rig_on_written;
    r->store->ctx = r;
    return r;
}

void rig_close(struct rig *r)
{
    REQUIRE(r->n_back == r->n_started);
    REQUIRE(r->n_reads == 0);
    r->kind->adapter->close(r);
    r->kind->engine->destroy(r->engine);
    arena_deinit(&r->arena);
    mem_free(r);
}

enum err rig_try_start(struct rig *r, struct a_write *w)
{
    enum err e = store_write_start(r->store, &w->write);

    REQUIRE(w->back == 0); /* never inside start */
    if (e == ERR_OK)
        r->n_started++;
    return e;
}

void rig_start(struct rig *r, struct a_write *w)
{
    enum err e = rig_try_start(r, w);

    REQUIRE(e == ERR_OK);
}

void rig_settle(struct rig *r)
{
    while (r->n_back < r->n_started || r->n_reads > 0)
        r->kind->adapter->step(r);
}

enum err rig_write(struct rig *r, struct a_write *w)
{
    enum err status;

    rig_start(r, w);
    rig_settle(r);
    REQUIRE(w->back == 1);
    status = w->write.status;
    a_write_destroy(w);
    return status;
}

struct store_stats rig_stats(struct rig *r)
{
    struct store_stats stats;

    r->store->ops->stats(r->store, &stats);
    return stats;
}

struct rig_look {
    struct store_read read;
    struct rig *rig;
    bool is_seek;
    enum store_db db;
    enum store_seek how;
    struct str key, found_key, value;
    enum err status;
};

static void rig_look_run(struct store_read *read, const struct store_view *v)
{
    struct rig_look *l = container_of(read, struct rig_look, read);

    if (l->is_seek)
        l->status = store_seek(v, l->db, l->how, l->key, &l->rig->arena, &l->found_key, &l->value);
    else
        l->status = store_get(v, l->db, l->key, &l->rig->arena, &l->value);
}

static void rig_look_done(struct store_read *read)
{
    container_of(read, struct rig_look, read)->rig->n_reads--;
}

static void rig_look(struct rig *r, struct rig_look *l)
{
    enum err e;

    l->rig = r;
    l->read = (struct store_read){ .run = rig_look_run, .done = rig_look_done };
    r->n_reads++;
    e = store_read_start(r->store, &l->read);
    REQUIRE(e == ERR_OK);
    REQUIRE(r->n_reads > 0); /* never inside start */
    rig_settle(r);
}

enum err rig_get(struct rig *r, enum store_db db, struct str key, struct str *value)
{
    struct rig_look l = { .db = db, .key = key };

    rig_look(r, &l);
    if (value)
        *value = l.value;
    return l.status;
}

enum err rig_seek(struct rig *r, enum store_db db, enum store_seek how, struct str key,
                  struct str *found_key, struct str *value)
{
    struct rig_look l = { .is_seek = true, .db = db, .how = how, .key = key };

    rig_look(r, &l);
    *found_key = l.found_key;
    *value = l.value;
    return l.status;
}
