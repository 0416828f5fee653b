/* The bounds of the bus that other tests do not reach, and chores that meet a lane in motion. */
#include "../../../src/app/bus_private.h"
#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct bus_world w;

static enum answer answer_fail(struct player *p, struct delivery *d)
{
    (void)p;
    (void)d;
    return ANSWER_FAIL;
}

static enum answer answer_later(struct player *p, struct delivery *d)
{
    (void)p;
    (void)d;
    return ANSWER_LATER;
}

static int world_begins(void **state)
{
    bus_world_init(&w, 1);
    *state = bus_world_add(&w);
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    bus_world_deinit(&w);
    return 0;
}

/* ---- failures -------------------------------------------------------------------------------- */

static void failures__are_on_their_way_to_the_log_1024_at_a_time(void **state)
{
    struct player *p = *state;

    p->decide = answer_fail;
    for (unsigned lane = 1; lane <= BUS_WRITES_MAX + 1; lane++)
        bus_world_publish(&w, lane);
    while (manual_scheduler_run_turn(&w.ms))
        continue;
    assert_int_equal(p->n_handed, BUS_WRITES_MAX + 1);
    assert_int_equal(w.bus.n_writes, BUS_WRITES_MAX);
    assert_false(p->s.is_paused); /* it is no fault */
    p->decide = NULL;
    bus_world_settle(&w);
    assert_int_equal(p->s.n_deferred, BUS_WRITES_MAX + 1);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(p->n_handed, 2 * (BUS_WRITES_MAX + 1));
    assert_int_equal(p->s.n_deferred, 0);
}

static void failure__of_which_no_character_is_whole_has_no_detail(void **state)
{
    struct player *p = *state;
    char detail[BUS_ERROR_DETAIL_MAX + 1];
    struct failure f = { FAILURE_CODE_HANDLER_FAILED, { detail, sizeof(detail) } };
    struct lane_state states[SUBSCRIPTION_COUNT];

    memset(detail, 0x80, sizeof(detail)); /* what goes on with characters that never began */
    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    delivery_failed(p->held[--p->n_held], &f);
    bus_world_settle(&w);
    assert_int_equal(bus_lane_states(&w.bus, lane_number(1), states), 1);
    assert_int_equal(states[0].error_detail.n, 0);
    assert_string_equal(states[0].error_code, "handler_failed");
}

/* The wall clock was an hour ahead when the row was written. */
static void retry__is_waited_for_no_longer_than_the_longest_pause(void **state)
{
    struct player *p = *state;

    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_world_crash(&w);
    p->n_handed = 0;
    p->decide = NULL;
    w.ms.wall_offset_ms -= 3600 * 1000;
    bus_world_recover(&w);
    bus_world_settle(&w);
    bus_world_pass_ms(&w, p->s.config.retry_max_ms - 1);
    assert_int_equal(p->n_handed, 0);
    bus_world_pass_ms(&w, 1);
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(p->journal[0].attempt, 2);
}

/* ---- what is told of a lane ------------------------------------------------------------------ */

static void lane__whose_head_was_done_with_before_a_restart_waits_and_has_no_attempts(void **state)
{
    struct player *p = *state;
    struct lane_state states[SUBSCRIPTION_COUNT];
    struct deferred_lane row;

    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_world_publish(&w, 2); /* fails, too, so the cursor is behind both */
    bus_world_pass_ms(&w, 1);
    p->decide = answer_later;
    while (p->n_held == 0)
        assert_true(bus_world_next_alarm(&w, 1000));
    assert_true(bus_world_stored_lane(&w, p, p->journal[p->n_handed - 1].lane, &row));
    row.head_position++; /* as the handler's effect would say it */
    row.attempts = 0;
    bus_world_crash(&w);
    p->decide = NULL;
    bus_subscribe(&w.bus, &p->s);
    w.is_bus_up = true;
    w.log.last_position = w.log.durable_position = 2;
    bus_recover_subscription(&p->s, 2, &row, 1);
    assert_int_equal(bus_lane_states(&w.bus, row.lane, states), 1);
    assert_int_equal(states[0].state, LANE_WAITING);
    assert_int_equal(states[0].queued_behind, 0);
    assert_int_equal(states[0].attempts, 0);
    assert_int_equal(states[0].position, row.head_position);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(bus_lane_states(&w.bus, row.lane, states), 0);
}

/* ---- chores ---------------------------------------------------------------------------------- */

/* Lane 1 has failed, was retried, and has caught up: its row goes with the next chores. */
static void catch_up(struct player *p)
{
    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    p->decide = NULL;
    while (p->s.n_deferred > 0)
        assert_true(bus_world_next_alarm(&w, 1000));
    assert_int_equal(w.bus.n_clears, 1);
}

/* It fails again, and that is on its way to the store. */
static void fail_again(struct player *p)
{
    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    while (manual_scheduler_run_turn(&w.ms))
        continue;
    p->decide = NULL;
    assert_int_equal(w.bus.n_writes, 1);
}

static void pass_without_commits(int64_t ms)
{
    manual_scheduler_advance_us(&w.ms, ms * 1000);
    while (manual_scheduler_run_alarm(&w.ms) || manual_scheduler_run_turn(&w.ms))
        continue;
}

static void row__of_a_lane_that_fails_again_stays(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;
    uint64_t commits;

    p->s.config.retry_base_ms = 1000;
    catch_up(p); /* the cursor was written meanwhile, so there is nothing else to do */
    assert_int_equal(subscription_cursor(&p->s), p->s.stored_cursor);
    fail_again(p);
    pass_without_commits(BUS_CHORES_MS);
    assert_int_equal(w.bus.n_clears, 0);
    assert_int_equal(w.bus.n_writes, 1); /* nothing was written in order to delete nothing */
    commits = w.store.commits;
    bus_world_settle(&w);
    assert_int_equal(w.store.commits, commits + 1);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(row.head_position, 2);
    bus_world_pass_ms(&w, 3000);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
}

static void row__is_deleted_when_its_lane_catches_up_while_the_chores_are_written(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->s.config.retry_base_ms = 1000;
    catch_up(p);
    bus_world_publish(&w, 2); /* so that a cursor moves, and the chores have something to write */
    bus_world_settle(&w);
    fail_again(p);
    pass_without_commits(BUS_CHORES_MS);
    assert_true(w.bus.is_writing_chores);
    assert_int_equal(w.bus.n_clears_writing, 1); /* and keeps the row */
    assert_int_equal(store_virtual_run(&w.store, 1), 1);
    while (event_log_run(&w.log, 256))
        continue;
    assert_int_equal(p->s.n_deferred, 1);
    pass_without_commits(2000); /* the chores take long */
    assert_int_equal(store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL), 1);
    pass_without_commits(0);
    assert_int_equal(p->s.n_deferred, 0);
    assert_true(w.bus.is_writing_chores);
    bus_world_settle(&w);
    assert_true(bus_world_stored_lane(&w, p, 1, &row)); /* that append did not delete it */
    assert_int_equal(w.bus.n_clears, 1);
    bus_world_pass_ms(&w, BUS_CHORES_MS);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(w.bus.n_clears, 0);
}

/* ---- quiet ----------------------------------------------------------------------------------- */

static void bus__is_quiet_when_nothing_of_it_is_with_the_store(void **state)
{
    struct player *p = *state;

    p->s.config.retry_base_ms = 1000;
    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    assert_true(bus_is_quiet(&w.bus)); /* what nobody has begun with stays in the log */
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(w.bus.n_writes, 1);
    assert_false(bus_is_quiet(&w.bus));
    bus_world_settle(&w);
    p->decide = NULL;
    assert_true(bus_is_quiet(&w.bus));
    bus_world_pass_ms(&w, BUS_CHORES_MS);
    for (unsigned i = 0; i < 1000 && w.bus.n_reads == 0; i++)
        pass_without_commits(10);
    assert_int_equal(w.bus.n_reads, 1);
    assert_int_equal(w.bus.n_writes, 0);
    assert_false(bus_is_quiet(&w.bus));
    bus_world_settle(&w);
    assert_true(bus_is_quiet(&w.bus));
    w.bus.is_draining = true;
    assert_false(bus_is_quiet(&w.bus)); /* the row of the lane has to go, too */
    scheduler_wake(&w.ms.scheduler);
    bus_world_settle(&w);
    assert_true(bus_is_quiet(&w.bus));
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_begins, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(failures__are_on_their_way_to_the_log_1024_at_a_time),
        WORLD(failure__of_which_no_character_is_whole_has_no_detail),
        WORLD(retry__is_waited_for_no_longer_than_the_longest_pause),
        WORLD(lane__whose_head_was_done_with_before_a_restart_waits_and_has_no_attempts),
        WORLD(row__of_a_lane_that_fails_again_stays),
        WORLD(row__is_deleted_when_its_lane_catches_up_while_the_chores_are_written),
        WORLD(bus__is_quiet_when_nothing_of_it_is_with_the_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
