/* What the app writes is always what its events say; and whatever else is written is found. */
#include "orderly/app/bus.h"
#include "orderly/app/order_counts.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "verify_rig.h"

#define STORIES 20
#define STEPS 120

/* ---- nothing to find ------------------------------------------------------------------------- */

static void history_of_every_path__is_what_its_events_say(void **state)
{
    struct lmdb_store s;
    struct verify_run d = { .err = ERR_OK };

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    verify_run_on(&d, s.engine);
    assert_string_equal(d.lines.p, "");
    assert_int_equal(d.err, ERR_OK);
    /* The history has something of everything. */
    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        if (d.v.rows_of[db] == 0)
            fail_msg("%s is empty", store_db_name((enum store_db)db));
    assert_true(d.v.orders >= 15);
    assert_true(d.v.payments >= 10);
    assert_int_equal(d.v.products, 2);
    assert_int_equal(d.v.skus, 2);
    assert_int_equal(d.v.letters, d.v.rows_of[DB_DEAD_LETTERS]);
    assert_true(d.v.lanes >= 2);
    verify_run_deinit(&d);
    lmdb_store_deinit(&s);
}

static void empty_store__is_sound(void **state)
{
    struct lmdb_store s;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

static void random_histories__are_what_their_events_say(void **state)
{
    struct chance seeds = chance_init("verify");

    (void)state;
    for (unsigned i = 0; i < STORIES; i++) {
        struct app_config config = app_fixture_config();
        struct chance c = { seeds.state + i };
        struct app_fixture f;
        struct lmdb_store s;

        app_fixture_init(&f, &config);
        for (unsigned n = 0; n < STEPS; n++)
            history_step(&f, &c, n);
        lmdb_store_init(&s);
        history_to_disk(f.engine, &s);
        lmdb_store_must_open(&s);
        assert_all_is_well(s.engine);
        lmdb_store_deinit(&s);
        app_fixture_deinit(&f);
    }
}

/* A server that goes on while it is looked at: it writes before every new moment, and every moment
 * is left at once. */
struct live {
    struct app_fixture f;
    struct chance c;
    unsigned n_steps;
};

static bool live_goes_on(void *ctx)
{
    struct live *l = ctx;

    if (l->n_steps < 400)
        history_step(&l->f, &l->c, 1000 + l->n_steps++);
    return false;
}

static void print_fault(void *ctx, const char *line)
{
    (void)ctx;
    print_message("%s\n", line);
}

static void live_store__gives_no_false_alarm(void **state)
{
    struct app_config config = app_fixture_config();
    struct live *l = mem_zalloc(sizeof(*l));
    struct verify v = { .on_fault = print_fault, .is_stopped = live_goes_on, .ctx = l };
    struct lmdb_store s;
    struct lmdb_look *look;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    l->c = chance_init("live");
    app_fixture_init_on(&l->f, &config, s.engine);
    for (unsigned n = 0; n < 60; n++)
        history_step(&l->f, &l->c, n);
    look = lmdb_look_create(s.engine);
    lmdb_look_be_restless(look);
    assert_int_equal(verify_store(look, &v), ERR_OK);
    assert_int_equal(l->n_steps, 400);
    lmdb_look_destroy(look);
    assert_all_is_well(s.engine);
    app_fixture_deinit(&l->f);
    lmdb_store_deinit(&s);
    mem_free(l);
}

/* ---- faults that are planted ----------------------------------------------------------------- */

struct row {
    char key[STORE_KEY_MAX];
    size_t key_len;
    char value[4096];
    size_t value_len;
};

static struct str row_key(const struct row *r)
{
    return (struct str){ r->key, r->key_len };
}

static struct str row_value(const struct row *r)
{
    return (struct str){ r->value, r->value_len };
}

static void write_row(struct lmdb_store *s, enum store_db db, struct str key, struct str value,
                      bool is_delete)
{
    struct store_row row = { .db = db, .key = key, .value = value, .is_delete = is_delete };
    struct store_write w = { .rows = &row, .n_rows = 1 };
    struct list list;

    list_init(&list);
    list_push_back(&list, &w.link);
    assert_int_equal(s->engine->ops->apply(s->engine, &list), ERR_OK);
}

/* The n-th row of a database, from the front; the last one where there are fewer. */
static void find_row(struct lmdb_store *s, enum store_db db, unsigned n, struct row *out)
{
    struct str key = STR_NONE;
    struct str value = STR_NONE;
    struct str found;
    void *txn;

    assert_int_equal(s->engine->ops->view_begin(s->engine, &txn), ERR_OK);
    for (unsigned i = 0; i <= n; i++) {
        if (s->engine->ops->seek(s->engine, txn, db, i ? STORE_GT : STORE_GE, key, &s->arena,
                                 &found, &value) != ERR_OK)
            break;
        key = found;
    }
    s->engine->ops->view_end(s->engine, txn);
    assert_true(key.n > 0);
    assert_true(value.n <= sizeof(out->value));
    out->key_len = key.n;
    memcpy(out->key, key.p, key.n);
    out->value_len = value.n;
    if (value.n)
        memcpy(out->value, value.p, value.n);
    arena_reset(&s->arena);
}

static bool has_line(const char *lines, const char *begin)
{
    for (const char *at = lines; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (strncmp(at, begin, strlen(begin)) == 0)
            return true;
    return false;
}

/* The fault is found, in a line that begins so. */
static void assert_names(struct lmdb_store *s, const char *what, enum store_db db,
                         const char *begin)
{
    struct verify_run d = { .err = ERR_OK };

    verify_run_on(&d, s->engine);
    if (d.err != ERR_DAMAGED || !has_line(d.lines.p, begin))
        fail_msg("%s a row of %s: '%s' is not said:\n%s", what, store_db_name(db), begin,
                 d.lines.p);
    verify_run_deinit(&d);
}

#define ROWS_TRIED 4

/* Databases whose rows follow from others: what is missing is named. */
static const struct {
    enum store_db db;
    const char *names; /* another database names it; NULL: its own does */
} deletions[] = {
    { DB_BY_LANE, NULL },
    { DB_BY_TYPE, NULL },
    { DB_ORDERS, NULL },
    { DB_PARTS, NULL },
    { DB_OWNERS, NULL },
    { DB_CARTS, NULL },
    { DB_PRODUCTS, NULL },
    { DB_STOCK, NULL },
    { DB_ORDERS_BY_STATUS, NULL },
    { DB_ORDERS_BY_CUSTOMER, NULL },
    { DB_UNSETTLED, NULL },
    { DB_REFUNDS_DUE, NULL },
    { DB_DEADLINES, NULL },
    { DB_IDEMPOTENCY, "IDEMPOTENCY_EXPIRY" },
    { DB_IDEMPOTENCY_EXPIRY, NULL },
    { DB_DEAD_LETTERS, NULL },
    { DB_DEAD_LETTERS_BY_LANE, NULL },
};

static void missing_row__is_named(void **state)
{
    struct lmdb_store s;

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    for (unsigned i = 0; i < ARRAY_LEN(deletions); i++)
        for (unsigned n = 0; n < ROWS_TRIED; n++) {
            enum store_db db = deletions[i].db;
            struct row row;

            find_row(&s, db, n * 3, &row);
            write_row(&s, db, row_key(&row), STR_NONE, true);
            assert_names(&s, "without", db,
                         deletions[i].names ? deletions[i].names : store_db_name(db));
            write_row(&s, db, row_key(&row), row_value(&row), false);
        }
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

/* One bit of the value is another, and the sum is right. */
static void changed_row__is_named(void **state)
{
    static const enum store_db dbs[] = { DB_ORDERS, DB_PARTS,  DB_CARTS,       DB_PRODUCTS,
                                         DB_STOCK,  DB_OWNERS, DB_DEAD_LETTERS };
    struct lmdb_store s;

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    for (unsigned i = 0; i < ARRAY_LEN(dbs); i++)
        for (unsigned n = 0; n < ROWS_TRIED; n++) {
            struct row row;

            find_row(&s, dbs[i], n * 3, &row);
            for (size_t at = 0; at < row.value_len; at += 1 + row.value_len / 6) {
                /* When a letter failed, and whether it had parked, is said by no event. */
                if (dbs[i] == DB_DEAD_LETTERS && at >= 49 && at < 66)
                    continue;
                row.value[at] ^= 4;
                write_row(&s, dbs[i], row_key(&row), row_value(&row), false);
                assert_names(&s, "a change of", dbs[i], store_db_name(dbs[i]));
                row.value[at] ^= 4;
            }
            write_row(&s, dbs[i], row_key(&row), row_value(&row), false);
        }
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

/* A row that nothing stands behind: that of another with one bit of its key changed. */
static void row_too_many__is_named(void **state)
{
    struct lmdb_store s;

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        if (db == DB_EVENTS || db == DB_META)
            continue;
        for (unsigned n = 0; n < ROWS_TRIED; n++) {
            struct row row;
            size_t at;

            find_row(&s, (enum store_db)db, n * 3, &row);
            at = (n * 7) % row.key_len;
            row.key[at] ^= db == DB_CURSORS ? 0x40 : 1;
            write_row(&s, (enum store_db)db, row_key(&row), row_value(&row), false);
            assert_names(&s, "one more of", (enum store_db)db, store_db_name((enum store_db)db));
            write_row(&s, (enum store_db)db, row_key(&row), STR_NONE, true);
        }
    }
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

static void wrong_counts_and_cursors__are_named(void **state)
{
    struct lmdb_store s;
    char letters[sizeof(BUS_META_LETTERS)] = BUS_META_LETTERS;
    const struct str rows[] = { STR(ORDER_COUNTS_META), { letters, sizeof(letters) } };
    const char *names[] = { "META order_counts: ", "META letters orders: " };
    char cursor = SUBSCRIPTION_ORDERS;
    char far[8];
    struct str before;
    struct str value;
    char bytes[4096];

    (void)state;
    letters[sizeof(letters) - 1] = SUBSCRIPTION_ORDERS;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(lmdb_store_get(&s, DB_META, rows[i], &value), ERR_OK);
        for (size_t at = 7; at < value.n; at += 8) {
            memcpy(bytes, value.p, value.n);
            bytes[at] ^= 1;
            write_row(&s, DB_META, rows[i], (struct str){ bytes, value.n }, false);
            if (at > 7) /* counts as of another position are as good if nothing happened since */
                assert_names(&s, "a change of", DB_META, names[i]);
        }
        write_row(&s, DB_META, rows[i], STR_NONE, true);
        if (i == 1)
            assert_names(&s, "without", DB_META, names[i]);
        write_row(&s, DB_META, rows[i], value, false);
    }
    assert_int_equal(lmdb_store_get(&s, DB_CURSORS, (struct str){ &cursor, 1 }, &before), ERR_OK);
    bytes_put_u64(far, 100000);
    write_row(&s, DB_CURSORS, (struct str){ &cursor, 1 }, (struct str){ far, 8 }, false);
    assert_names(&s, "beyond", DB_CURSORS, "CURSORS orders: is at 100000");
    write_row(&s, DB_CURSORS, (struct str){ &cursor, 1 }, before, false);
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

/* A parked lane and its dead letter hold each other. */
static void lane_that_is_gone__is_named(void **state)
{
    struct lmdb_store s;
    struct row row;
    unsigned n_parked = 0;

    (void)state;
    store_of_all(&s);
    lmdb_store_must_open(&s);
    for (unsigned n = 0; n < 2; n++) {
        find_row(&s, DB_LANES, n, &row);
        if (!(row.value[13] & 1)) /* waits for a retry: nothing else knows of it */
            continue;
        n_parked++;
        write_row(&s, DB_LANES, row_key(&row), STR_NONE, true);
        assert_names(&s, "without", DB_LANES, "DEAD_LETTERS ");
        write_row(&s, DB_LANES, row_key(&row), row_value(&row), false);
    }
    assert_true(n_parked > 0);
    assert_all_is_well(s.engine);
    lmdb_store_deinit(&s);
}

/* A damaged event is named, and so is nothing that would follow from it. */
static void damaged_event__is_named_alone(void **state)
{
    struct lmdb_store s;
    char key[8];
    long offset;
    size_t len;

    (void)state;
    store_of_all(&s);
    for (uint64_t position = 5; position < 100; position += 13) {
        struct verify_run d = { .err = ERR_OK };
        char begin[64];

        bytes_put_u64(key, position);
        assert_true(lmdb_store_find(&s, DB_EVENTS, (struct str){ key, 8 }, &offset, &len));
        lmdb_store_flip(&s, offset + 20);
        lmdb_store_must_open(&s);
        verify_run_on(&d, s.engine);
        assert_int_equal(d.err, ERR_DAMAGED);
        (void)snprintf(begin, sizeof(begin), "EVENTS %llu: the sum", (unsigned long long)position);
        assert_true(has_line(d.lines.p, begin));
        if (strstr(d.lines.p, "STOCK") || strstr(d.lines.p, "ORDERS"))
            fail_msg("%s", d.lines.p);
        assert_true(d.v.is_cut_short);
        assert_true(d.v.n_faults_unmade > 0);
        verify_run_deinit(&d);
        lmdb_store_close(&s);
        lmdb_store_flip(&s, offset + 20);
    }
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_of_every_path__is_what_its_events_say),
        cmocka_unit_test(empty_store__is_sound),
        cmocka_unit_test(random_histories__are_what_their_events_say),
        cmocka_unit_test(live_store__gives_no_false_alarm),
        cmocka_unit_test(missing_row__is_named),
        cmocka_unit_test(changed_row__is_named),
        cmocka_unit_test(row_too_many__is_named),
        cmocka_unit_test(wrong_counts_and_cursors__are_named),
        cmocka_unit_test(lane_that_is_gone__is_named),
        cmocka_unit_test(damaged_event__is_named_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
