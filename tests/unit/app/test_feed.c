/* The feed alone, over a store on virtual time: what followers hear, of whatever happens meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/app/feed.h"
#include "orderly/app/lanes.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_virtual.h"
#include "support/chance.h"
#include "support/manual_scheduler.h"

/* ---- a reader: a client with a connection of its own ------------------------------------------ */

struct reader {
    struct follower f;
    uint64_t *heard; /* positions, in the order of their coming */
    size_t n, cap;
    size_t waiting, waiting_max; /* of its connection */
    size_t room_most;
    bool wants_room, is_stalled; /* takes nothing off its connection */
    unsigned n_sends;
    size_t n_bytes;
    int ended; /* -1: not yet */
};

static struct reader *reader_of(const struct follower *f)
{
    return container_of(f, struct reader, f);
}

/* What the test's renderer makes: "<position>;", blown up to the width that the test wants. */
static enum err reader_send(struct follower *f, struct str bytes)
{
    struct reader *r = reader_of(f);

    assert_true(bytes.n > 0);
    if (r->waiting && r->waiting + bytes.n > r->waiting_max)
        return ERR_BUSY;
    if (r->is_stalled)
        r->waiting += bytes.n;
    r->n_sends++;
    r->n_bytes += bytes.n;
    for (size_t i = 0; i < bytes.n;) {
        const char *end = memchr(bytes.p + i, ';', bytes.n - i);
        struct str number = str_trim((struct str){ bytes.p + i, (size_t)(end - bytes.p) - i });

        if (r->n == r->cap) {
            r->cap = r->cap ? 2 * r->cap : 64;
            r->heard = mem_realloc(r->heard, r->cap * sizeof(*r->heard));
        }
        assert_true(str_to_u64(number, &r->heard[r->n++]));
        i = (size_t)(end - bytes.p) + 1;
    }
    return ERR_OK;
}

static size_t reader_waiting(const struct follower *f)
{
    return reader_of(f)->waiting;
}

static void reader_want_room(struct follower *f, size_t most)
{
    struct reader *r = reader_of(f);

    assert_true(r->waiting > most);
    r->wants_room = true;
    r->room_most = most;
}

static void reader_ended(struct follower *f, enum follower_end why)
{
    struct reader *r = reader_of(f);

    assert_int_equal(r->ended, -1);
    r->ended = (int)why;
}

static const struct follower_ops reader_ops = { reader_send, reader_waiting, reader_want_room,
                                                reader_ended };

/* ---- the world -------------------------------------------------------------------------------- */

#define N_LANES 3
static const char *const lane_texts[N_LANES] = {
    "0199a1f3-0000-7000-8000-000000000001",
    "0199a1f3-0000-7000-8000-000000000002",
    "0199a1f3-0000-7000-8000-000000000003",
};
static const enum event_type types[] = { EVENT_ORDER_PAID, EVENT_PAYMENT_APPROVED,
                                         EVENT_ORDER_CANCELLED, EVENT_DEAD_LETTERED };

struct world {
    struct manual_scheduler ms;
    struct timers timers;
    struct engine *engine;
    struct store_virtual store;
    struct feed feed;
    size_t width; /* of a rendered event; 0: as long as it is */
    uint64_t last;
    unsigned n_rendered;
    struct reader readers[8];
};

static int on_turn(void *ctx)
{
    struct world *w = ctx;

    return feed_run(&w->feed);
}

static void on_alarm(void *ctx)
{
    struct world *w = ctx;

    (void)timers_run(&w->timers, 100);
}

static void on_written(void *ctx, struct list *writes)
{
    (void)ctx;
    while (!list_is_empty(writes))
        (void)list_pop_front(writes);
}

static void render(void *ctx, enum feed_kind kind, const struct event *e, struct buf *out)
{
    struct world *w = ctx;
    int width = w->width ? (int)w->width - 1 : 0;

    assert_true(kind == FEED_EVENTS || event_infos[e->type].topic.n > 0);
    buf_printf(out, "%*llu;", width, (unsigned long long)e->position);
    w->n_rendered++;
}

static void world_init_max(struct world *w, unsigned followers_max)
{
    memset(w, 0, sizeof(*w));
    manual_scheduler_init(&w->ms);
    w->ms.scheduler.on_turn = on_turn;
    w->ms.scheduler.on_alarm = on_alarm;
    w->ms.scheduler.ctx = w;
    timers_init(&w->timers, &w->ms.scheduler);
    w->engine = memory_engine_create(1000000);
    store_virtual_init(&w->store, w->engine);
    w->store.port.on_written = on_written;
    feed_init(&w->feed, &w->store.port, &w->timers, followers_max);
    feed_set_renderer(&w->feed, render, w);
}

static void world_init(struct world *w)
{
    world_init_max(w, 2000);
}

static bool step(struct world *w)
{
    bool did = manual_scheduler_run_turn(&w->ms);

    did |= store_virtual_run_reads(&w->store, 1) > 0;
    return did;
}

static void settle(struct world *w)
{
    while (step(w))
        ;
}

static void world_deinit(struct world *w)
{
    feed_close(&w->feed);
    settle(w);
    feed_deinit(&w->feed);
    timers_deinit(&w->timers);
    store_virtual_deinit(&w->store);
    memory_engine_destroy(w->engine);
    for (size_t i = 0; i < ARRAY_LEN(w->readers); i++)
        mem_free(w->readers[i].heard);
}

static struct event an_event(uint64_t position)
{
    struct event e = { .type = types[position % ARRAY_LEN(types)], .sequence = position };

    if (!text_id_parse(str_of(lane_texts[position % N_LANES]), &e.stream.id))
        fail();
    e.stream.type = event_infos[e.type].aggregate;
    e.lane = lane_of_correlation(text_id_str(&e.stream.id));
    e.position = position;
    e.occurred_at_ms = 1;
    e.id.u.b[15] = 1;
    return e;
}

static void put(struct world *w, struct store_row *rows, unsigned n)
{
    struct store_write write = { .rows = rows, .n_rows = n, .n_events = 1 };

    assert_int_equal(store_write_start(&w->store.port, &write), ERR_OK);
    assert_int_equal(store_virtual_run(&w->store, 1), 1);
    assert_int_equal(write.status, ERR_OK);
}

/* The next event becomes durable; its publishing may come later. row: empty, or what is stored
 * instead of the event. */
static struct message *commit(struct world *w, struct str row)
{
    struct event e = an_event(++w->last);
    struct message *m = message_of_event(&e);
    char key[8], by_lane[24], by_type[10];
    struct store_row rows[] = {
        { .db = DB_EVENTS, .key = { key, 8 }, .value = row.n ? row : m->row },
        { .db = DB_BY_LANE, .key = { by_lane, 24 } },
        { .db = DB_BY_TYPE, .key = { by_type, 10 } },
    };

    bytes_put_u64(key, e.position);
    memcpy(by_lane, e.lane.u.b, 16);
    bytes_put_u64(by_lane + 16, e.position);
    bytes_put_u16(by_type, (uint16_t)e.type);
    bytes_put_u64(by_type + 2, e.position);
    put(w, rows, ARRAY_LEN(rows));
    return m;
}

static void publish(struct world *w, unsigned n)
{
    while (n-- > 0) {
        struct message *m = commit(w, STR_NONE);

        feed_publish(&w->feed, m);
        message_unref(m);
    }
    scheduler_wake(&w->ms.scheduler); /* whoever publishes is in a turn */
}

static struct reader *follow(struct world *w, unsigned i, enum feed_kind kind, uint64_t position)
{
    struct reader *r = &w->readers[i];

    mem_free(r->heard);
    *r = (struct reader){ .waiting_max = 1 << 20, .ended = -1 };
    r->f.ops = &reader_ops;
    r->f.kind = kind;
    r->f.position = position;
    if (kind == FEED_MESSAGES && !event_query_set_topics(&r->f.filter, STR("*")))
        fail();
    assert_int_equal(feed_admits(&w->feed), ERR_OK);
    feed_follow(&w->feed, &r->f);
    return r;
}

/* It takes everything off its connection. */
static void read_all(struct reader *r)
{
    r->waiting = 0;
    if (!r->wants_room)
        return;
    r->wants_room = false;
    follower_has_room(&r->f);
}

static bool fits(const struct reader *r, uint64_t position)
{
    struct event e = an_event(position);

    return event_query_fits(&r->f.filter, &e);
}

/* Everything that fits from first to last, each once, and nothing else. */
static void assert_heard(const struct reader *r, uint64_t first, uint64_t last)
{
    size_t n = 0;

    for (uint64_t p = first; p <= last; p++) {
        if (!fits(r, p))
            continue;
        if (n == r->n || r->heard[n] != p)
            fail_msg("heard %llu in place %zu instead of %llu",
                     n < r->n ? (unsigned long long)r->heard[n] : 0ULL, n, (unsigned long long)p);
        n++;
    }
    assert_int_equal(r->n, n);
}

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
