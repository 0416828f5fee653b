#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WINDOW 4

static struct bus_world w;

static enum answer answer_later(struct player *p, struct delivery *d)
{
    (void)p;
    (void)d;
    return ANSWER_LATER;
}

static int world_with_a_small_window(void **state)
{
    struct player *p;

    bus_world_init(&w, 1);
    *state = p = bus_world_add(&w);
    p->s.config.window = WINDOW;
    p->decide = answer_later;
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    bus_world_deinit(&w);
    return 0;
}

static void publish_lanes(unsigned from, unsigned to)
{
    for (unsigned lane = from; lane <= to; lane++)
        bus_world_publish(&w, lane);
}

static void answer_all(struct player *p)
{
    bus_world_settle(&w);
    while (p->n_held > 0) {
        player_answer(p, 0, ANSWER_DONE);
        bus_world_settle(&w);
    }
}

static void assert_all_in_order_and_once(const struct player *p, size_t n)
{
    assert_int_equal(p->n_handed, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p->journal[i].position, i + 1);
}

static void window__takes_n_messages_by_hand_over_and_no_more(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW);
    bus_world_settle(&w);
    assert_true(p->s.is_live);
    assert_int_equal(p->s.n_in_work, WINDOW);
    publish_lanes(WINDOW + 1, WINDOW + 1);
    bus_world_settle(&w);
    assert_false(p->s.is_live);
    assert_int_equal(p->s.n_in_work, WINDOW);
    assert_int_equal(p->n_handed, WINDOW);
    assert_int_equal(subscription_lag(&p->s), WINDOW + 1);
    answer_all(p);
    assert_all_in_order_and_once(p, WINDOW + 1);
    assert_true(p->s.is_live);
    assert_int_equal(subscription_lag(&p->s), 0);
}

static void window__reads_the_log_until_it_has_caught_up_and_is_live_again(void **state)
{
    struct player *p = *state;

    publish_lanes(1, 50);
    assert_int_equal(p->s.n_in_work, WINDOW);
    answer_all(p);
    assert_true(p->s.is_live);
    publish_lanes(51, 52);
    answer_all(p);
    assert_all_in_order_and_once(p, 52);
}

static void window__loses_nothing_that_is_published_while_a_read_is_in_flight(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW + 1);
    bus_world_settle(&w);
    while (p->n_held > 0)
        player_answer(p, 0, ANSWER_DONE);
    bus_world_turn(&w);
    assert_true(p->s.is_reading);
    publish_lanes(10, 12); /* the read does not see them, and nobody takes them */
    assert_int_equal(p->s.n_in_work, 0);
    store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL);
    assert_false(p->s.is_live);
    publish_lanes(13, 13);
    answer_all(p);
    assert_all_in_order_and_once(p, WINDOW + 5);
    assert_true(p->s.is_live);
}

static void window__reads_nothing_that_is_durable_but_not_yet_published(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW + 1);
    bus_world_settle(&w);
    while (p->n_held > 0)
        player_answer(p, 0, ANSWER_DONE);
    assert_true(bus_world_append(&w, 9, EVENT_ORDER_PLACED));
    store_virtual_run(&w.store, STORE_VIRTUAL_ALL); /* durable; its letter waits */
    bus_world_turn(&w);
    store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL);
    assert_int_equal(p->s.taken_position, WINDOW + 1);
    answer_all(p);
    assert_all_in_order_and_once(p, WINDOW + 2);
}

static void window__notes_messages_of_deferred_lanes_that_it_reads(void **state)
{
    struct player *p = *state;
    static const uint64_t expected[] = { 1, 1, WINDOW + 1, WINDOW + 3 };
    size_t n = 0;

    publish_lanes(1, WINDOW);
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 7);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    answer_all(p);
    bus_world_pass_ms(&w, 1000);
    answer_all(p);
    for (size_t i = 0; i < p->n_handed; i++) {
        if (p->journal[i].lane == 1)
            assert_int_equal(p->journal[i].position, expected[n++]);
    }
    assert_int_equal(n, 4);
    assert_int_equal(p->s.lanes.len, 0);
}

static void window__passes_over_what_is_not_wanted_without_reading_it(void **state)
{
    struct player *p = *state;

    p->wants = EVENT_ORDER_PAID;
    publish_lanes(1, 100);
    assert_true(p->s.is_live);
    assert_int_equal(subscription_cursor(&p->s), 100);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 0);
}

static void window__waits_when_the_store_takes_no_more_reads(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW + 2);
    bus_world_settle(&w);
    w.store.n_reads = STORE_READS_WAITING_MAX; /* as if others had filled it */
    while (p->n_held > 0)
        player_answer(p, 0, ANSWER_DONE);
    bus_world_turn(&w);
    assert_false(p->s.is_reading);
    assert_true(p->s.is_paused);
    w.store.n_reads = 0;
    bus_world_pass_ms(&w, 100);
    answer_all(p);
    assert_all_in_order_and_once(p, WINDOW + 2);
}

/* ---- a log that can't be read ---------------------------------------------------------------- */

struct patch {
    struct store_row rows[1];
    struct store_write write;
    struct list list;
};

static void write_past_the_app(struct store_row row)
{
    struct patch x = { .rows = { row } };

    x.write = (struct store_write){ .rows = x.rows, .n_rows = 1 };
    list_init(&x.list);
    list_push_back(&x.list, &x.write.link);
    assert_int_equal(w.engine->ops->apply(w.engine, &x.list), ERR_OK);
}

static void window__says_that_a_row_is_damaged_and_goes_on_when_it_is_not(void **state)
{
    static const char key[8] = { 0, 0, 0, 0, 0, 0, 0, WINDOW + 2 };
    struct player *p = *state;
    struct wanted {
        struct buf row;
    } kept = { { 0 } };
    struct message *m = NULL;
    struct event e = {
        .type = EVENT_ORDER_PLACED,
        .lane = lane_number(77),
        .sequence = 1,
        .stream = { .type = AGGREGATE_ORDER, .id = { .n = 1, .s = "o" } },
        .position = WINDOW + 2,
    };

    publish_lanes(1, WINDOW + 3);
    bus_world_settle(&w);
    write_past_the_app((struct store_row){
        .db = DB_EVENTS, .key = { key, sizeof(key) }, .value = STR("garbage") });
    answer_all(p);
    bus_world_pass_ms(&w, 5000);
    answer_all(p);
    assert_true(p->s.is_stuck);
    assert_int_equal(p->n_handed, WINDOW + 1); /* up to the damage */
    assert_int_equal(capture_log_count(&w.log_lines, "error log_not_readable"), 1);

    m = message_of_event(&e);
    buf_add_str(&kept.row, m->row);
    write_past_the_app((struct store_row){
        .db = DB_EVENTS, .key = { key, sizeof(key) }, .value = buf_str(&kept.row) });
    buf_deinit(&kept.row);
    message_unref(m);
    bus_world_pass_ms(&w, 1000);
    answer_all(p);
    assert_all_in_order_and_once(p, WINDOW + 3);
    assert_false(p->s.is_stuck);
}

/* ---- after a restart ------------------------------------------------------------------------- */

static void recovery__goes_on_behind_the_cursor(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_DONE);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_pass_ms(&w, 100);
    assert_int_equal(bus_world_stored_cursor(&w, p), 2);
    bus_world_crash(&w);
    p->n_handed = 0;
    bus_world_recover(&w);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 2);
    assert_int_equal(p->journal[0].position, 3);
    assert_int_equal(p->journal[1].position, 4);
    assert_true(p->s.is_live);
    publish_lanes(5, 5);
    answer_all(p);
    assert_int_equal(p->journal[2].position, 5);
}

static void recovery__keeps_attempts_due_times_and_parked_lanes(void **state)
{
    struct player *p = *state;
    struct lane_state states[SUBSCRIPTION_COUNT];
    int64_t due_ms;

    p->s.config.retries = 1;
    publish_lanes(1, 2);
    bus_world_settle(&w);
    player_answer(p, 1, ANSWER_FAIL);
    bus_world_pass_ms(&w, 1000);
    player_answer(p, 1, ANSWER_FAIL); /* 2: parked */
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL); /* 1: waits */
    bus_world_publish(&w, 2);
    bus_world_settle(&w);
    bus_lane_states(&w.bus, lane_number(1), states);
    due_ms = states[0].due_wall_ms;
    bus_world_crash(&w);
    p->n_handed = 0;
    bus_world_recover(&w);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_deferred, 2);
    assert_int_equal(p->s.n_parked, 1);
    assert_int_equal(w.bus.n_dead_letters_open, 1);
    assert_int_equal(bus_lane_states(&w.bus, lane_number(2), states), 1);
    assert_int_equal(states[0].state, LANE_PARKED);
    assert_string_equal(states[0].error_code, "handler_failed");
    assert_int_equal(p->n_handed, 0);
    while (p->n_handed == 0)
        assert_true(bus_world_next_alarm(&w, 1000));
    assert_int_equal(p->journal[0].position, 1);
    assert_int_equal(p->journal[0].attempt, 2);
    assert_in_range(scheduler_wall_ms(&w.ms.scheduler), due_ms, due_ms + 1);
    answer_all(p);
    assert_int_equal(p->n_handed, 1); /* the parked lane stays parked, with what came later */
}

static uint64_t handled_up_to;

static bool handled_before(const struct subscription *s, const struct message *m)
{
    (void)s;
    return m->event.position <= handled_up_to;
}

static void recovery__passes_over_what_was_handled(void **state)
{
    struct player *p = *state;

    publish_lanes(1, WINDOW);
    bus_world_settle(&w);
    bus_world_crash(&w);
    p->n_handed = 0;
    handled_up_to = 3;
    p->s.was_handled = handled_before;
    bus_world_recover(&w);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(p->journal[0].position, 4);
    handled_up_to = 100; /* is asked of what came before the restart only */
    publish_lanes(9, 9);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 2);
    p->s.was_handled = NULL;
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_with_a_small_window, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(window__takes_n_messages_by_hand_over_and_no_more),
        WORLD(window__reads_the_log_until_it_has_caught_up_and_is_live_again),
        WORLD(window__loses_nothing_that_is_published_while_a_read_is_in_flight),
        WORLD(window__reads_nothing_that_is_durable_but_not_yet_published),
        WORLD(window__notes_messages_of_deferred_lanes_that_it_reads),
        WORLD(window__passes_over_what_is_not_wanted_without_reading_it),
        WORLD(window__waits_when_the_store_takes_no_more_reads),
        WORLD(window__says_that_a_row_is_damaged_and_goes_on_when_it_is_not),
        WORLD(recovery__goes_on_behind_the_cursor),
        WORLD(recovery__keeps_attempts_due_times_and_parked_lanes),
        WORLD(recovery__passes_over_what_was_handled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
