#include "orderly/app/dead_letters.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include "support/bus_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct bus_world w;

/* Even lanes are refused for good, odd ones fail and park; lanes from 100 on are fine. */
static enum answer answer_by_lane(struct player *p, struct delivery *d)
{
    unsigned lane = lane_number_of(d->message->event.lane);

    (void)p;
    if (lane >= 100)
        return ANSWER_DONE;
    return lane % 2 == 0 ? ANSWER_PERMANENT : ANSWER_FAIL;
}

static int world_begins(void **state)
{
    (void)state;
    bus_world_init(&w, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct player *p = bus_world_add(&w);

        p->decide = answer_by_lane;
        p->s.config.retries = 0;
    }
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    bus_world_deinit(&w);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct dead_letter a_dead_letter(void)
{
    return (struct dead_letter){
        .subscription = SUBSCRIPTION_PAYMENTS,
        .state = DEAD_LETTER_RETRIED,
        .lane = lane_number(7),
        .message_id = { lane_number(8).u },
        .type = EVENT_PAYMENT_APPROVED,
        .position = UINT64_C(0x123456789abcdef0),
        .is_parking = true,
        .payload_position = 11,
        .closed_position = 12,
        .attempts = 4,
        .first_failed_at_ms = 1795176000000,
        .last_failed_at_ms = 1795176002000,
        .error_code = STR("payment_taken"),
        .error_detail = STR("payment-1 pays another order"),
    };
}

static void dead_letter__reads_what_it_wrote(void **state)
{
    struct dead_letter d = a_dead_letter(), back;
    struct buf row = { 0 };

    (void)state;
    dead_letter_encode(&d, &row);
    assert_int_equal(dead_letter_decode(buf_str(&row), &back), ERR_OK);
    assert_int_equal(back.subscription, d.subscription);
    assert_int_equal(back.state, d.state);
    assert_true(uuid_eq(back.lane.u, d.lane.u));
    assert_true(uuid_eq(back.message_id.u, d.message_id.u));
    assert_int_equal(back.type, d.type);
    assert_true(back.position == d.position);
    assert_int_equal(back.is_parking, d.is_parking);
    assert_int_equal(back.payload_position, d.payload_position);
    assert_int_equal(back.closed_position, d.closed_position);
    assert_int_equal(back.attempts, d.attempts);
    assert_true(back.first_failed_at_ms == d.first_failed_at_ms);
    assert_true(back.last_failed_at_ms == d.last_failed_at_ms);
    assert_true(str_eq(back.error_code, d.error_code));
    assert_true(str_eq(back.error_detail, d.error_detail));
    buf_deinit(&row);
}

static void dead_letter__refuses_rows_that_are_cut_or_longer_or_out_of_range(void **state)
{
    struct dead_letter d = a_dead_letter(), back;
    struct buf row = { 0 };

    (void)state;
    dead_letter_encode(&d, &row);
    for (size_t n = 0; n < row.n; n++) {
        char *copy = mem_alloc(n + 1); /* so that a read past the end is seen */

        memcpy(copy, row.p, n);
        assert_int_equal(dead_letter_decode((struct str){ copy, n }, &back), ERR_DAMAGED);
        mem_free(copy);
    }
    for (size_t i = 0; i < 3; i++) { /* version, subscription, state */
        char kept = row.p[i];

        row.p[i] = 99;
        assert_int_equal(dead_letter_decode(buf_str(&row), &back), ERR_DAMAGED);
        row.p[i] = kept;
    }
    buf_add(&row, "x", 1);
    assert_int_equal(dead_letter_decode(buf_str(&row), &back), ERR_DAMAGED);
    buf_deinit(&row);
}

static void deferred_lane__reads_what_it_wrote_and_refuses_the_rest(void **state)
{
    struct deferred_lane d = {
        .head_position = 12,
        .attempts = 3,
        .is_parked = true,
        .first_failed_at_ms = 1,
        .last_failed_at_ms = 2,
        .due_wall_ms = 3,
        .is_alone = true,
        .payload_position = 13,
        .dead_letter_id = { lane_number(5).u },
        .error_code = STR("handler_failed"),
    };
    struct deferred_lane back;
    char key[DEFERRED_LANE_KEY_LEN];
    struct buf row = { 0 };
    struct str k = { key, sizeof(key) };

    (void)state;
    deferred_lane_key(SUBSCRIPTION_AUDIT, lane_number(6), key);
    deferred_lane_encode(&d, &row);
    assert_int_equal(deferred_lane_decode(k, buf_str(&row), &back), ERR_OK);
    assert_int_equal(back.subscription, SUBSCRIPTION_AUDIT);
    assert_true(uuid_eq(back.lane.u, lane_number(6).u));
    assert_int_equal(back.head_position, 12);
    assert_int_equal(back.attempts, 3);
    assert_true(back.is_parked);
    assert_true(back.is_alone);
    assert_int_equal(back.payload_position, 13);
    assert_int_equal(back.first_failed_at_ms, 1);
    assert_int_equal(back.last_failed_at_ms, 2);
    assert_int_equal(back.due_wall_ms, 3);
    assert_true(uuid_eq(back.dead_letter_id.u, lane_number(5).u));
    assert_true(str_eq(back.error_code, STR("handler_failed")));
    assert_int_equal(back.error_detail.n, 0);
    for (size_t n = 0; n < row.n; n++)
        assert_int_equal(deferred_lane_decode(k, (struct str){ row.p, n }, &back), ERR_DAMAGED);
    key[0] = SUBSCRIPTION_COUNT;
    assert_int_equal(deferred_lane_decode(k, buf_str(&row), &back), ERR_DAMAGED);
    buf_deinit(&row);
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct list_read {
    struct store_read read;
    struct arena arena;
    enum subscription_id subscription;
    struct lane_id lane;
    struct dead_letter_id after, one;
    unsigned limit;
    enum err err;
    struct dead_letter_item *items;
    unsigned n;
    bool has_more;
};

static void list_run(struct store_read *read, const struct store_view *v)
{
    struct list_read *r = container_of(read, struct list_read, read);

    struct dead_letter_filter filter = { .subscription = r->subscription, .lane = r->lane };

    r->err = dead_letters_list(v, &r->arena, &filter, &r->after, r->limit, &r->items, &r->n,
                               &r->has_more);
}

static void get_run(struct store_read *read, const struct store_view *v)
{
    struct list_read *r = container_of(read, struct list_read, read);

    r->items = arena_alloc(&r->arena, sizeof(r->items[0]));
    r->err = dead_letters_get(v, &r->arena, r->one, r->items);
}

static void read_done(struct store_read *read)
{
    (void)read;
}

static void list_read(struct list_read *r)
{
    arena_init(&r->arena, NULL, 0);
    r->read.run = uuid_is_nil(r->one.u) ? list_run : get_run;
    r->read.done = read_done;
    assert_int_equal(store_read_start(&w.store.port, &r->read), ERR_OK);
    store_virtual_run_reads(&w.store, STORE_VIRTUAL_ALL);
}

static void make_letters(unsigned n)
{
    for (unsigned lane = 1; lane <= n; lane++) {
        bus_world_publish(&w, lane);
        bus_world_settle(&w);
    }
}

static void dead_letters__come_oldest_first_and_page_by_page(void **state)
{
    struct list_read r = { .limit = 3 };
    unsigned lane = 1;

    (void)state;
    make_letters(4); /* by two subscriptions: eight letters */
    for (unsigned page = 0; page < 3; page++) {
        list_read(&r);
        assert_int_equal(r.err, ERR_OK);
        assert_int_equal(r.n, page < 2 ? 3 : 2);
        assert_int_equal(r.has_more, page < 2);
        for (unsigned i = 0; i < r.n; i++, lane++)
            assert_int_equal(lane_number_of(r.items[i].letter.lane), (lane + 1) / 2);
        assert_true(uuid_eq(r.after.u, r.items[r.n - 1].letter.id.u));
        arena_deinit(&r.arena);
    }
}

static void dead_letters__are_listed_by_subscription_and_by_order(void **state)
{
    struct list_read r = { .limit = 10, .subscription = SUBSCRIPTION_PAYMENTS };

    (void)state;
    make_letters(3);
    list_read(&r);
    assert_int_equal(r.n, 3);
    assert_false(r.has_more);
    for (unsigned i = 0; i < r.n; i++)
        assert_int_equal(r.items[i].letter.subscription, SUBSCRIPTION_PAYMENTS);
    arena_deinit(&r.arena);

    r = (struct list_read){ .limit = 10, .lane = lane_number(2) };
    list_read(&r);
    assert_int_equal(r.n, 2);
    for (unsigned i = 0; i < r.n; i++) {
        assert_int_equal(lane_number_of(r.items[i].letter.lane), 2);
        assert_int_equal(r.items[i].letter.state, DEAD_LETTER_OPEN);
    }
    arena_deinit(&r.arena);

    r = (struct list_read){ .limit = 10, .lane = lane_number(50) };
    list_read(&r);
    assert_int_equal(r.err, ERR_OK);
    assert_int_equal(r.n, 0);
    arena_deinit(&r.arena);
}

static void dead_letters__bring_their_message_and_what_is_queued_behind(void **state)
{
    struct list_read r = { .limit = 1, .subscription = SUBSCRIPTION_PAYMENTS };
    struct message *m = NULL;

    (void)state;
    make_letters(1);
    assert_true(bus_world_append(&w, 1, EVENT_ORDER_CONFIRMED)); /* Payments hears it */
    assert_true(bus_world_append(&w, 1, EVENT_ORDER_SHIPPED));   /* but not this */
    assert_true(bus_world_append(&w, 2, EVENT_ORDER_CONFIRMED)); /* and this is another order's */
    bus_world_settle(&w);
    list_read(&r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.items[0].letter.state, DEAD_LETTER_PARKED);
    assert_int_equal(r.items[0].letter.type, EVENT_ORDER_PLACED);
    assert_int_equal(r.items[0].queued_behind, 1);
    assert_int_equal(message_of_row(r.items[0].message_row, 1, &m), ERR_OK);
    assert_true(uuid_eq(m->event.id.u, r.items[0].letter.message_id.u));
    message_unref(m);
    r.one = r.items[0].letter.id;
    arena_deinit(&r.arena);

    list_read(&r);
    assert_int_equal(r.err, ERR_OK);
    assert_true(uuid_eq(r.items[0].letter.id.u, r.one.u));
    assert_int_equal(r.items[0].queued_behind, 1);
    arena_deinit(&r.arena);

    r.one.u = lane_number(1).u;
    list_read(&r);
    assert_int_equal(r.err, ERR_NOT_FOUND);
    arena_deinit(&r.arena);
}

static void dead_letters__answer_what_they_have_when_it_is_late(void **state)
{
    struct list_read r = { .limit = 10 };
    unsigned n = 0, pages = 0;

    (void)state;
    make_letters(2); /* four */
    w.store.reads_are_late = true;
    do {
        list_read(&r);
        assert_int_equal(r.err, ERR_OK);
        assert_true(r.n <= 1); /* one is looked at, so that who asks on comes to the end */
        n += r.n;
        arena_deinit(&r.arena);
    } while (r.has_more && ++pages < 10);
    assert_int_equal(n, 4);
    assert_false(r.has_more);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_begins, world_ends)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_letter__reads_what_it_wrote),
        cmocka_unit_test(dead_letter__refuses_rows_that_are_cut_or_longer_or_out_of_range),
        cmocka_unit_test(deferred_lane__reads_what_it_wrote_and_refuses_the_rest),
        WORLD(dead_letters__come_oldest_first_and_page_by_page),
        WORLD(dead_letters__are_listed_by_subscription_and_by_order),
        WORLD(dead_letters__bring_their_message_and_what_is_queued_behind),
        WORLD(dead_letters__answer_what_they_have_when_it_is_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
