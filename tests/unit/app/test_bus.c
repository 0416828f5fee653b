#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct bus_world w;

static enum answer answer_later(struct player *p, struct delivery *d)
{
    (void)p;
    (void)d;
    return ANSWER_LATER;
}

static int world_with_one_player(void **state)
{
    bus_world_init(&w, 1);
    *state = bus_world_add(&w);
    bus_world_start(&w);
    return 0;
}

static int world_with_two_players(void **state)
{
    bus_world_init(&w, 1);
    *state = bus_world_add(&w);
    bus_world_add(&w);
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    bus_world_deinit(&w);
    return 0;
}

static void assert_handed(const struct player *p, size_t i, unsigned lane, uint64_t position)
{
    assert_true(i < p->n_handed);
    assert_int_equal(p->journal[i].lane, lane);
    assert_int_equal(p->journal[i].position, position);
}

/* ---- publish --------------------------------------------------------------------------------- */

static void bus__never_delivers_inside_publish(void **state)
{
    struct player *p = *state;

    bus_world_publish(&w, 1);
    assert_int_equal(p->n_handed, 0);
    assert_true(w.ms.is_awake);
    bus_world_turn(&w);
    assert_int_equal(p->n_handed, 1);
}

static enum answer publish_in_handler(struct player *p, struct delivery *d)
{
    if (d->message->event.position == 1)
        bus_world_publish(&w, 2);
    assert_int_equal(p->n_handed, d->message->event.position);
    return ANSWER_DONE;
}

static void bus__never_delivers_inside_a_publish_that_a_handler_makes(void **state)
{
    struct player *p = *state;

    p->decide = publish_in_handler;
    bus_world_publish(&w, 1);
    assert_true(bus_world_turn(&w)); /* what was published within a turn needs another */
    assert_int_equal(p->n_handed, 1);
    assert_false(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 2);
}

static void bus__gives_only_what_a_subscription_wants(void **state)
{
    struct player *all = *state;
    struct player *some = &w.players[1];

    some->wants = EVENT_ORDER_PAID;
    assert_true(bus_world_append(&w, 1, EVENT_ORDER_PLACED));
    assert_true(bus_world_append(&w, 1, EVENT_ORDER_PAID));
    bus_world_settle(&w);
    assert_int_equal(all->n_handed, 2);
    assert_int_equal(some->n_handed, 1);
    assert_int_equal(some->journal[0].position, 2);
    assert_int_equal(subscription_cursor(&some->s), 2);
}

static void bus__does_not_deliver_internal_events(void **state)
{
    struct player *p = *state;

    assert_true(bus_world_append(&w, 1, EVENT_DEAD_LETTER_DISCARDED));
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 0);
    assert_int_equal(subscription_cursor(&p->s), 1);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void bus__holds_the_lane_until_the_message_is_done(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(bus_in_progress(&w.bus), 1);
    player_answer(p, 0, ANSWER_DONE);
    assert_int_equal(p->n_handed, 1); /* not inside done either */
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 2);
    assert_handed(p, 1, 1, 2);
}

static void bus__does_not_let_different_lanes_wait_for_each_other(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    for (unsigned lane = 1; lane <= 10; lane++)
        bus_world_publish(&w, lane);
    bus_world_settle(&w);
    assert_int_equal(bus_in_progress(&w.bus), 10);
    player_answer(p, 9, ANSWER_DONE); /* and they may end in any order */
    bus_world_publish(&w, 10);
    bus_world_settle(&w);
    assert_handed(p, 10, 10, 11);
}

static void bus__lets_two_subscriptions_work_on_one_order_at_the_same_time(void **state)
{
    struct player *a = *state;
    struct player *b = &w.players[1];

    a->decide = b->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    assert_int_equal(a->n_held, 1);
    assert_int_equal(b->n_held, 1);
    player_answer(b, 0, ANSWER_DONE);
    bus_world_settle(&w);
    assert_int_equal(a->n_handed, 1);
    assert_int_equal(b->n_handed, 2);
}

static enum answer done_and_publish_again(struct player *p, struct delivery *d)
{
    (void)p;
    if (lane_number_of(d->message->event.lane) == 1)
        bus_world_publish(&w, 1);
    return ANSWER_DONE;
}

static void bus__gives_a_lane_that_posts_to_itself_one_message_per_turn(void **state)
{
    struct player *p = *state;

    p->decide = done_and_publish_again;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 2);
    for (unsigned turn = 1; turn <= 5; turn++) {
        assert_true(bus_world_turn(&w));
        assert_int_equal(p->n_handed, turn + 1); /* lane 2 had its one in the first */
    }
    p->decide = NULL;
}

static void bus__gives_each_ready_lane_one_message_per_turn(void **state)
{
    struct player *p = *state;

    for (unsigned i = 0; i < 3; i++) {
        bus_world_publish(&w, 1);
        bus_world_publish(&w, 2);
    }
    assert_true(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 2);
    assert_true(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 4);
    assert_false(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 6);
    for (size_t i = 0; i < 6; i++)
        assert_handed(p, i, i % 2 == 0 ? 1 : 2, i + 1);
}

/* ---- the budget of a turn -------------------------------------------------------------------- */

static void bus__hands_over_256_messages_in_a_turn_and_the_257th_in_the_next(void **state)
{
    struct player *p = *state;

    for (unsigned lane = 1; lane <= BUS_TURN_MESSAGES_MAX; lane++)
        bus_world_publish(&w, lane);
    assert_false(bus_world_turn(&w));
    assert_int_equal(p->n_handed, BUS_TURN_MESSAGES_MAX);

    for (unsigned lane = 1; lane <= BUS_TURN_MESSAGES_MAX + 1; lane++)
        bus_world_publish(&w, lane);
    assert_true(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 2 * BUS_TURN_MESSAGES_MAX);
    bus_world_publish(&w, 1); /* comes behind the one that kept its place */
    assert_false(bus_world_turn(&w));
    assert_int_equal(p->journal[2 * BUS_TURN_MESSAGES_MAX].lane, BUS_TURN_MESSAGES_MAX + 1);
    assert_int_equal(p->journal[2 * BUS_TURN_MESSAGES_MAX + 1].lane, 1);
}

static enum answer take_100_us(struct player *p, struct delivery *d)
{
    (void)p;
    (void)d;
    manual_scheduler_advance_us(&w.ms, 100);
    return ANSWER_DONE;
}

static void bus__ends_a_turn_after_a_millisecond(void **state)
{
    struct player *p = *state;

    p->decide = take_100_us;
    for (unsigned lane = 1; lane <= 11; lane++)
        bus_world_publish(&w, lane);
    assert_true(bus_world_turn(&w)); /* ten fill the millisecond, the eleventh waits */
    assert_int_equal(p->n_handed, 10);
    assert_false(bus_world_turn(&w));
    assert_int_equal(p->n_handed, 11);
}

static void bus__shares_a_short_turn_among_the_subscriptions(void **state)
{
    struct player *a = *state;
    struct player *b = &w.players[1];

    a->decide = b->decide = take_100_us;
    for (unsigned lane = 1; lane <= 30; lane++)
        bus_world_publish(&w, lane);
    bus_world_turn(&w);
    assert_int_equal(a->n_handed, 5);
    assert_int_equal(b->n_handed, 5);
    bus_world_settle(&w);
}

static void bus__asks_for_one_turn_however_much_is_published(void **state)
{
    (void)state;
    bus_world_settle(&w);
    for (unsigned lane = 1; lane <= 5; lane++)
        assert_true(bus_world_append(&w, lane, EVENT_ORDER_PLACED));
    w.ms.n_wakes = 0;
    bus_world_commit(&w);
    assert_int_equal(w.ms.n_wakes, 2); /* the log's own, and ours */
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void bus__counts_what_a_slow_subscription_is_behind(void **state)
{
    struct player *slow = *state;
    struct player *audit = &w.players[1];

    slow->decide = answer_later;
    audit->s.config.counts_for_backlog = false;
    audit->decide = answer_later;
    for (unsigned lane = 1; lane <= 7; lane++)
        bus_world_publish(&w, lane);
    bus_world_settle(&w);
    assert_int_equal(bus_backlog(&w.bus), 7);
    assert_int_equal(subscription_lag(&audit->s), 7);
    for (unsigned i = 0; i < 3; i++)
        player_answer(slow, 0, ANSWER_DONE);
    assert_int_equal(bus_backlog(&w.bus), 4);
    assert_int_equal(subscription_cursor(&slow->s), 3);
    player_answer(slow, 3, ANSWER_DONE); /* 7; a hole leaves the cursor where it is */
    assert_int_equal(subscription_cursor(&slow->s), 3);
}

static void bus__measures_handlers_and_the_way_to_them(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    assert_true(bus_world_append(&w, 1, EVENT_ORDER_PLACED));
    manual_scheduler_advance_us(&w.ms, 1500);
    bus_world_settle(&w);
    manual_scheduler_advance_us(&w.ms, 700);
    player_answer(p, 0, ANSWER_DONE);
    assert_int_equal(w.metrics.publish_handled.n, 1);
    assert_int_equal(w.metrics.publish_handled.max_us, 1500);
    assert_int_equal(w.metrics.handler_duration[p->s.config.id].n, 1);
    assert_int_equal(w.metrics.handler_duration[p->s.config.id].max_us, 700);
}

static void bus__keeps_lanes_only_while_they_hold_something(void **state)
{
    struct player *p = *state;
    struct lane_state states[SUBSCRIPTION_COUNT];

    for (unsigned lane = 1; lane <= 100; lane++)
        bus_world_publish(&w, lane);
    assert_int_equal(p->s.lanes.len, 100);
    assert_int_equal(bus_lane_states(&w.bus, lane_number(5), states), 1);
    assert_int_equal(states[0].state, LANE_WAITING);
    assert_int_equal(states[0].position, 5);
    bus_world_settle(&w);
    assert_int_equal(p->s.lanes.len, 0);
    assert_int_equal(bus_lane_states(&w.bus, lane_number(5), states), 0);
}

/* ---- cursors and drain ----------------------------------------------------------------------- */

static void bus__stores_a_cursor_at_most_every_100_ms_and_only_when_it_moved(void **state)
{
    struct player *p = *state;
    uint64_t commits;

    for (unsigned lane = 1; lane <= 10; lane++)
        bus_world_publish(&w, lane);
    bus_world_settle(&w);
    assert_int_equal(bus_world_stored_cursor(&w, p), 0);
    bus_world_pass_ms(&w, 100);
    assert_int_equal(bus_world_stored_cursor(&w, p), 10);
    commits = w.store.commits;
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(w.store.commits, commits);
    assert_true(w.ms.alarm_ms == INT64_MAX); /* an idle bus sleeps */
}

static void bus__tries_again_when_the_cursors_could_not_be_written(void **state)
{
    struct player *p = *state;

    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    bus_world_pass_ms(&w, 250); /* fails, and is then refused by the full log */
    assert_int_equal(bus_world_stored_cursor(&w, p), 0);
    assert_true(w.log.is_full);
    event_log_probe(&w.log);
    bus_world_pass_ms(&w, 200);
    assert_int_equal(bus_world_stored_cursor(&w, p), 1);
}

static void bus__drains_by_handing_over_nothing_new_and_stores_the_cursors(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 2);
    w.bus.is_draining = true;
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 1);
    assert_false(bus_is_quiet(&w.bus));
    player_answer(p, 0, ANSWER_DONE);
    bus_world_settle(&w); /* no time passes */
    assert_true(bus_is_quiet(&w.bus));
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(bus_world_stored_cursor(&w, p), 1);
}

/* Its failure could not be written down when the drain was done; there is room before the bus goes. */
static void bus__writes_nothing_once_it_is_stopped_and_hands_over_again_at_the_next_start(
    void **state)
{
    struct player *p = *state;
    uint64_t commits;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    w.bus.is_draining = true;
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    assert_true(w.log.is_full);
    assert_true(bus_is_quiet(&w.bus));
    bus_stop(&w.bus);
    event_log_probe(&w.log);
    bus_world_settle(&w);
    assert_false(w.log.is_full);
    commits = w.store.commits;
    bus_world_pass_ms(&w, 10000);
    assert_int_equal(w.store.commits, commits);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
    assert_true(bus_is_quiet(&w.bus));
    bus_world_crash(&w);
    bus_world_recover(&w);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 2);
}

int main(void)
{
#define WITH(players, test) cmocka_unit_test_setup_teardown(test, world_with_##players, world_ends)
    const struct CMUnitTest tests[] = {
        WITH(one_player, bus__never_delivers_inside_publish),
        WITH(one_player, bus__never_delivers_inside_a_publish_that_a_handler_makes),
        WITH(two_players, bus__gives_only_what_a_subscription_wants),
        WITH(one_player, bus__does_not_deliver_internal_events),
        WITH(one_player, bus__holds_the_lane_until_the_message_is_done),
        WITH(one_player, bus__does_not_let_different_lanes_wait_for_each_other),
        WITH(two_players, bus__lets_two_subscriptions_work_on_one_order_at_the_same_time),
        WITH(one_player, bus__gives_a_lane_that_posts_to_itself_one_message_per_turn),
        WITH(one_player, bus__gives_each_ready_lane_one_message_per_turn),
        WITH(one_player, bus__hands_over_256_messages_in_a_turn_and_the_257th_in_the_next),
        WITH(one_player, bus__ends_a_turn_after_a_millisecond),
        WITH(two_players, bus__shares_a_short_turn_among_the_subscriptions),
        WITH(one_player, bus__asks_for_one_turn_however_much_is_published),
        WITH(two_players, bus__counts_what_a_slow_subscription_is_behind),
        WITH(one_player, bus__measures_handlers_and_the_way_to_them),
        WITH(one_player, bus__keeps_lanes_only_while_they_hold_something),
        WITH(one_player, bus__stores_a_cursor_at_most_every_100_ms_and_only_when_it_moved),
        WITH(one_player, bus__tries_again_when_the_cursors_could_not_be_written),
        WITH(one_player, bus__drains_by_handing_over_nothing_new_and_stores_the_cursors),
        WITH(one_player,
             bus__writes_nothing_once_it_is_stopped_and_hands_over_again_at_the_next_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
