/* Reads of the log that fail, or that end before they have read all: a subscription that catches up
 * and a deferred lane both stop there, say so once, and go on when the row can be read. */
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "support/bus_world.h"
#include "support/faulty_engine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LANE_KEY_LEN 24

/* ---- the world ------------------------------------------------------------------------------- */

static struct bus_world w;
static struct faulty_engine faulty;
static enum answer answers[128];    /* by position; DONE unless a test says else */
static char given[TEXT_ID_MAX + 1]; /* the customer of the message that was handed over last */

static enum answer answer_by_position(struct player *p, struct delivery *d)
{
    const struct event *e = &d->message->event;

    (void)p;
    REQUIRE(e->position < ARRAY_LEN(answers));
    memcpy(given, e->p.customer_id.t.s, e->p.customer_id.t.n);
    given[e->p.customer_id.t.n] = '\0';
    return answers[e->position];
}

static int world_begins(void **state)
{
    struct player *p;

    memset(answers, 0, sizeof(answers));
    bus_world_init(&w, 1);
    *state = p = bus_world_add(&w);
    p->decide = answer_by_position;
    bus_world_start(&w);
    return 0;
}

static int world_ends(void **state)
{
    (void)state;
    faulty_engine_init(&faulty, w.engine); /* of which the last chores are well */
    bus_world_deinit(&w);
    return 0;
}

/* From here on reads go by the faulty one. */
static void reads_may_fail(void)
{
    faulty_engine_init(&faulty, w.engine);
    w.store.engine = &faulty.engine;
}

static void event_is_bad(uint64_t position, enum err err)
{
    faulty.get = (struct read_fault){ .err = err, .db = DB_EVENTS, .position = position };
}

static void write_past_the_app(struct store_row row)
{
    struct store_row rows[1] = { row };
    struct store_write write = { .rows = rows, .n_rows = 1 };
    struct list list;

    list_init(&list);
    list_push_back(&list, &write.link);
    assert_int_equal(w.engine->ops->apply(w.engine, &list), ERR_OK);
}

static struct str position_key(uint64_t position, char out[8])
{
    bytes_put_u64(out, position);
    return (struct str){ out, 8 };
}

static void assert_journal(const struct player *p, const uint64_t *positions, size_t n)
{
    assert_int_equal(p->n_handed, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p->journal[i].position, positions[i]);
}

static void assert_stuck(const struct player *p, unsigned n_told)
{
    assert_true(p->s.is_stuck);
    assert_int_equal(capture_log_count(&w.log_lines, "error log_not_readable"), n_told);
}

/* The bus begins anew, with everything to read. */
static void begin_again(struct player *p)
{
    bus_world_crash(&w);
    p->n_handed = 0;
    bus_world_recover(&w);
    reads_may_fail();
}

/* ---- a subscription that catches up ---------------------------------------------------------- */

static void subscription__stops_where_a_read_fails_and_goes_on_from_there(void **state)
{
    static const uint64_t all[] = { 1, 2, 3, 4, 5 };
    struct player *p = *state;

    for (unsigned lane = 1; lane <= 5; lane++)
        bus_world_publish(&w, lane);
    begin_again(p);
    event_is_bad(3, ERR_IO);
    bus_world_settle(&w);
    assert_journal(p, all, 2);
    assert_stuck(p, 1);
    bus_world_pass_ms(&w, 5000); /* tries again each second, and says it once */
    assert_journal(p, all, 2);
    assert_stuck(p, 1);
    faulty.get.err = ERR_OK;
    bus_world_pass_ms(&w, 1000);
    assert_journal(p, all, 5);
    assert_false(p->s.is_stuck);
    assert_true(p->s.is_live);
}

static void free_append(struct append *a)
{
    mem_free(a);
}

/* An event that nobody is told of. */
static void publish_event(struct payload payload)
{
    struct append *a = mem_alloc(sizeof(*a));
    struct event e = {
        .type = EVENT_DEAD_LETTER_RETRIED,
        .lane = lane_number(1),
        .sequence = ++w.sequence,
        .stream = { .type = AGGREGATE_SUBSCRIPTION, .id = { .n = 1, .s = "x" } },
        .p = payload,
    };

    assert_int_equal(append_begin(a, &w.log, APPEND_COMMAND), ERR_OK);
    append_event(a, &e);
    append_submit(a, free_append);
    bus_world_commit(&w);
}

static void subscription__reads_a_mebibyte_at_a_time(void **state)
{
    struct player *p = *state;

    char *bytes = mem_zalloc(100000);

    for (unsigned i = 0; i < 20; i++)
        publish_event((struct payload){ .message_row = { bytes, 100000 } });
    mem_free(bytes);
    begin_again(p);
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(store_virtual_run_reads(&w.store, 1), 1);
    assert_int_equal(p->s.taken_position, 11); /* the first with which it is more */
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(store_virtual_run_reads(&w.store, 1), 1);
    assert_int_equal(p->s.taken_position, 20);
}

static void subscription__takes_what_was_read_when_a_read_is_late(void **state)
{
    static const uint64_t all[] = { 1, 2, 3 };
    struct player *p = *state;

    for (unsigned lane = 1; lane <= 3; lane++)
        bus_world_publish(&w, lane);
    begin_again(p);
    w.store.reads_are_late = true;
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(store_virtual_run_reads(&w.store, 1), 1);
    assert_int_equal(p->s.taken_position, 1); /* one at least, or it would never end */
    bus_world_settle(&w);
    assert_journal(p, all, 3);
    assert_false(p->s.is_stuck);
}

/* ---- a deferred lane ------------------------------------------------------------------------- */

/* Lane 1: position 1 fails, and 2 and 3 wait behind it. */
static void defer_a_lane(struct player *p)
{
    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    assert_int_equal(p->s.n_deferred, 1);
    bus_world_publish(&w, 1);
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    answers[1] = ANSWER_DONE;
    reads_may_fail();
}

static void lane__whose_list_can_not_be_searched_is_read_again_after_a_second(void **state)
{
    static const uint64_t all[] = { 1, 1, 2, 3 };
    struct player *p = *state;

    defer_a_lane(p);
    faulty.seek = (struct read_fault){ .err = ERR_IO, .db = DB_BY_LANE };
    bus_world_pass_ms(&w, 3000);
    assert_journal(p, all, 1);
    assert_stuck(p, 1);
    assert_int_equal(p->s.n_deferred, 1);
    bus_world_publish(&w, 2); /* others flow */
    bus_world_settle(&w);
    assert_int_equal(p->journal[1].lane, 2);
    p->n_handed = 1;
    faulty.seek.err = ERR_OK;
    bus_world_pass_ms(&w, 1000);
    assert_journal(p, all, 4);
    assert_int_equal(p->journal[1].attempt, 2);
    assert_int_equal(p->journal[2].attempt, 1);
    assert_false(p->s.is_stuck);
    assert_int_equal(p->s.n_deferred, 0);
}

static void lane__goes_as_far_as_it_was_read(void **state)
{
    static const uint64_t all[] = { 1, 1, 2, 3 };
    struct player *p = *state;

    defer_a_lane(p);
    event_is_bad(2, ERR_DAMAGED);
    bus_world_pass_ms(&w, 3000);
    assert_journal(p, all, 2);
    assert_stuck(p, 1);
    faulty.get.err = ERR_OK;
    bus_world_pass_ms(&w, 1000);
    assert_journal(p, all, 4);
    assert_false(p->s.is_stuck);
}

static void lane__whose_list_leads_to_no_event_says_so_to_the_store(void **state)
{
    static const uint64_t all[] = { 1, 1, 2, 3 };
    struct player *p = *state;

    defer_a_lane(p);
    event_is_bad(1, ERR_NOT_FOUND);
    bus_world_pass_ms(&w, 200);
    assert_journal(p, all, 1);
    assert_stuck(p, 1);
    assert_int_equal(faulty.n_contradicts, 1);
    assert_int_equal(faulty.contradicted, DB_BY_LANE);
    faulty.get.err = ERR_OK;
    bus_world_pass_ms(&w, 1000);
    assert_journal(p, all, 4);
}

/* Where the next key is none, it can't be told whether more of the lane follows. */
static void lane__does_not_end_at_a_key_that_is_too_short(void **state)
{
    static const char behind_all[] = { 0, 0, 0, 0, 0, 0, 1 };
    struct lane_id lane = lane_number(2); /* nothing lies behind it in the list */
    struct player *p = *state;
    char key[LANE_KEY_LEN];
    struct store_row row = { .db = DB_BY_LANE, .key = { key, LANE_KEY_LEN - 1 } };

    memcpy(key, lane.u.b, 16);
    memcpy(key + 16, behind_all, sizeof(behind_all));
    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 2);
    bus_world_publish(&w, 1);
    bus_world_pass_ms(&w, 200);
    assert_int_equal(bus_world_stored_cursor(&w, p), 2);
    write_past_the_app(row);
    begin_again(p); /* of the lane it is only known that there may be more of it, up to 2 */
    answers[1] = ANSWER_DONE;
    bus_world_pass_ms(&w, 5000);
    assert_int_equal(p->n_handed, 1);
    assert_int_equal(p->s.n_deferred, 1);
    assert_stuck(p, 1);
    assert_int_equal(capture_log_count(&w.log_lines, "error=DAMAGED"), 1);
    row.is_delete = true;
    write_past_the_app(row);
    bus_world_pass_ms(&w, 1000);
    assert_int_equal(p->s.n_deferred, 0);
    assert_false(p->s.is_stuck);
    assert_int_equal(p->n_handed, 1);
}

#define LANES (BUS_LANE_READS_MAX + 1)

static void lanes__are_read_64_at_a_time(void **state)
{
    struct player *p = *state;

    p->s.config.retry_base_ms = 10000;
    for (unsigned lane = 1; lane <= LANES; lane++) {
        answers[lane] = ANSWER_FAIL;
        bus_world_publish(&w, lane);
    }
    bus_world_pass_ms(&w, BUS_CHORES_MS); /* the cursor, too */
    assert_int_equal(p->s.n_deferred, LANES);
    begin_again(p);
    bus_world_settle(&w);
    memset(answers, 0, sizeof(answers));
    manual_scheduler_advance_us(&w.ms, 60 * 1000000); /* all are due at once */
    assert_true(manual_scheduler_run_alarm(&w.ms));
    (void)manual_scheduler_run_turn(&w.ms);
    assert_int_equal(p->s.n_lane_reads, BUS_LANE_READS_MAX);
    bus_world_settle(&w);
    assert_int_equal(p->n_handed, LANES);
    assert_int_equal(p->s.n_deferred, 0);
}

/* ---- the payload that an operator gave ------------------------------------------------------- */

/* The message at position 1 of lane 1, with this customer. */
static struct message *message_for(const char *customer)
{
    struct event e = {
        .type = EVENT_ORDER_PLACED,
        .lane = lane_number(1),
        .sequence = 1,
        .stream = { .type = AGGREGATE_ORDER, .id = { .n = 1, .s = "o" } },
        .position = 1,
    };
    bool ok = text_id_parse(str_of(customer), &e.p.customer_id.t);

    assert_true(ok);
    return message_of_event(&e);
}

/* Event 2 has the payload with which lane 1 goes on. */
static void give_a_payload(struct player *p, const char *customer)
{
    struct message *m = message_for(customer);
    struct deferred_lane lane = {
        .subscription = p->s.config.id,
        .lane = lane_number(1),
        .head_position = 1,
        .payload_position = 2,
    };
    char key[DEFERRED_LANE_KEY_LEN];
    struct buf value = { 0 };

    publish_event((struct payload){ .message_row = m->row });
    deferred_lane_key(lane.subscription, lane.lane, key);
    deferred_lane_encode(&lane, &value);
    write_past_the_app((struct store_row){
        .db = DB_LANES, .key = { key, sizeof(key) }, .value = buf_str(&value) });
    buf_deinit(&value);
    message_unref(m);
}

static struct str stored_event(uint64_t position, struct arena *a)
{
    char key[8];
    struct str value;
    void *txn;

    assert_int_equal(w.engine->ops->view_begin(w.engine, &txn), ERR_OK);
    assert_int_equal(
        w.engine->ops->get(w.engine, txn, DB_EVENTS, position_key(position, key), a, &value),
        ERR_OK);
    w.engine->ops->view_end(w.engine, txn);
    return value;
}

static void store_event(uint64_t position, struct str value)
{
    char key[8];

    write_past_the_app(
        (struct store_row){ .db = DB_EVENTS, .key = position_key(position, key), .value = value });
}

static void payload__that_can_not_be_read_is_not_replaced_by_the_old_one(void **state)
{
    struct player *p = *state;
    struct arena arena;
    struct str right;

    p->s.config.retry_base_ms = 10000;
    answers[1] = ANSWER_FAIL;
    bus_world_publish(&w, 1);
    bus_world_settle(&w);
    give_a_payload(p, "the-right-one");
    bus_world_pass_ms(&w, BUS_CHORES_MS);
    assert_int_equal(bus_world_stored_cursor(&w, p), 2); /* only the lane reads what follows */
    begin_again(p);
    answers[1] = ANSWER_DONE;
    arena_init(&arena, NULL, 0);
    right = stored_event(2, &arena);

    event_is_bad(2, ERR_IO);
    bus_world_pass_ms(&w, 2000);
    assert_stuck(p, 1);
    faulty.get.err = ERR_OK;
    store_event(2, STR("garbage"));
    bus_world_pass_ms(&w, 2000);
    assert_stuck(p, 1);
    assert_int_equal(p->n_handed, 0);
    store_event(2, right);
    bus_world_pass_ms(&w, 2000);
    assert_int_equal(p->n_handed, 1);
    assert_string_equal(given, "the-right-one");
    assert_int_equal(p->s.n_deferred, 0);
    assert_false(p->s.is_stuck);
    arena_deinit(&arena);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_begins, world_ends)
    const struct CMUnitTest tests[] = {
        WORLD(subscription__stops_where_a_read_fails_and_goes_on_from_there),
        WORLD(subscription__reads_a_mebibyte_at_a_time),
        WORLD(subscription__takes_what_was_read_when_a_read_is_late),
        WORLD(lane__whose_list_can_not_be_searched_is_read_again_after_a_second),
        WORLD(lane__goes_as_far_as_it_was_read),
        WORLD(lane__whose_list_leads_to_no_event_says_so_to_the_store),
        WORLD(lane__does_not_end_at_a_key_that_is_too_short),
        WORLD(lanes__are_read_64_at_a_time),
        WORLD(payload__that_can_not_be_read_is_not_replaced_by_the_old_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
