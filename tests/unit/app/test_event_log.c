/* The event log by itself, without the bus: what it refuses, and an append that is taken back. */
#include "orderly/app/event_log.h"
#include "orderly/app/metrics.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_virtual.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/infra/virtual/seeded_random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct log_world {
    struct manual_scheduler ms;
    struct seeded_random random;
    struct metrics metrics;
    struct engine *engine;
    struct store_virtual store;
    struct event_log log;
    uint64_t n_published, last_published;
    unsigned n_done;
};

static struct log_world w;

static void world_publish(void *ctx, struct message *m)
{
    (void)ctx;
    w.n_published++;
    w.last_published = m->event.position;
}

static int world_begins(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    manual_scheduler_init(&w.ms);
    seeded_random_init(&w.random, 1);
    w.engine = memory_engine_create(MEMORY_EVENTS_MAX_DEFAULT);
    store_virtual_init(&w.store, w.engine);
    event_log_init(&w.log, &w.store.port, &w.ms.scheduler, &w.random.random, &w.metrics);
    w.log.publish = world_publish;
    return 0;
}

static void commit(void)
{
    (void)store_virtual_run(&w.store, STORE_VIRTUAL_ALL);
    while (event_log_run(&w.log, 256))
        continue;
}

static int world_ends(void **state)
{
    (void)state;
    commit();
    event_log_deinit(&w.log);
    store_virtual_deinit(&w.store);
    memory_engine_destroy(w.engine);
    return 0;
}

static void append_done(struct append *a)
{
    w.n_done++;
    mem_free(a);
}

static struct event an_event(uint64_t sequence)
{
    return (struct event){
        .type = EVENT_CART_CREATED,
        .stream = { .type = AGGREGATE_CART, .id = { .n = 1, .s = "c" } },
        .sequence = sequence,
    };
}

static enum err append(enum append_kind kind)
{
    struct append *a = mem_alloc(sizeof(*a));
    enum err err = append_begin(a, &w.log, kind);

    if (err != ERR_OK) {
        mem_free(a);
        return err;
    }
    append_put(a, DB_CURSORS, STR("k"), STR("v"));
    append_submit(a, append_done);
    return ERR_OK;
}

static void queue__takes_commands_to_three_quarters_and_consequences_to_the_end(void **state)
{
    unsigned n = 0;

    (void)state;
    for (; n < STORE_QUEUE_COMMANDS_MAX; n++)
        assert_int_equal(append(APPEND_COMMAND), ERR_OK);
    assert_int_equal(append(APPEND_COMMAND), ERR_BUSY);
    for (; n < STORE_QUEUE_MAX; n++)
        assert_int_equal(append(APPEND_CONSEQUENCE), ERR_OK);
    assert_int_equal(append(APPEND_CONSEQUENCE), ERR_BUSY);
    commit();
    assert_int_equal(w.n_done, STORE_QUEUE_MAX);
    assert_int_equal(append(APPEND_COMMAND), ERR_OK);
}

static void log__that_is_closed_takes_consequences_and_no_commands(void **state)
{
    (void)state;
    w.log.is_closed = true;
    assert_int_equal(append(APPEND_COMMAND), ERR_SHUTTING_DOWN);
    assert_int_equal(append(APPEND_CONSEQUENCE), ERR_OK);
}

static void append__that_is_taken_back_leaves_its_positions_to_the_next(void **state)
{
    struct append *a = mem_alloc(sizeof(*a));
    struct event e[3] = { an_event(1), an_event(2), an_event(1) };

    (void)state;
    assert_int_equal(append_begin(a, &w.log, APPEND_COMMAND), ERR_OK);
    append_event(a, &e[0]);
    append_event(a, &e[1]);
    assert_int_equal(e[1].position, 2);
    append_abandon(a);
    assert_int_equal(w.log.in_flight, 0);
    assert_int_equal(append_begin(a, &w.log, APPEND_COMMAND), ERR_OK);
    append_event(a, &e[2]);
    assert_int_equal(e[2].position, 1);
    append_submit(a, append_done);
    commit();
    assert_int_equal(w.n_done, 1);
    assert_int_equal(w.n_published, 1);
    assert_int_equal(w.last_published, 1);
    assert_int_equal(w.log.durable_position, 1);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_begins, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(queue__takes_commands_to_three_quarters_and_consequences_to_the_end),
        WORLD(log__that_is_closed_takes_consequences_and_no_commands),
        WORLD(append__that_is_taken_back_leaves_its_positions_to_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
