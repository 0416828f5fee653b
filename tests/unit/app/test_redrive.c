/* What a retry and a discard do to the lanes: on virtual time, with contexts that are played. */
#include "orderly/app/event_codec.h"
#include "orderly/app/redrive.h"
#include "orderly/base/mem.h"
#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct bus_world w;
static enum answer answers[64];     /* by position; DONE unless a test says else */
static struct str seen_reasons[64]; /* of the payload, by position, when it was last handed over */
static char reason_texts[64][32];

static enum answer answer_by_position(struct player *p, struct delivery *d)
{
    uint64_t at = d->message->event.position;
    struct str reason = d->message->event.p.reason;

    (void)p;
    REQUIRE(at < ARRAY_LEN(answers));
    REQUIRE(reason.n <= sizeof(reason_texts[0]));
    if (reason.n)
        memcpy(reason_texts[at], reason.p, reason.n);
    seen_reasons[at] = (struct str){ reason_texts[at], reason.n };
    return answers[at];
}

static int world_begins(void **state)
{
    struct player *p;

    memset(answers, 0, sizeof(answers));
    memset(seen_reasons, 0, sizeof(seen_reasons));
    bus_world_init(&w, 1);
    p = bus_world_add(&w);
    p->decide = answer_by_position;
    p->s.config.retries = 1;
    *state = p;
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    bus_world_deinit(&w);
    return 0;
}

/* ---- the letters ----------------------------------------------------------------------------- */

struct letters {
    unsigned n;
    struct dead_letter all[16]; /* without their texts */
};

static void letters_add(void *ctx, struct str key, struct str value)
{
    struct letters *l = ctx;
    struct dead_letter *d = &l->all[l->n++];

    REQUIRE(l->n <= ARRAY_LEN(l->all));
    assert_int_equal(dead_letter_decode(value, d), ERR_OK);
    memcpy(d->id.u.b, key.p, sizeof(d->id.u.b));
    d->error_code = STR("some_code");
    d->error_detail = STR_NONE;
}

static struct letters the_letters(void)
{
    struct letters l = { .n = 0 };

    bus_world_each_row(&w, DB_DEAD_LETTERS, letters_add, &l);
    return l;
}

static struct dead_letter the_letter(void)
{
    struct letters l = the_letters();

    assert_int_equal(l.n, 1);
    return l.all[0];
}

/* The counters are those of the rows; and both kinds of numbers on the way agree. */
static void assert_counters(struct player *p, unsigned n_open, unsigned n_parked,
                            unsigned n_deferred)
{
    struct letters l = the_letters();
    unsigned n = 0;

    for (unsigned i = 0; i < l.n; i++)
        n += dead_letter_is_open(&l.all[i]);
    assert_int_equal(n, n_open);
    assert_int_equal(w.bus.n_dead_letters_open, n_open);
    assert_int_equal(p->s.n_letters, n_open);
    assert_int_equal(w.metrics.dead_letters_open[p->s.config.id], n_open);
    assert_int_equal(p->s.n_parked, n_parked);
    assert_int_equal(p->s.n_deferred, n_deferred);
}

struct redrive_op {
    struct redrive redrive;
    struct append append;
    bool is_done;
    enum err status;
};

static void redrive_on_appended(struct append *a)
{
    struct redrive_op *op = container_of(a, struct redrive_op, append);

    redrive_end(&op->redrive, a->status);
    op->status = a->status;
    op->is_done = true;
}

static void redrive_start(struct redrive_op *op, struct dead_letter letter, enum redrive_kind kind,
                          struct str message_row)
{
    *op = (struct redrive_op){ .redrive = { .bus = &w.bus, .kind = kind, .letter = letter } };
    op->redrive.event.type =
        kind == REDRIVE_SKIP ? EVENT_DEAD_LETTER_DISCARDED : EVENT_DEAD_LETTER_RETRIED;
    op->redrive.event.p.message_row = message_row;
    op->redrive.event.p.reason = kind == REDRIVE_SKIP ? STR("not worth it") : STR_NONE;
    assert_int_equal(redrive_check(&op->redrive), ERR_OK);
    assert_int_equal(append_begin(&op->append, &w.log, APPEND_COMMAND), ERR_OK);
    redrive_append(&op->redrive, &op->append);
    append_submit(&op->append, redrive_on_appended);
}

static void redrive(struct dead_letter letter, enum redrive_kind kind)
{
    struct redrive_op op;

    redrive_start(&op, letter, kind, STR_NONE);
    bus_world_settle(&w);
    assert_true(op.is_done);
    assert_int_equal(op.status, ERR_OK);
}

static void pass(int64_t ms)
{
    bus_world_pass_ms(&w, ms);
}

/* The positions that were handed over since `from`, as text. */
static const char *journal_from(const struct player *p, size_t from)
{
    static char text[256];
    size_t n = 0;

    text[0] = 0;
    for (size_t i = from; i < p->n_handed; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%llu", n ? " " : "",
                              (unsigned long long)p->journal[i].position);
    return text;
}

/* ---- a parked letter ------------------------------------------------------------------------- */

/* Lane 1: position 1 parks; 2 and 3 wait behind it. Lane 2: position 4 flows. */
static void park(struct player *p)
{
    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 1);
    pass(1000);
    assert_int_equal(p->s.n_parked, 1);
    bus_world_publish(&w, 1); /* 3: the letter's event is 2 */
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 2);
    pass(100);
    assert_string_equal(journal_from(p, 0), "1 1 5");
}

static void a_retried_lane_goes_on_in_order_from_its_head(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;
    struct dead_letter letter;

    park(p);
    answers[1] = ANSWER_DONE;
    redrive(the_letter(), REDRIVE_LANE);
    assert_string_equal(journal_from(p, 3), "1 3 4");
    assert_int_equal(p->journal[3].attempt, 1);
    letter = the_letter();
    assert_int_equal(letter.state, DEAD_LETTER_RETRIED);
    assert_true(letter.is_parking);
    assert_int_equal(letter.closed_position, 6);
    assert_counters(p, 0, 0, 0);
    pass(1000);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
    bus_world_publish(&w, 1);
    pass(10);
    assert_string_equal(journal_from(p, 6), "7");
}

static void a_discarded_head_is_passed_over_and_the_rest_comes_in_order(void **state)
{
    struct player *p = *state;

    park(p);
    redrive(the_letter(), REDRIVE_SKIP);
    assert_string_equal(journal_from(p, 3), "3 4");
    assert_int_equal(the_letter().state, DEAD_LETTER_DISCARDED);
    assert_counters(p, 0, 0, 0);
}

static void a_discarded_head_with_nothing_behind_it_ends_the_deferral(void **state)
{
    struct player *p = *state;
    struct deferred_lane row;

    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 1);
    pass(1000);
    redrive(the_letter(), REDRIVE_SKIP);
    assert_counters(p, 0, 0, 0);
    assert_true(bus_world_stored_lane(&w, p, 1, &row)); /* until the chores */
    assert_int_equal(row.head_position, 2);
    assert_false(row.is_parked);
    pass(1000);
    assert_false(bus_world_stored_lane(&w, p, 1, &row));
    bus_world_publish(&w, 1);
    pass(10);
    assert_string_equal(journal_from(p, 2), "4");
}

static void a_retried_head_that_fails_again_is_a_new_letter_after_all_its_attempts(void **state)
{
    struct player *p = *state;
    struct letters l;

    park(p);
    redrive(the_letter(), REDRIVE_LANE);
    pass(1000);
    assert_string_equal(journal_from(p, 3), "1 1");
    l = the_letters();
    assert_int_equal(l.n, 2);
    assert_int_equal(l.all[0].state, DEAD_LETTER_RETRIED);
    assert_int_equal(l.all[1].state, DEAD_LETTER_PARKED);
    assert_int_equal(l.all[1].attempts, 2);
    assert_counters(p, 1, 1, 1);
    answers[1] = ANSWER_DONE;
    redrive(l.all[1], REDRIVE_LANE);
    assert_string_equal(journal_from(p, 5), "1 3 4");
    assert_counters(p, 0, 0, 0);
}

static void a_full_store_leaves_the_letter_and_its_lane_as_they_were(void **state)
{
    struct player *p = *state;
    struct redrive_op op;
    uint64_t sequence;

    park(p);
    sequence = p->s.sequence;
    answers[1] = ANSWER_DONE;
    store_virtual_fail_write(&w.store, 1, ERR_FULL);
    redrive_start(&op, the_letter(), REDRIVE_LANE, STR_NONE);
    bus_world_settle(&w);
    assert_int_equal(op.status, ERR_FULL);
    assert_int_equal(p->s.sequence, sequence);
    assert_counters(p, 1, 1, 1);
    assert_int_equal(the_letter().state, DEAD_LETTER_PARKED);
    event_log_probe(&w.log);
    pass(1000);
    redrive(the_letter(), REDRIVE_LANE);
    assert_string_equal(journal_from(p, 3), "1 3 4");
    assert_int_equal(p->s.sequence, sequence + 1);
}

/* The dead letters are at their limit, and another lane can't park: then room is made. */
static void room_that_a_redrive_makes_is_used_at_once(void **state)
{
    struct player *p = *state;

    answers[1] = answers[3] = ANSWER_FAIL;
    w.bus.dead_letters_max = 1;
    bus_world_publish(&w, 1);
    pass(1000);
    bus_world_publish(&w, 2);
    pass(1000);
    assert_true(p->s.is_at_limit);
    assert_int_equal(the_letters().n, 1);
    redrive(the_letter(), REDRIVE_SKIP);
    assert_false(p->s.is_at_limit);
    assert_int_equal(the_letters().n, 2);
    assert_counters(p, 1, 1, 1);
}

/* What an operator reads may be ahead of the loop by a commit. */
static void a_letter_that_the_loop_has_not_heard_of_is_retried_a_moment_later(void **state)
{
    struct player *p = *state;
    struct redrive early;

    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 1);
    pass(0);
    while (bus_world_count_rows(&w, DB_DEAD_LETTERS) == 0) {
        if (w.ms.alarm_ms != INT64_MAX && w.ms.alarm_ms * 1000 > w.ms.now_us)
            w.ms.now_us = w.ms.alarm_ms * 1000;
        (void)manual_scheduler_run_turn(&w.ms);
        (void)manual_scheduler_run_alarm(&w.ms);
        (void)store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL);
        (void)manual_scheduler_run_turn(&w.ms);
        (void)store_virtual_run(&w.store, STORE_VIRTUAL_ALL);
    }
    assert_int_equal(p->s.n_parked, 0);
    early = (struct redrive){ .bus = &w.bus, .kind = REDRIVE_LANE, .letter = the_letter() };
    assert_int_equal(early.letter.state, DEAD_LETTER_PARKED);
    assert_int_equal(redrive_check(&early), ERR_BUSY);
    bus_world_settle(&w);
    answers[1] = ANSWER_DONE;
    redrive(the_letter(), REDRIVE_LANE);
    assert_counters(p, 0, 0, 0);
}

/* ---- an open letter -------------------------------------------------------------------------- */

/* Position 1 of lane 1 is refused for good; 3 and 4 of the same lane were handled since. */
static void refuse(struct player *p)
{
    answers[1] = ANSWER_PERMANENT;
    bus_world_publish(&w, 1);
    pass(10);
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    pass(1000);
    assert_string_equal(journal_from(p, 0), "1 3 4");
    assert_counters(p, 1, 0, 0);
    assert_false(the_letter().is_parking);
}

static void an_open_letter_s_message_is_handed_over_alone(void **state)
{
    struct player *p = *state;

    refuse(p);
    answers[1] = ANSWER_DONE;
    redrive(the_letter(), REDRIVE_ALONE);
    assert_string_equal(journal_from(p, 3), "1");
    assert_int_equal(the_letter().state, DEAD_LETTER_RETRIED);
    assert_counters(p, 0, 0, 0);
    pass(1000);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
    assert_string_equal(journal_from(p, 3), "1");
}

static void an_open_letter_that_is_refused_again_is_a_new_open_letter(void **state)
{
    struct player *p = *state;
    struct letters l;

    refuse(p);
    redrive(the_letter(), REDRIVE_ALONE);
    assert_string_equal(journal_from(p, 3), "1");
    l = the_letters();
    assert_int_equal(l.n, 2);
    assert_int_equal(l.all[1].state, DEAD_LETTER_OPEN);
    assert_true(uuid_eq(l.all[1].lane.u, lane_number(1).u)); /* the order's */
    assert_counters(p, 1, 0, 0);
    assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0); /* it went with the letter */
    redrive(l.all[1], REDRIVE_SKIP);
    assert_counters(p, 0, 0, 0);
    pass(1000);
    assert_string_equal(journal_from(p, 4), "");
}

static void an_open_letter_goes_through_retries_and_parks_nothing(void **state)
{
    struct player *p = *state;
    struct letters l;

    refuse(p);
    answers[1] = ANSWER_FAIL;
    redrive(the_letter(), REDRIVE_ALONE);
    assert_counters(p, 0, 0, 1);
    bus_world_publish(&w, 1); /* its own lane does not wait for it */
    bus_world_settle(&w);
    assert_string_equal(journal_from(p, 3), "1 6");
    pass(1000);
    assert_string_equal(journal_from(p, 3), "1 6 1");
    l = the_letters();
    assert_int_equal(l.n, 2);
    assert_int_equal(l.all[1].state, DEAD_LETTER_OPEN);
    assert_int_equal(l.all[1].attempts, 2);
    assert_counters(p, 1, 0, 0);
}

static void an_open_letter_waits_while_no_lane_more_may_be_deferred(void **state)
{
    struct player *p = *state;
    struct redrive r = { .bus = &w.bus, .kind = REDRIVE_ALONE };

    refuse(p);
    r.letter = the_letter();
    w.bus.deferred_max = 0;
    assert_int_equal(redrive_check(&r), ERR_BUSY);
    w.bus.deferred_max = 1;
    assert_int_equal(redrive_check(&r), ERR_OK);
}

/* ---- another payload ------------------------------------------------------------------------- */

static struct str message_with_reason(const char *reason, struct arena *a)
{
    struct event e = {
        .type = EVENT_ORDER_REJECTED,
        .lane = lane_number(1),
        .stream = { .type = AGGREGATE_ORDER, .id = { .n = 1, .s = "o" } },
        .id = { lane_number(77).u },
        .sequence = 1,
        .p = { .order_id = { lane_number(1).u },
               .flow = FLOW_STOCK_FIRST,
               .reason = str_of(reason) },
    };
    struct buf row = { 0 };
    struct str copy;

    event_encode(&e, &row);
    copy = arena_str(a, buf_str(&row));
    buf_deinit(&row);
    return copy;
}

/* At every commit of the retry and of what follows, with and without a crash: the handler gets the
 * payload that was given, through all attempts and the letters that follow. */
static void another_payload_is_what_the_handler_gets_from_then_on(void **state)
{
    (void)state;
    for (unsigned crash_after = 0; crash_after < 6; crash_after++) {
        struct player *p;
        struct redrive_op op;
        struct arena a;
        struct letters l;

        world_begins((void **)&p);
        arena_init(&a, NULL, 0);
        park(p);
        redrive_start(&op, the_letter(), REDRIVE_LANE, message_with_reason("mended", &a));
        for (unsigned i = 0; i < crash_after && store_virtual_run(&w.store, 1) > 0; i++) {
            while (manual_scheduler_run_turn(&w.ms) ||
                   store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL) > 0)
                ;
        }
        if (crash_after > 0) { /* before, nothing was durable */
            bus_world_crash(&w);
            bus_world_recover(&w);
        }
        pass(2000);
        l = the_letters();
        assert_int_equal(l.n, 2); /* it failed again, with its new payload */
        assert_int_equal(l.all[1].payload_position, 6);
        assert_true(str_eq(seen_reasons[1], STR("mended")));
        seen_reasons[1] = STR_NONE;
        answers[1] = ANSWER_DONE;
        redrive(l.all[1], REDRIVE_LANE); /* and keeps it */
        pass(1000);
        assert_true(str_eq(seen_reasons[1], STR("mended")));
        assert_int_equal(seen_reasons[3].n, 0);
        assert_int_equal(seen_reasons[4].n, 0);
        assert_counters(p, 0, 0, 0);
        arena_deinit(&a);
        world_ends(NULL);
    }
}

/* ---- crashes --------------------------------------------------------------------------------- */

/* Lets n writes become durable one by one, with all that follows from each at once. */
static void pass_commits(unsigned n)
{
    bool did;

    do {
        do {
            did = manual_scheduler_run_turn(&w.ms);
            did |= store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL) > 0;
            did |= manual_scheduler_run_alarm(&w.ms);
        } while (did);
    } while (n-- > 0 && store_virtual_run(&w.store, 1) > 0);
}

/* The positions of lane 1 that were answered as handled, each once, in their order; a message whose
 * end was not durable may be handed over again. */
static void assert_lane_in_order(const struct player *p, size_t from, bool has_head)
{
    uint64_t last = 0;
    bool has[8] = { false };

    for (size_t i = from; i < p->n_handed; i++) {
        uint64_t at = p->journal[i].position;

        if (p->journal[i].lane != 1)
            continue;
        assert_true(at >= last);
        last = at;
        has[at] = true;
    }
    assert_int_equal(has[1], has_head);
    assert_true(has[3]);
    assert_true(has[4]);
}

static void a_retry_survives_a_crash_at_every_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 6; commits++) {
        struct player *p;
        struct redrive_op op;
        size_t from;

        world_begins((void **)&p);
        park(p);
        answers[1] = ANSWER_DONE;
        redrive_start(&op, the_letter(), REDRIVE_LANE, STR_NONE);
        pass_commits(commits);
        bus_world_crash(&w);
        from = p->n_handed;
        bus_world_recover(&w);
        pass(1000);
        if (commits == 0) { /* nothing was durable, and nobody was told so */
            assert_counters(p, 1, 1, 1);
            redrive(the_letter(), REDRIVE_LANE);
            pass(1000);
        }
        if (commits <= 1)
            assert_lane_in_order(p, from, true);
        assert_int_equal(the_letter().state, DEAD_LETTER_RETRIED);
        assert_counters(p, 0, 0, 0);
        assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
        world_ends(NULL);
    }
}

static void a_discard_survives_a_crash_at_every_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 6; commits++) {
        struct player *p;
        struct redrive_op op;
        size_t from;

        world_begins((void **)&p);
        park(p);
        from = p->n_handed;
        redrive_start(&op, the_letter(), REDRIVE_SKIP, STR_NONE);
        pass_commits(commits);
        bus_world_crash(&w);
        if (commits <= 1)
            from = p->n_handed;
        bus_world_recover(&w);
        pass(1000);
        if (commits == 0) {
            assert_counters(p, 1, 1, 1);
            redrive(the_letter(), REDRIVE_SKIP);
            pass(1000);
        }
        if (commits <= 1)
            assert_lane_in_order(p, from, false);
        for (size_t i = from; i < p->n_handed; i++)
            assert_true(p->journal[i].position != 1);
        assert_int_equal(the_letter().state, DEAD_LETTER_DISCARDED);
        assert_counters(p, 0, 0, 0);
        world_ends(NULL);
    }
}

static void a_message_alone_survives_a_crash_at_every_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 6; commits++) {
        struct player *p;
        struct redrive_op op;
        struct letters l;

        world_begins((void **)&p);
        refuse(p);
        answers[1] = ANSWER_FAIL; /* so that there is more to lose: a retry, and then a letter */
        redrive_start(&op, the_letter(), REDRIVE_ALONE, STR_NONE);
        pass_commits(commits);
        bus_world_crash(&w);
        bus_world_recover(&w);
        if (commits == 0)
            redrive(the_letter(), REDRIVE_ALONE);
        pass(2000);
        l = the_letters();
        assert_int_equal(l.n, 2); /* never two for the same failure */
        assert_int_equal(l.all[1].state, DEAD_LETTER_OPEN);
        assert_counters(p, 1, 0, 0);
        assert_int_equal(bus_world_count_rows(&w, DB_LANES), 0);
        world_ends(NULL);
    }
}

/* The next process has not yet read what lies behind the cursor, the head among it, when the head is
 * discarded. */
static void a_head_that_is_discarded_early_after_a_restart_is_not_handed_over(void **state)
{
    struct player *p;
    struct redrive_op op;
    size_t from;

    (void)state;
    world_begins((void **)&p);
    answers[1] = ANSWER_FAIL;
    p->s.config.retries = 0;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    bus_world_publish(&w, 1); /* 3; and no cursor was written meanwhile */
    bus_world_crash(&w);
    assert_int_equal(bus_world_stored_cursor(&w, p), 0);
    from = p->n_handed;
    bus_world_recover(&w);
    redrive_start(&op, the_letter(), REDRIVE_SKIP, STR_NONE);
    bus_world_commit(&w);
    assert_true(op.is_done);
    pass(1000);
    assert_string_equal(journal_from(p, from), "3");
    assert_counters(p, 0, 0, 0);
    world_ends(NULL);
}

/* A permanent failure inside a deferred lane is one letter, wherever the process ends. */
static void a_message_dismissed_in_a_deferred_lane_is_not_dismissed_twice(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 6; commits++) {
        struct player *p;
        struct redrive_op op;

        world_begins((void **)&p);
        park(p);
        answers[1] = ANSWER_PERMANENT;
        redrive_start(&op, the_letter(), REDRIVE_LANE, STR_NONE);
        pass_commits(commits);
        bus_world_crash(&w);
        bus_world_recover(&w);
        if (commits == 0)
            redrive(the_letter(), REDRIVE_LANE);
        pass(2000);
        assert_int_equal(the_letters().n, 2);
        assert_counters(p, 1, 0, 0);
        world_ends(NULL);
    }
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_begins, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(a_retried_lane_goes_on_in_order_from_its_head),
        WORLD(a_discarded_head_is_passed_over_and_the_rest_comes_in_order),
        WORLD(a_discarded_head_with_nothing_behind_it_ends_the_deferral),
        WORLD(a_retried_head_that_fails_again_is_a_new_letter_after_all_its_attempts),
        WORLD(a_full_store_leaves_the_letter_and_its_lane_as_they_were),
        WORLD(room_that_a_redrive_makes_is_used_at_once),
        WORLD(a_letter_that_the_loop_has_not_heard_of_is_retried_a_moment_later),
        WORLD(an_open_letter_s_message_is_handed_over_alone),
        WORLD(an_open_letter_that_is_refused_again_is_a_new_open_letter),
        WORLD(an_open_letter_goes_through_retries_and_parks_nothing),
        WORLD(an_open_letter_waits_while_no_lane_more_may_be_deferred),
        cmocka_unit_test(another_payload_is_what_the_handler_gets_from_then_on),
        cmocka_unit_test(a_retry_survives_a_crash_at_every_commit),
        cmocka_unit_test(a_discard_survives_a_crash_at_every_commit),
        cmocka_unit_test(a_message_alone_survives_a_crash_at_every_commit),
        cmocka_unit_test(a_head_that_is_discarded_early_after_a_restart_is_not_handed_over),
        cmocka_unit_test(a_message_dismissed_in_a_deferred_lane_is_not_dismissed_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
