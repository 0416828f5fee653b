/* What only the threaded store does: hold a batch back, fail, close. The engine under it is memory,
 * with a gate in front of apply and faults on demand. */
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "support/store_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct gated_engine {
    struct engine engine;
    struct engine *inner;
    bool is_gated; /* set before the store starts */
    uv_sem_t entered, gate;
    unsigned fail_nth; /* 0: none; writer thread only, once the store runs */
    enum err fail_with;
    enum err view_status;
    unsigned applied; /* writes; writer thread only, read after the store is closed */
};

static enum err gated_apply(struct engine *e, const struct list *writes)
{
    struct gated_engine *g = container_of(e, struct gated_engine, engine);

    if (g->is_gated) {
        uv_sem_post(&g->entered);
        uv_sem_wait(&g->gate);
    }
    if (g->fail_nth > 0 && --g->fail_nth == 0)
        return g->fail_with;
    list_for_each(at, writes) g->applied++;
    return g->inner->ops->apply(g->inner, writes);
}

static enum err gated_view_begin(struct engine *e, void **txn)
{
    struct gated_engine *g = container_of(e, struct gated_engine, engine);

    *txn = NULL;
    return g->view_status;
}

static void gated_view_end(struct engine *e, void *txn)
{
    (void)txn;
    assert_int_equal(container_of(e, struct gated_engine, engine)->view_status, ERR_OK);
}

static enum err gated_get(struct engine *e, void *txn, enum store_db db, struct str key,
                          struct arena *a, struct str *value)
{
    struct gated_engine *g = container_of(e, struct gated_engine, engine);

    return g->inner->ops->get(g->inner, txn, db, key, a, value);
}

static enum err gated_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                           struct str key, struct arena *a, struct str *found, struct str *value)
{
    struct gated_engine *g = container_of(e, struct gated_engine, engine);

    return g->inner->ops->seek(g->inner, txn, db, how, key, a, found, value);
}

static void gated_stats(struct engine *e, struct store_stats *out)
{
    struct gated_engine *g = container_of(e, struct gated_engine, engine);

    g->inner->ops->stats(g->inner, out);
}

static const struct engine_ops gated_ops = {
    .apply = gated_apply,
    .view_begin = gated_view_begin,
    .view_end = gated_view_end,
    .get = gated_get,
    .seek = gated_seek,
    .stats = gated_stats,
};

/* ---- the bench ------------------------------------------------------------------- */

struct desk {
    uv_loop_t loop;
    struct gated_engine engine;
    struct store_thread *thread;
    struct store *store;
    struct a_write *writes[12000];
    unsigned n, n_back, n_calls; /* of on_written */
    enum err fatal;
    unsigned n_fatal;
    bool is_closed;
    void (*on_back)(struct desk *d, struct a_write *w);
};

static void desk_on_written(void *ctx, struct list *writes)
{
    struct desk *d = ctx;

    d->n_calls++;
    while (!list_is_empty(writes)) {
        struct store_write *write = container_of(list_pop_front(writes), struct store_write, link);
        struct a_write *w = container_of(write, struct a_write, write);

        assert_int_equal(w->id, d->n_back); /* in order */
        d->n_back++;
        w->back++;
        if (d->on_back)
            d->on_back(d, w);
    }
}

static void desk_on_fatal(void *ctx, enum err why)
{
    struct desk *d = ctx;

    d->fatal = why;
    d->n_fatal++;
}

static struct desk *desk_open(bool is_gated)
{
    struct desk *d = mem_zalloc(sizeof(*d));

    assert_int_equal(uv_loop_init(&d->loop), 0);
    d->engine.engine.ops = &gated_ops;
    d->engine.inner = memory_engine_create(1000000);
    d->engine.is_gated = is_gated;
    assert_int_equal(uv_sem_init(&d->engine.entered, 0), 0);
    assert_int_equal(uv_sem_init(&d->engine.gate, 0), 0);
    d->thread = store_thread_create(&d->loop, &d->engine.engine, desk_on_fatal, d);
    d->store = store_thread_port(d->thread);
    d->store->on_written = desk_on_written;
    d->store->ctx = d;
    return d;
}

static void desk_on_closed(void *ctx)
{
    struct desk *d = ctx;

    assert_false(d->is_closed);
    d->is_closed = true;
}

static void desk_run_to_the_end(struct desk *d)
{
    while (!d->is_closed)
        (void)uv_run(&d->loop, UV_RUN_ONCE);
}

static void desk_destroy(struct desk *d)
{
    assert_int_equal(uv_loop_close(&d->loop), 0);
    memory_engine_destroy(d->engine.inner);
    uv_sem_destroy(&d->engine.entered);
    uv_sem_destroy(&d->engine.gate);
    for (unsigned i = 0; i < d->n; i++)
        a_write_destroy(d->writes[i]);
    mem_free(d);
}

static void desk_close(struct desk *d)
{
    store_thread_close(d->thread, desk_on_closed, d);
    assert_false(d->is_closed); /* always later */
    desk_run_to_the_end(d);
    desk_destroy(d);
}

static struct a_write *desk_start(struct desk *d)
{
    struct a_write *w = a_write_create(d->n);

    a_write_event(w, d->n, STR("event"));
    assert_int_equal(store_write_start(d->store, &w->write), ERR_OK);
    d->writes[d->n++] = w;
    return w;
}

static void desk_settle(struct desk *d)
{
    while (d->n_back < d->n)
        (void)uv_run(&d->loop, UV_RUN_ONCE);
}

/* Hands over what was started; the first write is then at the gate. */
static void desk_reach_the_gate(struct desk *d)
{
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_sem_wait(&d->engine.entered);
}

static void desk_open_the_gate(struct desk *d)
{
    for (unsigned i = 0; i < 1000; i++)
        uv_sem_post(&d->engine.gate);
}

static struct store_stats desk_stats(struct desk *d)
{
    struct store_stats stats;

    d->store->ops->stats(d->store, &stats);
    return stats;
}

/* ---- tests ------------------------------------------------------------------------- */

static void store_thread__takes_everything_that_waits_into_the_next_batch(void **state)
{
    struct desk *d = desk_open(true);
    struct store_stats stats;

    (void)state;
    (void)desk_start(d);
    desk_reach_the_gate(d);
    for (unsigned turn = 0; turn < 90; turn++) {
        for (unsigned i = 0; i < 100; i++)
            (void)desk_start(d);
        (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(desk_stats(d).waiting, 9001);
    assert_int_equal(desk_stats(d).commits, 0);
    desk_open_the_gate(d);
    desk_settle(d);
    stats = desk_stats(d);
    assert_int_equal(stats.commits, 1 + 3); /* 1, then 4096, 4096, 808 */
    assert_int_equal(stats.commit_events, 9001);
    assert_int_equal(stats.batch_events_last, 808);
    assert_int_equal(stats.opened->duration.n, 4);
    assert_int_equal(stats.opened->events, 9001);
    assert_int_equal(stats.opened->by_size[0], 1);
    assert_int_equal(stats.opened->by_size[10], 1);
    assert_int_equal(stats.opened->by_size[12], 2);
    assert_true(d->n_calls <= 4); /* one letter a batch */
    desk_close(d);
}

/* Two batches and a bit wait; while the first of them is written, more comes. */
static void store_thread__fills_a_batch_with_what_came_meanwhile(void **state)
{
    struct desk *d = desk_open(true);

    (void)state;
    (void)desk_start(d);
    desk_reach_the_gate(d);
    for (unsigned i = 0; i < STORE_BATCH_EVENTS_MAX + 100; i++)
        (void)desk_start(d);
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_sem_post(&d->engine.gate);
    uv_sem_wait(&d->engine.entered); /* a full batch is at the gate, 100 writes are behind it */
    for (unsigned i = 0; i < 500; i++)
        (void)desk_start(d);
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    desk_open_the_gate(d);
    desk_settle(d);
    assert_int_equal(desk_stats(d).commits, 3);
    assert_int_equal(desk_stats(d).batch_events_last, 600);
    desk_close(d);
}

static void store_thread__ends_a_batch_at_its_limit_of_bytes(void **state)
{
    struct desk *d = desk_open(true);
    size_t n = STORE_BATCH_BYTES_MAX / 4;
    char *quarter = mem_zalloc(n);

    (void)state;
    (void)desk_start(d);
    desk_reach_the_gate(d);
    for (unsigned i = 0; i < 7; i++) {
        struct a_write *w = a_write_create(d->n);

        a_write_put(w, DB_META, STR("k"), (struct str){ quarter, n });
        assert_int_equal(store_write_start(d->store, &w->write), ERR_OK);
        d->writes[d->n++] = w;
    }
    desk_open_the_gate(d);
    desk_settle(d);
    assert_int_equal(desk_stats(d).commits, 1 + 3); /* 3 of them and their keys a batch: 3, 3, 1 */
    mem_free(quarter);
    desk_close(d);
}

static void start_one_more(struct desk *d, struct a_write *w)
{
    if (w->write.status == ERR_FULL && d->n < 30)
        (void)desk_start(d);
}

static void store_thread__writes_nothing_that_was_handed_over_before_a_failure_was_told(
    void **state)
{
    struct desk *d = desk_open(true);

    (void)state;
    d->engine.fail_nth = 2;
    d->engine.fail_with = ERR_FULL;
    d->on_back = start_one_more;
    (void)desk_start(d); /* succeeds */
    desk_reach_the_gate(d);
    for (unsigned i = 1; i < 10; i++)
        (void)desk_start(d); /* the batch that fails */
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_sem_post(&d->engine.gate);
    uv_sem_wait(&d->engine.entered); /* the second batch is at the gate */
    for (unsigned i = 10; i < 15; i++)
        (void)desk_start(d); /* handed over behind it */
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    assert_int_equal(d->n_back, 1);
    for (unsigned i = 15; i < 20; i++)
        (void)desk_start(d); /* not even handed over */
    desk_open_the_gate(d);
    desk_settle(d);
    assert_int_equal(d->n, 30); /* ten more were started while they heard of it */
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(d->writes[i]->write.status, i >= 1 && i < 20 ? ERR_FULL : ERR_OK);
    assert_int_equal(desk_stats(d).events, 11);
    store_thread_close(d->thread, desk_on_closed, d);
    desk_run_to_the_end(d);
    assert_int_equal(d->engine.applied, 11);
    desk_destroy(d);
}

static void nothing_to_run(struct store_read *read, const struct store_view *v)
{
    (void)read;
    (void)v;
}

static void nothing_to_do(struct store_read *read)
{
    (void)read;
}

static void store_thread__answers_nothing_after_a_fatal_failure(void **state)
{
    struct desk *d = desk_open(false);
    struct store_read read = { .run = nothing_to_run, .done = nothing_to_do };
    struct a_write *late = a_write_create(0);

    (void)state;
    d->engine.fail_nth = 1;
    d->engine.fail_with = ERR_IO;
    for (unsigned i = 0; i < 3000; i++)
        (void)desk_start(d);
    while (d->n_fatal == 0)
        (void)uv_run(&d->loop, UV_RUN_ONCE);
    assert_int_equal(d->fatal, ERR_IO);
    a_write_event(late, 5000, STR("late"));
    assert_int_equal(store_write_start(d->store, &late->write), ERR_IO);
    assert_int_equal(store_read_start(d->store, &read), ERR_IO);
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    assert_int_equal(d->n_back, 0);
    assert_int_equal(d->n_fatal, 1);
    a_write_destroy(late);
    desk_close(d);
}

static void store_thread__gives_back_what_it_took_before_it_closes(void **state)
{
    struct desk *d = desk_open(true);
    struct store_read read = { .run = nothing_to_run, .done = nothing_to_do };
    struct a_write *late = a_write_create(0);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        (void)desk_start(d);
    desk_reach_the_gate(d);
    for (unsigned i = 0; i < 100; i++)
        (void)desk_start(d);
    store_thread_close(d->thread, desk_on_closed, d);
    a_write_event(late, 5000, STR("late"));
    assert_int_equal(store_write_start(d->store, &late->write), ERR_SHUTTING_DOWN);
    assert_int_equal(store_read_start(d->store, &read), ERR_SHUTTING_DOWN);
    (void)uv_run(&d->loop, UV_RUN_NOWAIT);
    assert_false(d->is_closed);
    desk_open_the_gate(d);
    desk_run_to_the_end(d);
    assert_int_equal(d->n_back, 200);
    assert_int_equal(d->writes[199]->write.status, ERR_OK);
    a_write_destroy(late);
    desk_destroy(d);
}

/* ---- reads ----------------------------------------------------------------------- */

struct counted_read {
    struct store_read read;
    atomic_int *running, *most;
    unsigned *left;
    enum err status;
};

static void counted_run(struct store_read *read, const struct store_view *v)
{
    struct counted_read *c = container_of(read, struct counted_read, read);
    int now = atomic_fetch_add(c->running, 1) + 1;
    int most = atomic_load(c->most);
    _Alignas(16) char block[256];
    struct arena a;

    while (now > most && !atomic_compare_exchange_weak(c->most, &most, now))
        ;
    arena_init(&a, block, sizeof(block));
    c->status = store_get(v, DB_META, STR("none"), &a, NULL);
    arena_deinit(&a);
    atomic_fetch_sub(c->running, 1);
}

static void counted_done(struct store_read *read)
{
    (*container_of(read, struct counted_read, read)->left)--;
}

static void run_counted_reads(struct desk *d, struct counted_read *reads, unsigned n)
{
    atomic_int running = 0;
    atomic_int most = 0;
    unsigned left = n;

    for (unsigned i = 0; i < n; i++) {
        reads[i] = (struct counted_read){
            .read = { .run = counted_run, .done = counted_done },
            .running = &running,
            .most = &most,
            .left = &left,
        };
        assert_int_equal(store_read_start(d->store, &reads[i].read), ERR_OK);
    }
    while (left > 0)
        (void)uv_run(&d->loop, UV_RUN_ONCE);
    assert_in_range(atomic_load(&most), 1, 4);
    assert_int_equal(atomic_load(&running), 0);
}

static void store_thread__runs_few_reads_at_a_time(void **state)
{
    static struct counted_read reads[2000];
    struct desk *d = desk_open(false);

    (void)state;
    run_counted_reads(d, reads, ARRAY_LEN(reads));
    for (unsigned i = 0; i < ARRAY_LEN(reads); i++)
        assert_int_equal(reads[i].status, ERR_NOT_FOUND);
    desk_close(d);
}

static void store_thread__tells_a_read_why_there_is_no_view(void **state)
{
    struct counted_read read;
    struct desk *d = desk_open(false);

    (void)state;
    d->engine.view_status = ERR_LIMIT;
    run_counted_reads(d, &read, 1);
    assert_int_equal(read.status, ERR_LIMIT);
    desk_close(d);
}

static void store_thread__closes_with_nothing_in_flight(void **state)
{
    (void)state;
    desk_close(desk_open(false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_thread__takes_everything_that_waits_into_the_next_batch),
        cmocka_unit_test(store_thread__fills_a_batch_with_what_came_meanwhile),
        cmocka_unit_test(store_thread__ends_a_batch_at_its_limit_of_bytes),
        cmocka_unit_test(
            store_thread__writes_nothing_that_was_handed_over_before_a_failure_was_told),
        cmocka_unit_test(store_thread__answers_nothing_after_a_fatal_failure),
        cmocka_unit_test(store_thread__gives_back_what_it_took_before_it_closes),
        cmocka_unit_test(store_thread__runs_few_reads_at_a_time),
        cmocka_unit_test(store_thread__tells_a_read_why_there_is_no_view),
        cmocka_unit_test(store_thread__closes_with_nothing_in_flight),
    };

    /* More threads than the store may use at once, so that its own bound is what shows. */
    (void)setenv("UV_THREADPOOL_SIZE", "12", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
