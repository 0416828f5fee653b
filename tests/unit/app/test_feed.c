/* What followers hear: everything behind their position, each once, whatever happens meanwhile. */
#include "feed_world.h"
#include "support/chance.h"

/* ---- hearing ---------------------------------------------------------------------------------- */

static void feed__gives_exactly_the_rest_from_every_position(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    publish(&w, 30);
    for (uint64_t p = 0; p <= 30; p++) {
        struct reader *r = follow(&w, 0, p % 2 ? FEED_EVENTS : FEED_MESSAGES, p);

        settle(&w);
        assert_heard(r, p + 1, 30);
        publish(&w, 0);
        feed_leave(&r->f);
    }
    world_deinit(&w);
}

static void feed__gives_what_is_published_in_the_same_turn(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 5);
    r = follow(&w, 0, FEED_EVENTS, 5);
    settle(&w);
    assert_int_equal(r->n, 0);
    for (unsigned i = 0; i < 3; i++) {
        publish(&w, 4);
        assert_false(feed_run(&w.feed));
        assert_heard(r, 6, w.last);
    }
    assert_int_equal(w.feed.pages_read, 0);
    assert_int_equal(r->n_sends, 3);
    world_deinit(&w);
}

/* It calls nothing inside feed_follow, as its owner has not got everything ready yet. */
static void feed__begins_in_a_later_turn(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    r = follow(&w, 1, FEED_EVENTS, 0);
    publish(&w, 3);
    assert_int_equal(r->n_sends, 0);
    settle(&w);
    assert_heard(r, 1, 3);
    world_deinit(&w);
}

static void feed__has_the_filters_of_the_lists(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 24);
    for (unsigned live = 0; live < 2; live++) {
        uint64_t from = live ? 24 : 0;

        for (unsigned i = 0; i < 5; i++)
            (void)follow(&w, i, i == 4 ? FEED_MESSAGES : FEED_EVENTS, from);
        w.readers[0].f.filter.has_types = true;
        w.readers[0].f.filter.types[EVENT_PAYMENT_APPROVED] = true;
        w.readers[1].f.filter.has_lane = true;
        w.readers[1].f.filter.lane = lane_of_correlation(str_of(lane_texts[1]));
        w.readers[2].f.filter.aggregate_id = str_of(lane_texts[2]);
        w.readers[3].f.filter.has_types = true; /* none */
        if (!event_query_set_topics(&w.readers[4].f.filter, STR("payment.*")))
            fail();
        settle(&w);
        publish(&w, 24);
        settle(&w);
        for (unsigned i = 0; i < 5; i++) {
            r = &w.readers[i];
            assert_heard(r, from + 1, w.last);
            assert_int_equal(r->f.position, w.last);
            feed_leave(&r->f);
        }
        assert_int_equal(w.readers[3].n, 0);
        assert_int_equal(w.readers[4].n, w.readers[0].n);
    }
    world_deinit(&w);
}

/* Durable is not published: what the loop has not heard of yet is in the log already. */
static void feed__gives_nothing_before_it_is_published(void **state)
{
    struct world w;
    struct reader *r;
    struct message *m[3];

    (void)state;
    world_init(&w);
    publish(&w, 4);
    for (unsigned i = 0; i < 3; i++)
        m[i] = commit(&w, STR_NONE);
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    assert_heard(r, 1, 4);
    for (unsigned i = 0; i < 3; i++) {
        feed_publish(&w.feed, m[i]);
        message_unref(m[i]);
    }
    scheduler_wake(&w.ms.scheduler);
    settle(&w);
    assert_heard(r, 1, 7);
    world_deinit(&w);
}

static void feed__renders_an_event_once_for_all_who_hear_it(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (unsigned i = 0; i < 8; i++)
        (void)follow(&w, i, i % 2 ? FEED_EVENTS : FEED_MESSAGES, 0);
    settle(&w);
    publish(&w, 40); /* a quarter of them are no messages */
    settle(&w);
    assert_int_equal(w.n_rendered, 40 + 30);
    for (unsigned i = 0; i < 8; i++)
        assert_heard(&w.readers[i], 1, 40);
    world_deinit(&w);
}

static void feed__keeps_nothing_for_nobody(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 10);
    assert_null(w.feed.slots);
    r = follow(&w, 0, FEED_EVENTS, 10);
    publish(&w, 10);
    assert_true(w.feed.ring_bytes > 0);
    feed_leave(&r->f);
    assert_int_equal(w.feed.ring_bytes, 0);
    publish(&w, 10);
    assert_int_equal(w.feed.ring_bytes, 0);
    r = follow(&w, 0, FEED_EVENTS, 15);
    settle(&w);
    assert_heard(r, 16, 30);
    world_deinit(&w);
}

/* ---- from history to now ---------------------------------------------------------------------- */

static void feed__meets_page_and_ring_without_gap_or_double(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, 300);
    r = follow(&w, 0, FEED_EVENTS, 0);
    /* Events come between asking for a page and its reading, between that and its letter, and
     * between the last page and the first from the ring. */
    for (unsigned i = 0; i < 40; i++) {
        (void)manual_scheduler_run_turn(&w.ms);
        publish(&w, 3);
        (void)store_virtual_run_reads(&w.store, 1);
        publish(&w, 2);
    }
    settle(&w);
    assert_heard(r, 1, w.last);
    assert_true(r->f.is_live);
    world_deinit(&w);
}

static void feed__reads_a_bounded_page_at_a_time(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, FEED_PAGE_EVENTS + 1);
    r = follow(&w, 0, FEED_EVENTS, 0);
    settle(&w);
    assert_heard(r, 1, w.last);
    assert_int_equal(w.feed.pages_read, 2);
    feed_leave(&r->f);
    w.width = FEED_PAGE_BYTES; /* each event fills a page */
    r = follow(&w, 0, FEED_EVENTS, w.last - 4);
    settle(&w);
    assert_heard(r, w.last - 3, w.last);
    assert_int_equal(w.feed.pages_read, 6);
    assert_int_equal(r->n_bytes, 4 * FEED_PAGE_BYTES);
    world_deinit(&w);
}

/* A filter that nothing fits must not keep a reading thread for long. */
static void feed__looks_at_a_bounded_number_of_rows_for_a_page(void **state)
{
    struct world w;
    struct reader *r;

    (void)state;
    world_init(&w);
    publish(&w, FEED_PAGE_ROWS);
    for (unsigned n = 1; n <= 2; n++) {
        w.feed.pages_read = 0;
        r = follow(&w, 0, FEED_EVENTS, 0);
        r->f.filter.has_types = true; /* too many for the index, and none of them there */
        for (unsigned t = EVENT_SHIPMENT_CREATED; t <= EVENT_STOCK_ADJUSTED; t++)
            r->f.filter.types[t] = true;
        settle(&w);
        assert_int_equal(r->n, 0);
        assert_int_equal(r->f.position, w.last);
        assert_int_equal(w.feed.pages_read, n);
        feed_leave(&r->f);
        publish(&w, 1);
    }
    world_deinit(&w);
}

static void feed__has_few_reads_in_flight(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    publish(&w, 10);
    for (unsigned i = 0; i < 8; i++)
        (void)follow(&w, i, FEED_EVENTS, 0);
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(w.store.n_reads, FEED_READS_MAX);
    while (w.store.n_reads > 0) {
        assert_int_equal(w.store.n_reads, w.feed.n_reads);
        assert_true(w.feed.n_reads <= FEED_READS_MAX);
        (void)store_virtual_run_reads(&w.store, 1);
        (void)manual_scheduler_run_turn(&w.ms);
    }
    settle(&w);
    for (unsigned i = 0; i < 8; i++)
        assert_heard(&w.readers[i], 1, 10);
    world_deinit(&w);
}

/* Everything at once, in any order: only what each has heard in the end is the same. */
static void feed__gives_everybody_all_of_it_whatever_happens(void **state)
{
    struct chance c = chance_init("feed");

    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        struct world w;
        uint64_t from[8] = { 0 };
        unsigned n = 0;

        world_init(&w);
        w.width = chance_below(&c, 2) ? 0 : 1 + chance_below(&c, 9000);
        if (w.width && w.width < 12)
            w.width = 12;
        publish(&w, (unsigned)chance_below(&c, 200));
        for (unsigned i = 0; i < 1500; i++) {
            struct reader *r = &w.readers[n ? chance_below(&c, n) : 0];

            switch (chance_below(&c, 8)) {
            case 0:
                publish(&w, (unsigned)chance_below(&c, 4));
                break;
            case 1:
                if (n == 8)
                    break;
                from[n] = chance_below(&c, 3) ? chance_below(&c, w.last + 1) : w.last;
                r = follow(&w, n, (enum feed_kind)chance_below(&c, 2), from[n]);
                r->waiting_max = 1 + chance_below(&c, 100000);
                if (chance_below(&c, 3) == 0) {
                    r->f.filter.has_lane = true;
                    r->f.filter.lane = lane_of_correlation(str_of(lane_texts[i % N_LANES]));
                }
                n++;
                break;
            case 2:
                r->is_stalled = true;
                break;
            case 3:
                r->is_stalled = chance_below(&c, 2);
                if (n)
                    read_all(r);
                break;
            case 4:
            case 5:
                (void)store_virtual_run_reads(&w.store, 1);
                break;
            default:
                (void)manual_scheduler_run_turn(&w.ms);
            }
        }
        for (unsigned i = 0; i < n; i++)
            w.readers[i].is_stalled = false;
        for (unsigned again = 0; again < 3; again++) {
            for (unsigned i = 0; i < n; i++)
                read_all(&w.readers[i]);
            settle(&w);
        }
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(w.readers[i].ended, -1);
            assert_heard(&w.readers[i], from[i] + 1, w.last);
        }
        world_deinit(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feed__gives_exactly_the_rest_from_every_position),
        cmocka_unit_test(feed__gives_what_is_published_in_the_same_turn),
        cmocka_unit_test(feed__begins_in_a_later_turn),
        cmocka_unit_test(feed__has_the_filters_of_the_lists),
        cmocka_unit_test(feed__gives_nothing_before_it_is_published),
        cmocka_unit_test(feed__renders_an_event_once_for_all_who_hear_it),
        cmocka_unit_test(feed__keeps_nothing_for_nobody),
        cmocka_unit_test(feed__meets_page_and_ring_without_gap_or_double),
        cmocka_unit_test(feed__reads_a_bounded_page_at_a_time),
        cmocka_unit_test(feed__looks_at_a_bounded_number_of_rows_for_a_page),
        cmocka_unit_test(feed__has_few_reads_in_flight),
        cmocka_unit_test(feed__gives_everybody_all_of_it_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
