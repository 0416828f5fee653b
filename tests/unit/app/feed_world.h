/* The feed alone, over a store on virtual time, and readers that hear it: each event is rendered as
 * its position, and a reader keeps those that it has heard. For the tests of the feed. */
#ifndef ORDERLY_TESTS_FEED_WORLD_H
#define ORDERLY_TESTS_FEED_WORLD_H
/* cmocka.h needs these four before it. */
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
#include "orderly/infra/virtual/manual_scheduler.h"

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

static inline struct reader *reader_of(const struct follower *f)
{
    return container_of(f, struct reader, f);
}

/* What the test's renderer makes: "<position>;", blown up to the width that the test wants. */
static inline enum err reader_send(struct follower *f, struct str bytes)
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

static inline size_t reader_waiting(const struct follower *f)
{
    return reader_of(f)->waiting;
}

static inline void reader_want_room(struct follower *f, size_t most)
{
    struct reader *r = reader_of(f);

    assert_true(r->waiting > most);
    r->wants_room = true;
    r->room_most = most;
}

static inline void reader_ended(struct follower *f, enum follower_end why)
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

static inline int on_turn(void *ctx)
{
    struct world *w = ctx;

    return feed_run(&w->feed);
}

static inline void on_alarm(void *ctx)
{
    struct world *w = ctx;

    (void)timers_run(&w->timers, 100);
}

static inline void on_written(void *ctx, struct list *writes)
{
    (void)ctx;
    while (!list_is_empty(writes))
        (void)list_pop_front(writes);
}

static inline void render(void *ctx, enum feed_kind kind, const struct event *e, struct buf *out)
{
    struct world *w = ctx;
    int width = w->width ? (int)w->width - 1 : 0;

    assert_true(kind == FEED_EVENTS || event_infos[e->type].topic.n > 0);
    buf_printf(out, "%*llu;", width, (unsigned long long)e->position);
    w->n_rendered++;
}

static inline void world_init_max(struct world *w, unsigned followers_max)
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

static inline void world_init(struct world *w)
{
    world_init_max(w, 2000);
}

static inline bool step(struct world *w)
{
    bool did = manual_scheduler_run_turn(&w->ms);

    did |= store_virtual_run_reads(&w->store, 1) > 0;
    return did;
}

static inline void settle(struct world *w)
{
    while (step(w))
        ;
}

static inline void world_deinit(struct world *w)
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

static inline struct event an_event(uint64_t position)
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

static inline void put(struct world *w, struct store_row *rows, unsigned n)
{
    struct store_write write = { .rows = rows, .n_rows = n, .n_events = 1 };

    assert_int_equal(store_write_start(&w->store.port, &write), ERR_OK);
    assert_int_equal(store_virtual_run(&w->store, 1), 1);
    assert_int_equal(write.status, ERR_OK);
}

/* The next event becomes durable; its publishing may come later. row: empty, or what is stored
 * instead of the event. */
static inline struct message *commit(struct world *w, struct str row)
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

static inline void publish(struct world *w, unsigned n)
{
    while (n-- > 0) {
        struct message *m = commit(w, STR_NONE);

        feed_publish(&w->feed, m);
        message_unref(m);
    }
    scheduler_wake(&w->ms.scheduler); /* whoever publishes is in a turn */
}

static inline struct reader *follow(struct world *w, unsigned i, enum feed_kind kind,
                                    uint64_t position)
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
static inline void read_all(struct reader *r)
{
    r->waiting = 0;
    if (!r->wants_room)
        return;
    r->wants_room = false;
    follower_has_room(&r->f);
}

static inline bool fits(const struct reader *r, uint64_t position)
{
    struct event e = an_event(position);

    return event_query_fits(&r->f.filter, &e);
}

/* Everything that fits from first to last, each once, and nothing else. */
static inline void assert_heard(const struct reader *r, uint64_t first, uint64_t last)
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
#endif
