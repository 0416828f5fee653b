#include "orderly/app/dead_letters.h"
#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct bus_world w;

/* What the script answers for a position: the first answers in turn, then the last again. */
struct script {
    uint64_t position;
    enum answer answers[8];
    unsigned n, next;
};

static enum answer answer_script(struct player *p, struct delivery *d)
{
    struct script *s = p->ctx;

    if (d->message->event.position != s->position || s->n == 0)
        return ANSWER_DONE;
    return s->answers[s->next + 1 < s->n ? s->next++ : s->next];
}

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

static int world_with_one_player(void **state)
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

/* Positions of one lane, in the order in which they were handed over. */
static size_t lane_journal(const struct player *p, unsigned lane, uint64_t *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_handed; i++) {
        if (p->journal[i].lane == lane && n < max)
            out[n++] = p->journal[i].position;
    }
    return n;
}

static void assert_lane_journal(const struct player *p, unsigned lane, const uint64_t *expected,
                                size_t n)
{
    uint64_t found[64];

    assert_int_equal(lane_journal(p, lane, found, 64), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(found[i], expected[i]);
}

/* ---- retries --------------------------------------------------------------------------------- */

static void lane__retries_after_100_400_and_1600_ms_give_or_take_half(void **state)
{
    static const int64_t base_ms[] = { 100, 400, 1600 };
    int64_t least[3] = { INT64_MAX, INT64_MAX, INT64_MAX }, most[3] = { 0, 0, 0 };
    struct player *p = *state;

    p->decide = answer_fail;
    for (unsigned lane = 1; lane <= 200; lane++) {
        size_t first = p->n_handed;

        bus_world_publish(&w, lane);
        bus_world_pass_ms(&w, 10000);
        assert_int_equal(p->n_handed, first + 4);
        for (size_t i = 0; i < 3; i++) {
            int64_t ms = (p->journal[first + i + 1].at_us - p->journal[first + i].at_us) / 1000;

            assert_int_equal(p->journal[first + i + 1].attempt, i + 2);
            assert_in_range(ms, base_ms[i] / 2, base_ms[i] * 3 / 2);
            least[i] = ms < least[i] ? ms : least[i];
            most[i] = ms > most[i] ? ms : most[i];
        }
    }
    for (size_t i = 0; i < 3; i++) { /* and it is spread over that range */
        assert_true(least[i] < base_ms[i] * 6 / 10);
        assert_true(most[i] > base_ms[i] * 14 / 10);
    }
}

static void lane__never_waits_longer_than_the_longest_delay(void **state)
{
    struct player *p = *state;

    p->s.config.retries = 12;
    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 13 * 30000);
    assert_int_equal(p->n_handed, 13);
    for (size_t i = 1; i < 13; i++)
        assert_true(p->journal[i].at_us - p->journal[i - 1].at_us <= 30000 * 1000);
    assert_int_equal(p->s.n_parked, 1);
}

static void lane__goes_on_when_a_retry_works(void **state)
{
    struct player *p = *state;
    struct script s = { .position = 1,
                        .answers = { ANSWER_FAIL, ANSWER_FAIL, ANSWER_DONE },
                        .n = 3 };
    static const uint64_t expected[] = { 1, 1, 1, 2, 3 };
    struct deferred_lane row;

    p->decide = answer_script;
    p->ctx = &s;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_world_publish(&w, 1); /* while it is deferred */
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    bus_world_pass_ms(&w, 1000);
    assert_lane_journal(p, 1, expected, 5);
    assert_int_equal(p->s.n_deferred, 0);
    assert_int_equal(p->s.lanes.len, 0);
    assert_false(bus_world_stored_lane(&w, p, 1, &row)); /* the row went with it */
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 0);
    assert_int_equal(w.metrics.handler_failures[p->s.config.id][FAILURE_RETRY], 2);
}

static void lane__counts_attempts_of_each_message_for_itself(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_pass_ms(&w, 150);
    assert_int_equal(p->journal[1].attempt, 2);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_settle(&w);
    assert_int_equal(p->journal[2].position, 2);
    assert_int_equal(p->journal[2].attempt, 1);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_pass_ms(&w, 150);
    assert_int_equal(p->journal[3].position, 2);
    assert_int_equal(p->journal[3].attempt, 2);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_deferred, 0);
}

static void lane__holds_nothing_in_memory_while_it_is_deferred(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    for (unsigned i = 0; i < 5; i++)
        bus_world_publish(&w, 1);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_in_work, 5);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_in_work, 0);
    assert_int_equal(p->s.n_recalled, 0);
    assert_int_equal(subscription_cursor(&p->s), 5);
    for (unsigned i = 0; i < 40; i++)
        bus_world_publish(&w, 1);
    assert_int_equal(p->s.n_in_work, 0);
    p->decide = NULL;
    bus_world_pass_ms(&w, 150);
    assert_int_equal(p->n_handed, 46); /* several reads long, each message once more */
    for (size_t i = 1; i < 46; i++)
        assert_int_equal(p->journal[i].position, i);
    assert_int_equal(p->s.lanes.len, 0);
}

/* ---- written before it counts ---------------------------------------------------------------- */

static void lane__writes_its_row_before_the_memory_forgets(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_turn(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_turn(&w); /* the append is on its way */
    bus_world_publish(&w, 2);
    assert_int_equal(w.bus.n_writes, 0); /* publishing has committed it, its letter is worked off */
    assert_int_equal(subscription_cursor(&p->s), 2);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(row.head_position, 1);
    assert_int_equal(row.attempts, 1);
    assert_false(row.is_parked);
    assert_in_range(row.due_wall_ms - row.last_failed_at_ms, 50, 150);

    bus_world_turn(&w);
    player_answer(p, 0, ANSWER_FAIL); /* lane 2 */
    bus_world_turn(&w);
    assert_int_equal(w.bus.n_writes, 1);
    assert_int_equal(p->s.n_in_work, 1); /* still here: nothing is durable */
    assert_int_equal(subscription_cursor(&p->s), 2);
    bus_world_commit(&w);
    assert_int_equal(p->s.n_in_work, 0);
    assert_int_equal(subscription_cursor(&p->s), 3);
}

static void lane__tries_a_refused_row_again_and_loses_nothing(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    w.log.is_full = true; /* append_begin refuses */
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    assert_true(p->s.is_paused);
    assert_int_equal(p->s.n_in_work, 1);
    bus_world_pass_ms(&w, 5000);
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(p->s.n_in_work, 1);
    w.log.is_full = false;
    bus_resume(&w.bus);
    bus_world_settle(&w);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(row.attempts, 1); /* what failed was the log, not the message */
    assert_int_equal(p->s.n_in_work, 0);
    bus_world_pass_ms(&w, 150);
    assert_int_equal(p->n_handed, 2);
    assert_int_equal(p->journal[1].attempt, 2);
}

static void lane__tries_a_failed_row_again_and_loses_nothing(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(p->s.n_in_work, 1);
    assert_int_equal(p->s.n_deferred, 0);
    event_log_probe(&w.log);
    bus_world_pass_ms(&w, 1000);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(row.attempts, 1);
    assert_int_equal(p->s.n_deferred, 1);
    assert_int_equal(p->n_handed, 2);
}

static void lane__waits_no_second_time_when_its_retry_is_overdue(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_turn(&w);
    manual_scheduler_advance_us(&w.ms, 10 * 1000 * 1000); /* a very slow disk */
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 2);
}

/* ---- the last failure ------------------------------------------------------------------------ */

static void lane__parks_after_four_attempts_behind_one_dead_letter(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->decide = answer_fail;
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 60000);
    assert_int_equal(p->n_handed, 4);
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 1);
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS_BY_LANE), 1);
    assert_int_equal(w.bus.n_dead_letters_open, 1);
    assert_int_equal(p->s.n_parked, 1);
    assert_int_equal(p->s.n_deferred, 1);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_true(row.is_parked);
    assert_int_equal(row.attempts, 4);
    assert_int_equal(capture_log_count(&w.log_lines, "error dead_letter "), 1);
    assert_int_equal(capture_log_count(&w.log_lines, "errorCode=handler_failed"), 1);
    assert_int_equal(w.metrics.handler_failures[p->s.config.id][FAILURE_RETRY], 3);
    assert_int_equal(w.metrics.handler_failures[p->s.config.id][FAILURE_PARKED], 1);
    assert_int_equal(w.metrics.dead_letters_open[p->s.config.id], 1);
}

struct found_event {
    struct message *last, *letter;
};

static void find_letter(void *ctx, struct str key, struct str value)
{
    struct found_event *f = ctx;
    struct message *m = NULL;
    uint64_t position = 0;

    for (size_t i = 0; i < key.n; i++)
        position = position << 8 | (uint8_t)key.p[i];
    assert_int_equal(message_of_row(value, position, &m), ERR_OK);
    if (m->event.type == EVENT_DEAD_LETTERED) {
        assert_null(f->letter);
        f->letter = m;
    } else {
        if (f->last)
            message_unref(f->last);
        f->last = m;
    }
}

static void lane__says_in_an_event_what_it_parked_and_why(void **state)
{
    struct player *p = *state;
    struct found_event f = { NULL, NULL };
    const struct event *e;

    p->s.sequence = 41; /* as loaded */
    p->decide = answer_fail;
    bus_world_publish(&w, 9);
    bus_world_pass_ms(&w, 60000);
    bus_world_each_row(&w, DB_EVENTS, find_letter, &f);
    assert_non_null(f.letter);
    e = &f.letter->event;
    assert_int_equal(e->stream.type, AGGREGATE_SUBSCRIPTION);
    assert_true(str_eq(text_id_str(&e->stream.id), STR("orders")));
    assert_int_equal(e->sequence, 42);
    assert_int_equal(lane_number_of(e->lane), 9);
    assert_true(uuid_eq(e->cause.u, f.last->event.id.u));
    assert_int_equal(e->handled_by, p->s.config.id);
    assert_true(str_eq(e->p.subscription, STR("orders")));
    assert_true(str_eq(e->p.error_code, STR("handler_failed")));
    assert_true(str_eq(e->p.error_detail, STR("it did not work")));
    assert_int_equal(e->p.message_position, 1);
    assert_int_equal(e->p.attempts, 4);
    assert_true(uuid_eq(e->p.order_id.u, lane_number(9).u));
    assert_false(uuid_is_nil(e->p.dead_letter_id.u));
    message_unref(f.letter);
    message_unref(f.last);
}

static void lane__queues_later_messages_of_a_parked_order_while_others_flow(void **state)
{
    struct player *p = *state;
    struct script s = { .position = 1, .answers = { ANSWER_FAIL }, .n = 1 };
    struct lane_state states[SUBSCRIPTION_COUNT];

    p->decide = answer_script;
    p->ctx = &s;
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 60000);
    for (unsigned i = 0; i < 3; i++) {
        bus_world_publish(&w, 1);
        bus_world_publish(&w, 2);
    }
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 4 + 3);
    assert_int_equal(bus_lane_states(&w.bus, lane_number(1), states), 1);
    assert_int_equal(states[0].state, LANE_PARKED);
    assert_int_equal(states[0].position, 1);
    assert_int_equal(states[0].attempts, 4);
    assert_int_equal(states[0].queued_behind, 3);
    assert_string_equal(states[0].error_code, "handler_failed");
    assert_true(str_eq(states[0].error_detail, STR("it did not work")));
    assert_int_equal(subscription_lag(&p->s), 0);
}

static void lane__tells_of_a_retry_while_it_waits(void **state)
{
    struct player *p = *state;
    struct lane_state states[SUBSCRIPTION_COUNT];

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_lane_states(&w.bus, lane_number(1), states);
    assert_int_equal(states[0].state, LANE_IN_PROGRESS);
    player_answer(p, 0, ANSWER_FAIL);
    bus_lane_states(&w.bus, lane_number(1), states);
    assert_int_equal(states[0].state, LANE_IN_PROGRESS); /* not said before it is durable */
    bus_world_settle(&w);
    bus_lane_states(&w.bus, lane_number(1), states);
    assert_int_equal(states[0].state, LANE_RETRYING);
    assert_int_equal(states[0].attempts, 1);
    assert_in_range(states[0].due_wall_ms - scheduler_wall_ms(&w.ms.scheduler), 50, 150);
}

static void lane__tries_a_failed_dead_letter_again_with_the_same_sequence(void **state)
{
    struct player *p = *state;
    struct found_event f = { NULL, NULL };

    p->s.config.retries = 0;
    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 0);
    assert_int_equal(w.bus.n_dead_letters_open, 0);
    assert_int_equal(w.log_lines.counts[LOG_ERROR], 0);
    assert_int_equal(p->s.n_parked, 0);
    assert_int_equal(p->s.sequence, 0);
    event_log_probe(&w.log);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 1);
    assert_int_equal(p->s.n_parked, 1);
    bus_world_each_row(&w, DB_EVENTS, find_letter, &f);
    assert_int_equal(f.letter->event.sequence, 1);
    message_unref(f.letter);
    message_unref(f.last);
}

static void lane__cuts_a_long_detail_between_characters(void **state)
{
    struct player *p = *state;
    char detail[BUS_ERROR_DETAIL_MAX + 50];
    struct failure f = { FAILURE_CODE_HANDLER_FAILED, { detail, sizeof(detail) } };
    struct lane_state states[SUBSCRIPTION_COUNT];

    memset(detail, 'x', sizeof(detail));
    detail[BUS_ERROR_DETAIL_MAX - 1] = '\xC3'; /* an e with an accent across the end */
    detail[BUS_ERROR_DETAIL_MAX] = '\xA9';
    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    delivery_failed(p->held[--p->n_held], &f);
    bus_world_settle(&w);
    bus_lane_states(&w.bus, lane_number(1), states);
    assert_int_equal(states[0].error_detail.n, BUS_ERROR_DETAIL_MAX - 1);
}

/* ---- permanent ------------------------------------------------------------------------------- */

static void lane__parks_nothing_for_a_permanent_failure(void **state)
{
    struct player *p = *state;
    struct script s = { .position = 2, .answers = { ANSWER_PERMANENT }, .n = 1 };
    static const uint64_t expected[] = { 1, 2, 3 };
    struct deferred_lane row;

    p->decide = answer_script;
    p->ctx = &s;
    for (unsigned i = 0; i < 3; i++)
        bus_world_publish(&w, 1);
    bus_world_settle(&w);
    assert_lane_journal(p, 1, expected, 3);
    assert_int_equal(p->s.n_parked, 0);
    assert_int_equal(p->s.n_deferred, 0);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 1);
    assert_int_equal(w.bus.n_dead_letters_open, 1);
    assert_int_equal(capture_log_count(&w.log_lines, "parked=false"), 1);
    assert_int_equal(w.metrics.handler_failures[p->s.config.id][FAILURE_PERMANENT], 1);
    assert_int_equal(p->s.lanes.len, 0);
}

static void lane__goes_on_only_when_the_dead_letter_is_durable(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_PERMANENT);
    while (bus_world_turn(&w))
        ;
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(subscription_cursor(&p->s), 0);
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 1);
    event_log_probe(&w.log);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(p->n_handed, 2);
    assert_int_equal(subscription_cursor(&p->s), 1);
}

static void lane__dismisses_a_message_while_it_catches_up(void **state)
{
    struct player *p = *state;
    static const uint64_t expected[] = { 1, 1, 2, 3 };

    p->decide = answer_later;
    for (unsigned i = 0; i < 3; i++)
        bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_pass_ms(&w, 150);
    player_answer(p, 0, ANSWER_PERMANENT);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_pass_ms(&w, 200);
    assert_lane_journal(p, 1, expected, 4);
    assert_int_equal(p->s.n_deferred, 0);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
}

static void lane__keeps_its_row_when_it_fails_before_the_old_one_is_deleted(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_pass_ms(&w, 150);
    player_answer(p, 0, ANSWER_DONE); /* caught up; the deletion waits for its append */
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_settle(&w);
    timer_start(&w.timers, &w.bus.chores, 0);
    bus_world_next_alarm(&w, 1);
    assert_true(bus_world_stored_lane(&w, p, 1, &row));
    assert_int_equal(row.head_position, 2);
    bus_world_pass_ms(&w, 1000);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
}

static void lane__deletes_its_row_again_when_that_failed(void **state)
{
    struct player *p = *state;

    p->decide = answer_later;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    player_answer(p, 0, ANSWER_FAIL);
    bus_world_pass_ms(&w, 150);
    player_answer(p, 0, ANSWER_DONE);
    bus_world_settle(&w);
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    bus_world_pass_ms(&w, 150);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 1);
    event_log_probe(&w.log);
    bus_world_pass_ms(&w, 300);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
}

/* ---- unavailable ----------------------------------------------------------------------------- */

static void lane__does_not_count_unavailable_as_an_attempt(void **state)
{
    static const int64_t pauses_ms[] = { 100, 200, 400, 800, 1000, 1000 };
    struct player *p = *state;
    struct script s = { .position = 1,
                        .answers = { ANSWER_UNAVAILABLE, ANSWER_UNAVAILABLE, ANSWER_UNAVAILABLE,
                                     ANSWER_UNAVAILABLE, ANSWER_UNAVAILABLE, ANSWER_UNAVAILABLE,
                                     ANSWER_DONE },
                        .n = 7 };

    p->decide = answer_script;
    p->ctx = &s;
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 10000);
    assert_int_equal(p->n_handed, 7);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(p->journal[i + 1].attempt, 1);
        assert_int_equal((p->journal[i + 1].at_us - p->journal[i].at_us) / 1000, pauses_ms[i]);
    }
    assert_int_equal(bus_world_count_rows(&w, DB_DEAD_LETTERS), 0);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
    assert_int_equal(p->s.pause_ms, 0); /* the next pause is a short one again */
}

static void lane__keeps_its_place_and_stops_the_subscription_when_unavailable(void **state)
{
    struct player *p = *state;
    struct script s = { .position = 1, .answers = { ANSWER_UNAVAILABLE, ANSWER_DONE }, .n = 2 };

    p->decide = answer_script;
    p->ctx = &s;
    for (unsigned lane = 1; lane <= 3; lane++)
        bus_world_publish(&w, lane);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 1);
    assert_true(p->s.is_paused);
    bus_resume(&w.bus); /* room again: at once */
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 4);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(p->journal[i + 1].lane, i + 1);
}

static void lane__keeps_its_attempt_when_a_retry_finds_it_unavailable(void **state)
{
    struct player *p = *state;
    struct script s = { .position = 1,
                        .answers = { ANSWER_FAIL, ANSWER_UNAVAILABLE, ANSWER_DONE },
                        .n = 3 };
    static const uint64_t expected[] = { 1, 1, 1, 2 };

    p->decide = answer_script;
    p->ctx = &s;
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 1000);
    assert_lane_journal(p, 1, expected, 4);
    assert_int_equal(p->journal[1].attempt, 2);
    assert_int_equal(p->journal[2].attempt, 2);
    assert_int_equal(p->s.lanes.len, 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static enum answer fail_below_lane_100(struct player *p, struct delivery *d)
{
    (void)p;
    return lane_number_of(d->message->event.lane) < 100 ? ANSWER_FAIL : ANSWER_DONE;
}

static void subscription__pauses_beyond_its_deferred_lanes_and_flows_when_there_is_room(
    void **state)
{
    struct player *p = *state;

    w.bus.deferred_max = 3;
    p->decide = fail_below_lane_100;
    for (unsigned lane = 1; lane <= 3; lane++)
        bus_world_publish(&w, lane);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_deferred, 3);
    assert_false(p->s.is_at_limit);
    bus_world_publish(&w, 100);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 4);

    bus_world_publish(&w, 4); /* one too many */
    bus_world_settle(&w);
    assert_true(p->s.is_at_limit);
    assert_int_equal(p->s.n_deferred, 3);
    bus_world_publish(&w, 101);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, 5);
    assert_int_equal(capture_log_count(&w.log_lines, "subscription_at_limit"), 1);

    p->decide = NULL; /* deferred lanes go on being tried, which makes room */
    bus_world_pass_ms(&w, 2000);
    assert_false(p->s.is_at_limit);
    assert_int_equal(p->s.n_deferred, 0);
    assert_int_equal(p->n_handed, 5 + 3 + 1 + 1);
    assert_int_equal(subscription_cursor(&p->s), w.log.durable_position);
}

static void subscription__pauses_beyond_the_open_dead_letters(void **state)
{
    struct player *p = *state;

    w.bus.dead_letters_max = 2;
    p->s.config.retries = 0;
    p->decide = fail_below_lane_100;
    for (unsigned lane = 1; lane <= 3; lane++)
        bus_world_publish(&w, lane);
    bus_world_publish(&w, 100);
    bus_world_settle(&w);
    assert_int_equal(w.bus.n_dead_letters_open, 2);
    assert_true(p->s.is_at_limit);
    assert_int_equal(p->s.n_parked, 2);
    assert_int_equal(p->s.n_in_work, 1);
    w.bus.n_dead_letters_open--; /* somebody discarded one */
    bus_world_pass_ms(&w, 1000);
    assert_false(p->s.is_at_limit);
    assert_int_equal(p->s.n_parked, 3);
    bus_world_publish(&w, 101);
    bus_world_settle(&w);
    assert_int_equal(p->journal[p->n_handed - 1].lane, 101);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_with_one_player, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(lane__retries_after_100_400_and_1600_ms_give_or_take_half),
        WORLD(lane__never_waits_longer_than_the_longest_delay),
        WORLD(lane__goes_on_when_a_retry_works),
        WORLD(lane__counts_attempts_of_each_message_for_itself),
        WORLD(lane__holds_nothing_in_memory_while_it_is_deferred),
        WORLD(lane__writes_its_row_before_the_memory_forgets),
        WORLD(lane__tries_a_refused_row_again_and_loses_nothing),
        WORLD(lane__tries_a_failed_row_again_and_loses_nothing),
        WORLD(lane__waits_no_second_time_when_its_retry_is_overdue),
        WORLD(lane__parks_after_four_attempts_behind_one_dead_letter),
        WORLD(lane__says_in_an_event_what_it_parked_and_why),
        WORLD(lane__queues_later_messages_of_a_parked_order_while_others_flow),
        WORLD(lane__tells_of_a_retry_while_it_waits),
        WORLD(lane__tries_a_failed_dead_letter_again_with_the_same_sequence),
        WORLD(lane__cuts_a_long_detail_between_characters),
        WORLD(lane__parks_nothing_for_a_permanent_failure),
        WORLD(lane__goes_on_only_when_the_dead_letter_is_durable),
        WORLD(lane__dismisses_a_message_while_it_catches_up),
        WORLD(lane__keeps_its_row_when_it_fails_before_the_old_one_is_deleted),
        WORLD(lane__deletes_its_row_again_when_that_failed),
        WORLD(lane__does_not_count_unavailable_as_an_attempt),
        WORLD(lane__keeps_its_place_and_stops_the_subscription_when_unavailable),
        WORLD(lane__keeps_its_attempt_when_a_retry_finds_it_unavailable),
        WORLD(subscription__pauses_beyond_its_deferred_lanes_and_flows_when_there_is_room),
        WORLD(subscription__pauses_beyond_the_open_dead_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
