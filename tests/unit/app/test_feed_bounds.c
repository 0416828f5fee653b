/* What followers may cost: slow ones, many, those that come and go, and a store that fails. */
#include "feed_world.h"

/* ---- slow readers ----------------------------------------------------------------------------- */

static void feed__waits_for_a_live_reader_as_long_as_the_ring_has_its_next_event(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    r->is_stalled = true;
    r->waiting_max = 1;
    publish(&w, 1);
    settle(&w);
    assert_heard(r, 1, 1);
    publish(&w, FEED_RING_EVENTS);
    settle(&w);
    assert_true(r->f.is_blocked);
    assert_int_equal(r->ended, -1);
    r->is_stalled = false;
    read_all(r);
    settle(&w);
    assert_heard(r, 1, w.last);
    assert_int_equal(w.feed.pages_read, 0);
    world_deinit(&w);
}

static void feed__cuts_a_live_reader_off_when_the_ring_has_gone_on(void **state)
{
    struct world w;
    struct reader *r, *other;

    (void)state;
    world_init(&w);
    r = follow(&w, 0, FEED_EVENTS, 0);
    other = follow(&w, 1, FEED_EVENTS, 0);
    settle(&w);
    r->is_stalled = true;
    r->waiting_max = 1;
    publish(&w, 1);
    settle(&w);
    publish(&w, FEED_RING_EVENTS);
    settle(&w);
    assert_int_equal(r->ended, -1);
    publish(&w, 1);
    settle(&w);
    assert_int_equal(r->ended, FOLLOWER_OVERFLOW);
    assert_int_equal(r->f.position, 1);
    assert_heard(r, 1, 1);
    assert_int_equal(w.feed.overflows[FEED_EVENTS], 1);
    assert_int_equal(w.feed.n, 1);
    assert_heard(other, 1, w.last);
    assert_int_equal(other->ended, -1);
    world_deinit(&w);
}

static void feed__bounds_the_ring_in_bytes_too(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    w.width = FEED_RING_BYTES / 16;
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    for (unsigned i = 0; i < 40; i++) {
        publish(&w, 1);
        settle(&w);
        assert_true(w.feed.ring_bytes <= FEED_RING_BYTES + w.width);
    }
    assert_heard(r, 1, 40);
    assert_true(w.feed.published - w.feed.first < 17);
    world_deinit(&w);
}

static void feed__never_cuts_off_who_reads_history(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 1000);
    w.width = 1000;
    r = follow(&w, 0, FEED_EVENTS, 0);
    r->is_stalled = true;
    settle(&w);
    assert_true(r->f.is_blocked);
    /* A page is asked for only while little waits. */
    assert_true(r->waiting <= FEED_ROOM_BYTES + FEED_PAGE_BYTES + w.width);
    publish(&w, 2 * FEED_RING_EVENTS);
    settle(&w);
    assert_int_equal(r->ended, -1);
    for (unsigned i = 0; i < 100000 && r->f.position < w.last; i++) {
        read_all(r);
        settle(&w);
    }
    assert_heard(r, 1, w.last);
    world_deinit(&w);
}

static void feed__sends_one_that_it_could_not_serve_back_to_history(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    assert_true(r->f.is_live);
    publish(&w, FEED_RING_EVENTS + 10); /* in one turn */
    settle(&w);
    assert_int_equal(r->ended, -1);
    assert_true(w.feed.pages_read > 0);
    assert_heard(r, 1, w.last);
    world_deinit(&w);
}

/* ---- a turn is bounded ------------------------------------------------------------------------ */

static struct reader *many(struct world *w, unsigned n)
{
    struct reader *r = mem_zalloc(n * sizeof(*r));

    for (unsigned i = 0; i < n; i++) {
        r[i].waiting_max = 1 << 20;
        r[i].ended = -1;
        r[i].f = (struct follower){ .ops = &reader_ops, .kind = FEED_EVENTS, .position = w->last };
        feed_follow(&w->feed, &r[i].f);
    }
    return r;
}

static size_t sum_of(const struct reader *r, unsigned n, bool of_bytes)
{
    size_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += of_bytes ? r[i].n_bytes : r[i].n_sends;
    return sum;
}

static void feed__spreads_a_burst_for_many_over_turns(void **state)
{
    const unsigned n = 1000;
    struct world w;
    struct reader *r;
    size_t sends = 0, bytes = 0;
    unsigned turns = 0;

    (void)state;
    world_init(&w);
    w.width = 400;
    r = many(&w, n);
    settle(&w);
    publish(&w, 256);
    while (manual_scheduler_run_turn(&w.ms)) {
        size_t sends_now = sum_of(r, n, false), bytes_now = sum_of(r, n, true);

        assert_true(sends_now - sends <= FEED_TURN_FOLLOWERS);
        assert_true(bytes_now - bytes < FEED_TURN_BYTES + FEED_SEND_BYTES);
        sends = sends_now;
        bytes = bytes_now;
        turns++;
    }
    assert_true(turns > 100);
    for (unsigned i = 0; i < n; i++) {
        assert_heard(&r[i], 1, 256);
        mem_free(r[i].heard);
        feed_leave(&r[i].f);
    }
    mem_free(r);
    world_deinit(&w);
}

static void feed__ends_its_turn_when_its_time_is_over(void **state)
{
    struct world w;
    struct reader *r;
    unsigned n_turns;

    (void)state;
    world_init(&w);
    r = many(&w, 20);
    settle(&w);
    n_turns = w.ms.n_turns;
    w.ms.us_per_look = FEED_TURN_US / 5;
    publish(&w, 1);
    settle(&w);
    assert_int_equal(w.ms.n_turns - n_turns, 4); /* five in each */
    for (unsigned i = 0; i < 20; i++) {
        assert_heard(&r[i], 1, 1);
        mem_free(r[i].heard);
        feed_leave(&r[i].f);
    }
    mem_free(r);
    world_deinit(&w);
}

/* ---- coming and going ------------------------------------------------------------------------- */

static void feed__takes_n_followers_and_not_one_more(void **state)
{
    struct world w;

    (void)state;
    world_init_max(&w, 3);
    for (unsigned i = 0; i < 3; i++)
        (void)follow(&w, i, i ? FEED_EVENTS : FEED_MESSAGES, 0);
    assert_int_equal(feed_admits(&w.feed), ERR_LIMIT);
    assert_int_equal(w.feed.n_by_kind[FEED_EVENTS], 2);
    assert_int_equal(w.feed.n_by_kind[FEED_MESSAGES], 1);
    feed_leave(&w.readers[1].f);
    assert_int_equal(w.feed.n_by_kind[FEED_EVENTS], 1);
    (void)follow(&w, 1, FEED_EVENTS, 0);
    assert_int_equal(feed_admits(&w.feed), ERR_LIMIT);
    world_deinit(&w);
}

/* In each state; the address sanitizer looks after what is left. */
static void feed__lets_go_of_who_leaves_in_the_middle(void **state)
{
    for (unsigned at = 0; at < 6; at++) {
        struct world w;
        struct reader *r;

        (void)state;
        world_init(&w);
        w.width = 1000;
        publish(&w, 500);
        r = follow(&w, 0, FEED_EVENTS, at == 5 ? 500 : 0);
        r->is_stalled = at == 4;
        if (at >= 1)
            (void)manual_scheduler_run_turn(&w.ms); /* its page is asked for */
        if (at >= 2)
            (void)store_virtual_run_reads(&w.store, 1); /* and read */
        if (at >= 3)
            (void)manual_scheduler_run_turn(&w.ms); /* and sent */
        if (at >= 4)
            settle(&w); /* blocked, or idle */
        assert_int_equal(r->f.is_blocked, at == 4);
        feed_leave(&r->f);
        memset(&r->f, 0xee, sizeof(r->f));
        publish(&w, 3);
        settle(&w);
        assert_int_equal(r->ended, -1);
        assert_int_equal(w.feed.n, 0);
        r->f = (struct follower){ .ops = NULL };
        world_deinit(&w);
    }
}

static void feed__ends_all_when_it_is_closed(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    publish(&w, 10);
    for (unsigned i = 0; i < 8; i++)
        (void)follow(&w, i, FEED_EVENTS, i % 2 ? 10 : 0);
    (void)manual_scheduler_run_turn(&w.ms);
    feed_close(&w.feed);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(w.readers[i].ended, FOLLOWER_DRAINED);
    assert_int_equal(feed_admits(&w.feed), ERR_SHUTTING_DOWN);
    assert_int_equal(w.feed.n_reads, FEED_READS_MAX);
    settle(&w);
    assert_int_equal(w.feed.n_reads, 0);
    world_deinit(&w);
}

/* ---- what the store can't --------------------------------------------------------------------- */

static void feed__ends_at_what_can_not_be_read_and_gives_what_came_before(void **state)
{
    struct world w;
    struct reader *r;
    struct message *m;

    (void)state;
    world_init(&w);
    publish(&w, 5);
    m = commit(&w, STR("no event"));
    feed_publish(&w.feed, m);
    message_unref(m);
    publish(&w, 5);
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    assert_heard(r, 1, 5);
    assert_int_equal(r->ended, FOLLOWER_FAILED);
    assert_int_equal(r->f.end_status, ERR_DAMAGED);
    assert_int_equal(w.feed.n, 0);
    r = follow(&w, 1, FEED_EVENTS, 6);
    settle(&w);
    assert_heard(r, 7, 11);
    world_deinit(&w);
}

static enum err busy_read(struct store *s, struct store_read *r)
{
    (void)s;
    (void)r;
    return ERR_BUSY;
}
static enum err broken_read(struct store *s, struct store_read *r)
{
    (void)s;
    (void)r;
    return ERR_IO;
}

static void feed__tries_a_read_again_that_had_no_place(void **state)
{
    static const struct store_ops busy = { .read = busy_read }, broken = { .read = broken_read };
    struct store bad = { .ops = &busy };
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 5);
    w.feed.store = &bad;
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    assert_int_equal(r->n, 0);
    assert_false(w.ms.is_awake); /* it waits, and does not spin */
    w.feed.store = &w.store.port;
    manual_scheduler_advance_us(&w.ms, FEED_PAUSE_MS * 1000);
    assert_true(manual_scheduler_run_alarm(&w.ms));
    settle(&w);
    assert_heard(r, 1, 5);
    bad.ops = &broken;
    w.feed.store = &bad;
    r = follow(&w, 1, FEED_EVENTS, 0);
    settle(&w);
    assert_int_equal(r->ended, FOLLOWER_FAILED);
    assert_int_equal(r->f.end_status, ERR_IO);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feed__waits_for_a_live_reader_as_long_as_the_ring_has_its_next_event),
        cmocka_unit_test(feed__cuts_a_live_reader_off_when_the_ring_has_gone_on),
        cmocka_unit_test(feed__bounds_the_ring_in_bytes_too),
        cmocka_unit_test(feed__never_cuts_off_who_reads_history),
        cmocka_unit_test(feed__sends_one_that_it_could_not_serve_back_to_history),
        cmocka_unit_test(feed__spreads_a_burst_for_many_over_turns),
        cmocka_unit_test(feed__ends_its_turn_when_its_time_is_over),
        cmocka_unit_test(feed__takes_n_followers_and_not_one_more),
        cmocka_unit_test(feed__lets_go_of_who_leaves_in_the_middle),
        cmocka_unit_test(feed__ends_all_when_it_is_closed),
        cmocka_unit_test(feed__ends_at_what_can_not_be_read_and_gives_what_came_before),
        cmocka_unit_test(feed__tries_a_read_again_that_had_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
