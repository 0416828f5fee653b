/* What a start finds of a commit that is not whole. */
#include "../../../src/app/recent_check.h"
#include "orderly/app/row_keys.h"
#include "support/history.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct app_fixture world;

static int setup(void **state)
{
    struct app_config config = app_fixture_config();

    app_fixture_init(&world, &config);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    app_fixture_deinit(*state);
    return 0;
}

static int64_t no_time(void)
{
    return 0;
}

struct look {
    struct store_read read;
    uint64_t last_position;
    enum err err;
};

static void look_run(struct store_read *r, const struct store_view *v)
{
    struct look *l = container_of(r, struct look, read);

    l->err = recent_check(v, l->last_position);
}

static enum err check_up_to(struct app_fixture *f, uint64_t position)
{
    struct look l = { .read = { .run = look_run }, .last_position = position };

    engine_run_read(f->engine, no_time, INT64_MAX, &l.read);
    return l.err;
}

static uint64_t last_position(struct app_fixture *f)
{
    struct store_stats stats;

    f->engine->ops->stats(f->engine, &stats);
    return stats.events;
}

static enum err check(struct app_fixture *f)
{
    return check_up_to(f, last_position(f));
}

static void write_row(struct app_fixture *f, enum store_db db, struct str key, struct str value,
                      bool is_delete)
{
    struct store_row row = { .db = db, .key = key, .value = value, .is_delete = is_delete };
    struct store_write w = { .rows = &row, .n_rows = 1 };
    struct list list;

    list_init(&list);
    list_push_back(&list, &w.link);
    assert_int_equal(f->engine->ops->apply(f->engine, &list), ERR_OK);
}

/* ---- no false alarm ---------------------------------------------------------------------------- */

static void recent_check__is_content_with_everything_that_the_app_does(void **state)
{
    struct app_fixture *f = *state;
    struct chance c = chance_init("recent");

    assert_int_equal(check_up_to(f, 0), ERR_OK);
    assert_int_equal(check(f), ERR_OK);
    for (unsigned n = 0; n < 400; n++) {
        history_step(f, &c, n);
        assert_int_equal(check(f), ERR_OK);
    }
}

static void recent_check__is_content_at_every_commit_of_a_whole_shop(void **state)
{
    struct app_fixture *f = *state;

    history_of_all(f);
    assert_int_equal(check(f), ERR_OK);
}

/* ---- what it finds ----------------------------------------------------------------------------- */

struct row {
    char key[STORE_KEY_MAX];
    size_t key_len;
    char value[4096];
    size_t value_len;
};

/* The row behind another, of key_len 0 the first. */
static bool next_row(struct app_fixture *f, enum store_db db, struct row *row)
{
    struct str from = { row->key, row->key_len };
    struct str key, value;
    struct arena arena;
    enum err err;
    void *txn;

    arena_init(&arena, NULL, 0);
    assert_int_equal(f->engine->ops->view_begin(f->engine, &txn), ERR_OK);
    err = f->engine->ops->seek(f->engine, txn, db, from.n ? STORE_GT : STORE_GE, from, &arena, &key,
                               &value);
    f->engine->ops->view_end(f->engine, txn);
    if (err == ERR_OK) {
        assert_true(value.n <= sizeof(row->value));
        memcpy(row->key, key.p, row->key_len = key.n);
        row->value_len = value.n;
        if (value.n)
            memcpy(row->value, value.p, value.n);
    }
    arena_deinit(&arena);
    return err == ERR_OK;
}

/* Every row of the database is taken away in turn, and put back. */
static void assert_misses_each(struct app_fixture *f, enum store_db db)
{
    struct row row = { .key_len = 0 };
    unsigned n = 0;

    for (; next_row(f, db, &row); n++) {
        struct str key = { row.key, row.key_len };

        write_row(f, db, key, STR_NONE, true);
        if (check(f) != ERR_DAMAGED)
            fail_msg("without row %u of %s all seems well", n, store_db_name(db));
        write_row(f, db, key, (struct str){ row.value, row.value_len }, false);
    }
    assert_true(n > 0);
    assert_int_equal(check(f), ERR_OK);
}

static void recent_check__misses_every_row_that_is_not_there(void **state)
{
    static const enum store_db dbs[] = {
        DB_BY_LANE,   DB_BY_TYPE,     DB_ORDERS,           DB_PARTS,
        DB_OWNERS,    DB_CARTS,       DB_ORDERS_BY_STATUS, DB_ORDERS_BY_CUSTOMER,
        DB_UNSETTLED, DB_REFUNDS_DUE, DB_DEADLINES
    };
    struct app_fixture *f = *state;

    history_of_all(f);
    for (unsigned i = 0; i < ARRAY_LEN(dbs); i++)
        assert_misses_each(f, dbs[i]);
}

/* As it stands on a page of an earlier commit. */
static void recent_check__knows_a_snapshot_that_is_older_than_its_events(void **state)
{
    struct app_fixture *f = *state;
    struct row before = { .key_len = 0 };
    struct row after = { .key_len = 0 };

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    assert_true(next_row(f, DB_ORDERS, &before));
    app_fixture_pass_ms(f, 2000);
    assert_true(next_row(f, DB_ORDERS, &after));
    assert_int_equal(check(f), ERR_OK);
    write_row(f, DB_ORDERS, (struct str){ after.key, after.key_len },
              (struct str){ before.value, before.value_len }, false);
    assert_int_equal(check(f), ERR_DAMAGED);
}

/* ---- its bound --------------------------------------------------------------------------------- */

static void recent_check__looks_at_the_last_batch_and_no_further(void **state)
{
    struct app_fixture *f = *state;
    char key[ROW_KEY_BY_TYPE];

    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 2000);
    while (last_position(f) < RECENT_EVENTS)
        assert_int_equal(a_cart(f), REPLY_CREATED);
    /* The first event of all is the oldest of the last batch, and with one more it no longer is. */
    write_row(f, DB_BY_TYPE, row_key_by_type(key, EVENT_PRODUCT_ADDED, 1), STR_NONE, true);
    assert_int_equal(check_up_to(f, RECENT_EVENTS), ERR_DAMAGED);
    assert_int_equal(a_cart(f), REPLY_CREATED);
    assert_int_equal(check_up_to(f, RECENT_EVENTS + 1), ERR_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(recent_check__is_content_with_everything_that_the_app_does),
        T(recent_check__is_content_at_every_commit_of_a_whole_shop),
        T(recent_check__misses_every_row_that_is_not_there),
        T(recent_check__knows_a_snapshot_that_is_older_than_its_events),
        T(recent_check__looks_at_the_last_batch_and_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
