/* What only the virtual store does: wait for the test's word, fail on demand, forget. */
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "support/store_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct desk {
    struct engine *engine;
    struct store_virtual store;
    struct a_write *writes[10];
    unsigned n, n_back;
    unsigned n_fatal;
    enum err fatal;
};

static void desk_on_written(void *ctx, struct list *writes)
{
    struct desk *d = ctx;

    while (!list_is_empty(writes)) {
        struct store_write *write = container_of(list_pop_front(writes), struct store_write, link);
        struct a_write *w = container_of(write, struct a_write, write);

        assert_int_equal(w->id, d->n_back);
        d->n_back++;
        w->back++;
    }
}

static void desk_on_fatal(void *ctx, enum err why)
{
    struct desk *d = ctx;

    d->fatal = why;
    d->n_fatal++;
}

/* With ten writes that wait, one event each. */
static struct desk *desk_open(void)
{
    struct desk *d = mem_zalloc(sizeof(*d));

    d->engine = memory_engine_create(1000);
    store_virtual_init(&d->store, d->engine);
    d->store.port.on_written = desk_on_written;
    d->store.port.ctx = d;
    d->store.on_fatal = desk_on_fatal;
    d->store.fatal_ctx = d;
    for (; d->n < ARRAY_LEN(d->writes); d->n++) {
        struct a_write *w = a_write_create(d->n);

        a_write_event(w, d->n, STR("event"));
        assert_int_equal(store_write_start(&d->store.port, &w->write), ERR_OK);
        d->writes[d->n] = w;
    }
    return d;
}

static void desk_close(struct desk *d)
{
    store_virtual_deinit(&d->store);
    memory_engine_destroy(d->engine);
    for (unsigned i = 0; i < d->n; i++)
        a_write_destroy(d->writes[i]);
    mem_free(d);
}

static uint64_t desk_events(struct desk *d)
{
    struct store_stats stats;

    d->store.port.ops->stats(&d->store.port, &stats);
    return stats.events;
}

static void assert_statuses(const struct desk *d, unsigned from, unsigned to, enum err expected)
{
    for (unsigned i = from; i < to; i++) {
        assert_int_equal(d->writes[i]->back, 1);
        assert_int_equal(d->writes[i]->write.status, expected);
    }
}

static void store_virtual__commits_as_many_writes_as_it_is_told(void **state)
{
    struct desk *d = desk_open();

    (void)state;
    assert_int_equal(d->n_back, 0);
    assert_int_equal(desk_events(d), 0);
    assert_int_equal(store_virtual_run(&d->store, 3), 3);
    assert_int_equal(d->n_back, 3);
    assert_int_equal(desk_events(d), 3);
    assert_int_equal(store_virtual_run(&d->store, STORE_VIRTUAL_ALL), 7);
    assert_int_equal(store_virtual_run(&d->store, STORE_VIRTUAL_ALL), 0);
    assert_statuses(d, 0, 10, ERR_OK);
    assert_int_equal(d->store.commits, 2);
    assert_int_equal(d->store.batch_events_last, 7);
    desk_close(d);
}

static void store_virtual__fails_the_nth_write_and_all_that_wait_behind(void **state)
{
    struct desk *d = desk_open();

    (void)state;
    store_virtual_fail_write(&d->store, 5, ERR_FULL);
    assert_int_equal(store_virtual_run(&d->store, 3), 3);
    assert_int_equal(store_virtual_run(&d->store, 3), 7);
    assert_statuses(d, 0, 4, ERR_OK);
    assert_statuses(d, 4, 10, ERR_FULL);
    assert_int_equal(desk_events(d), 4);
    desk_close(d);
}

static void store_virtual__says_what_is_fatal_and_answers_no_more(void **state)
{
    struct desk *d = desk_open();

    (void)state;
    store_virtual_fail_write(&d->store, 2, ERR_IO);
    assert_int_equal(store_virtual_run(&d->store, STORE_VIRTUAL_ALL), 0);
    assert_int_equal(d->n_fatal, 1);
    assert_int_equal(d->fatal, ERR_IO);
    assert_int_equal(d->n_back, 0);
    assert_int_equal(store_write_start(&d->store.port, &d->writes[0]->write), ERR_IO);
    assert_int_equal(store_virtual_run(&d->store, STORE_VIRTUAL_ALL), 0);
    store_virtual_forget(&d->store);
    desk_close(d);
}

static void store_virtual__keeps_what_was_committed_when_it_forgets(void **state)
{
    struct desk *d = desk_open();

    (void)state;
    assert_int_equal(store_virtual_run(&d->store, 4), 4);
    store_virtual_forget(&d->store);
    assert_int_equal(store_virtual_run(&d->store, STORE_VIRTUAL_ALL), 0);
    assert_int_equal(d->n_back, 4);
    assert_int_equal(desk_events(d), 4);
    desk_close(d);
}

struct one_read {
    struct store_read read;
    struct store_virtual *store;
    unsigned runs, dones;
    bool was_late, again;
};

static void one_read_run(struct store_read *read, const struct store_view *v)
{
    struct one_read *o = container_of(read, struct one_read, read);

    o->runs++;
    o->was_late = v->ops->is_late(v);
}

static void one_read_done(struct store_read *read)
{
    struct one_read *o = container_of(read, struct one_read, read);

    o->dones++;
    if (o->again)
        assert_int_equal(store_read_start(&o->store->port, read), ERR_OK);
}

static void store_virtual__runs_reads_when_it_is_told_and_may_call_them_late(void **state)
{
    struct desk *d = desk_open();
    struct one_read o = { .read = { .run = one_read_run, .done = one_read_done },
                          .store = &d->store,
                          .again = true };

    (void)state;
    assert_int_equal(store_read_start(&d->store.port, &o.read), ERR_OK);
    assert_int_equal(o.runs, 0);
    /* What done starts waits for the next call. */
    assert_int_equal(store_virtual_run_reads(&d->store, STORE_VIRTUAL_ALL), 1);
    assert_int_equal(o.runs, 1);
    assert_int_equal(o.dones, 1);
    assert_false(o.was_late);
    d->store.reads_are_late = true;
    o.again = false;
    assert_int_equal(store_virtual_run_reads(&d->store, STORE_VIRTUAL_ALL), 1);
    assert_true(o.was_late);
    assert_int_equal(store_virtual_run_reads(&d->store, STORE_VIRTUAL_ALL), 0);
    store_virtual_forget(&d->store);
    desk_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_virtual__commits_as_many_writes_as_it_is_told),
        cmocka_unit_test(store_virtual__fails_the_nth_write_and_all_that_wait_behind),
        cmocka_unit_test(store_virtual__says_what_is_fatal_and_answers_no_more),
        cmocka_unit_test(store_virtual__keeps_what_was_committed_when_it_forgets),
        cmocka_unit_test(store_virtual__runs_reads_when_it_is_told_and_may_call_them_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
