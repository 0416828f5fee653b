/* Messages of one batch whose answers of an earlier time are read at once, as on the threads of a
 * pool: all of the reads run before one of them is done, they are done in the other order, and each
 * finds an arena as it was before any of them ran, as if they took their piece of it at the same
 * moment. What two of them share is then the same piece, each time. */
#include "api_fixture.h"
#include "orderly/base/list.h"

#define BATCH "Content-Type: application/cloudevents-batch+json\r\n"
#define EVENTS 5

/* ---- reads at once --------------------------------------------------------------------------- */

/* The store port of the fixture, but for its reads, which wait here until they are run. */
struct reads {
    struct store_virtual *store;
    const struct store_ops *inner;
    struct store_ops ops;
    struct list waiting;
    unsigned n_waiting;
    /* Arenas that keys were read into since the reads began to run, as they were before. */
    struct arena_before {
        struct arena *arena, before;
    } seen[EVENTS];
    unsigned n_seen;
};

struct read_at_once {
    struct store_read read; /* around the one of the app */
    struct store_read *inner;
    struct store_view view; /* around the one of the engine */
    const struct store_view *engine_view;
};

static struct reads reads;

static void arena_as_it_was(struct arena *a)
{
    for (unsigned i = 0; i < reads.n_seen; i++) {
        if (reads.seen[i].arena == a) {
            *a = reads.seen[i].before;
            return;
        }
    }
    REQUIRE(reads.n_seen < ARRAY_LEN(reads.seen));
    reads.seen[reads.n_seen++] = (struct arena_before){ .arena = a, .before = *a };
}

static enum err get_at_once(const struct store_view *v, enum store_db db, struct str key,
                            struct arena *a, struct str *value)
{
    const struct store_view *inner = container_of(v, struct read_at_once, view)->engine_view;

    if (db == DB_IDEMPOTENCY)
        arena_as_it_was(a);
    return store_get(inner, db, key, a, value);
}

static const struct store_view_ops view_at_once = { .get = get_at_once };

static void run_at_once(struct store_read *read, const struct store_view *v)
{
    struct read_at_once *r = container_of(read, struct read_at_once, read);

    r->view.ops = &view_at_once;
    r->engine_view = v;
    r->inner->run(r->inner, &r->view);
}

static int64_t no_clock(void)
{
    return 0;
}

static enum err reads_take(struct store *port, struct store_read *read)
{
    (void)port;
    list_push_back(&reads.waiting, &read->link);
    reads.n_waiting++;
    return ERR_OK;
}

static void reads_hold(struct store_virtual *store)
{
    reads = (struct reads){ .store = store, .inner = store->port.ops, .ops = *store->port.ops };
    reads.ops.read = reads_take;
    list_init(&reads.waiting);
    store->port.ops = &reads.ops;
}

static void reads_run_at_once(void)
{
    struct list done;

    list_init(&done);
    while (!list_is_empty(&reads.waiting)) {
        struct store_read *inner =
            container_of(list_pop_front(&reads.waiting), struct store_read, link);
        struct read_at_once r = { .read.run = run_at_once, .inner = inner };

        engine_run_read(reads.store->engine, no_clock, INT64_MAX, &r.read);
        list_push_front(&done, &inner->link);
    }
    reads.store->port.ops = reads.inner;
    while (!list_is_empty(&done)) {
        struct store_read *read = container_of(list_pop_front(&done), struct store_read, link);

        read->done(read);
    }
}

/* ---- the batch ------------------------------------------------------------------------------- */

static int setup(void **state)
{
    static struct api_fixture f;

    api_fixture_init(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    api_fixture_deinit(*state);
    return 0;
}

static void batch__that_comes_again_has_the_answer_of_each_message_though_all_are_read_at_once(
    void **state)
{
    struct api_fixture *f = *state;
    struct buf batch = { NULL, 0, 0 }, first = { NULL, 0, 0 };

    /* Of an order each, or they would run one after the other. */
    for (unsigned i = 0; i < EVENTS; i++)
        buf_printf(&batch,
                   "%s{\"specversion\":\"1.0\",\"id\":\"e-%u\",\"source\":\"/\",\"type\":"
                   "\"payment.declined\",\"data\":{\"orderId\":\"o-%u\",\"reason\":\"no\"}}",
                   i ? "," : "[", i, i);
    buf_add(&batch, "]", 2);
    assert_int_equal(ask_with(f, "POST", "/messages", BATCH, batch.p), 202);
    assert_int_equal(count(f, "/results"), EVENTS);
    buf_add(&first, f->body.p, f->body.n + 1);

    reads_hold(&f->app.store);
    ask_start(f, "POST", "/messages", BATCH, batch.p);
    assert_int_equal(f->status, 0);
    assert_int_equal(reads.n_waiting, EVENTS);
    reads_run_at_once();
    settle(f);
    take_answer(f, true);
    assert_int_equal(f->status, 202);
    assert_string_equal(f->body.p, first.p);
    buf_deinit(&batch);
    buf_deinit(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            batch__that_comes_again_has_the_answer_of_each_message_though_all_are_read_at_once,
            setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
