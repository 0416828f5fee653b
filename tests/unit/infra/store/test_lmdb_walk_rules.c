/* What a walk finds, said once for each rule; the list of free pages; and a look that goes on over
 * moments. The clock of this program goes as a test wants. */
#include "../../../../src/infra/store/lmdb_check.h"
#include "../../../../src/infra/store/lmdb_schema.h"
#include "orderly/base/bytes.h"
#include "orderly/infra/store/lmdb_look.h"
#include "support/lmdb_store.h"
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 12
#define TIP_LEN 25 /* has events(1) position(8) sum(16) */
#define FREE_DBI 0

/* ---- calls that answer as a test wants --------------------------------------------------------- */

static struct {
    time_t leap_s; /* what each look at the clock takes */
    time_t leapt_s;
    MDB_val *free_list; /* the one row of LMDB's own list of free pages; NULL: as it is */
    unsigned n_free_asked;
    bool hides_keys;      /* no key is found by itself */
    bool shows_elsewhere; /* each is found, but not where it lies */
    bool stat_fails;
} fake;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, out);

    fake.leapt_s += fake.leap_s;
    out->tv_sec += fake.leapt_s;
    return rc;
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op)
{
    static int (*next)(MDB_cursor * cursor, MDB_val * key, MDB_val * data, MDB_cursor_op op);
    static char elsewhere[STORE_KEY_MAX];
    int rc;

    if (fake.free_list && mdb_cursor_dbi(cursor) == FREE_DBI) {
        *data = *fake.free_list;
        return fake.n_free_asked++ == 0 ? 0 : MDB_NOTFOUND;
    }
    if (fake.hides_keys && op == MDB_SET_KEY)
        return MDB_NOTFOUND;
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_cursor_get");
    rc = next(cursor, key, data, op);
    if (rc == 0 && fake.shows_elsewhere && op == MDB_SET_KEY)
        key->mv_data = elsewhere;
    return rc;
}

int mdb_stat(MDB_txn *txn, MDB_dbi dbi, MDB_stat *stat)
{
    static int (*next)(MDB_txn * txn, MDB_dbi dbi, MDB_stat * stat);

    if (fake.stat_fails)
        return EIO;
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_stat");
    return next(txn, dbi, stat);
}

/* ---- the store --------------------------------------------------------------------------------- */

static struct lmdb_store s;

static int store_begins(void **state)
{
    enum err err;

    (void)state;
    memset(&fake, 0, sizeof(fake));
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    (void)lmdb_store_write(&s, 1, EVENTS, EVENTS, &err);
    lmdb_store_close(&s);
    return err == ERR_OK ? 0 : -1;
}

static int store_ends(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    lmdb_store_deinit(&s);
    return 0;
}

static struct str position_key(uint64_t n)
{
    static char key[8];

    bytes_put_u64(key, n);
    return (struct str){ key, sizeof(key) };
}

/* As it lies there, whether a server would take it or not. */
static void open_env(struct lmdb_env *db)
{
    MDB_txn *txn;

    assert_int_equal(lmdb_env_open(db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 64u << 20), 0);
    assert_int_equal(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(lmdb_env_open_all(db, txn, false), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static enum err walk(struct lmdb_walk *w)
{
    struct lmdb_env db;
    enum err err;

    open_env(&db);
    err = lmdb_walk_env(&db, w);
    lmdb_env_close(&db);
    return err;
}

static void assert_damage(const char *first, unsigned n)
{
    struct lmdb_walk w = { 0 };

    assert_int_equal(walk(&w), ERR_DAMAGED);
    assert_string_equal(w.first_damage, first);
    assert_int_equal(w.n_damaged, n);
}

/* ---- events ------------------------------------------------------------------------------------ */

static void event__that_is_shorter_than_its_sum_is_damage(void **state)
{
    (void)state;
    lmdb_store_put_raw(&s, DB_EVENTS, position_key(5), STR("cut"));
    /* The next one is chained to the sum that is not there. */
    assert_damage("EVENTS: the sum of position 5 is wrong", 2);
}

static void event__that_is_missing_is_damage(void **state)
{
    (void)state;
    lmdb_store_delete_raw(&s, DB_EVENTS, position_key(5));
    assert_damage("EVENTS: position 6 follows 4", 1);
}

static void key__of_no_position_is_damage(void **state)
{
    static const char key[9] = { 0, 0, 0, 0, 0, 0, 0, 5, 0 };
    static const char long_key[STORE_KEY_MAX + 1] = "k";

    (void)state;
    lmdb_store_put_raw(&s, DB_EVENTS, (struct str){ key, sizeof(key) }, STR("x"));
    assert_damage("EVENTS: its key is no position", 1);
    lmdb_store_delete_raw(&s, DB_EVENTS, (struct str){ key, sizeof(key) });
    lmdb_store_put_raw(&s, DB_CARTS, (struct str){ long_key, sizeof(long_key) }, STR("x"));
    assert_damage("CARTS: a key of 129 bytes", 2); /* and it has no sum */
}

static void tip__that_is_another_ones_is_damage(void **state)
{
    char row[TIP_LEN] = { 0 };
    const struct str tip = { row, sizeof(row) };

    (void)state;
    lmdb_store_put_sealed(&s, DB_META, STR("store:tip"), tip);
    assert_damage("EVENTS: the log ends at position 12 and should end at 0", 1);
    row[0] = 1;
    bytes_put_u64(row + 1, 11);
    lmdb_store_put_sealed(&s, DB_META, STR("store:tip"), tip);
    assert_damage("EVENTS: the log ends at position 12 and should end at 11", 1);
    bytes_put_u64(row + 1, 12);
    lmdb_store_put_sealed(&s, DB_META, STR("store:tip"), tip);
    assert_damage("EVENTS: the end of the chain is not that of position 12", 1);
    lmdb_store_delete_raw(&s, DB_META, STR("store:tip"));
    assert_damage("after 12 rows: MDB_CORRUPTED: Located page was wrong type", 1);
}

/* ---- databases --------------------------------------------------------------------------------- */

static void database__in_another_order_is_damage(void **state)
{
    (void)state;
    lmdb_store_drop(&s, DB_CARTS, MDB_REVERSEKEY);
    assert_damage("CARTS: its keys are in another order than ours", 1);
}

static void key__that_is_not_found_by_itself_is_damage(void **state)
{
    struct lmdb_walk w = { 0 };

    (void)state;
    fake.hides_keys = true;
    assert_int_equal(walk(&w), ERR_DAMAGED);
    assert_string_equal(w.first_damage, "EVENTS: it is not found by its key");
    fake.hides_keys = false;
    fake.shows_elsewhere = true;
    assert_int_equal(walk(&w), ERR_DAMAGED);
    assert_string_equal(w.first_damage, "EVENTS: it is not found by its key");
    fake.shows_elsewhere = false;
    assert_int_equal(walk(&w), ERR_OK);
}

/* ---- a walk that is ended, or long ------------------------------------------------------------- */

static bool until(void *ctx, enum store_db db, struct str key, struct str value)
{
    const enum store_db *last = ctx;

    (void)key;
    (void)value;
    return db != *last;
}

static void walk__ends_where_nobody_wants_more(void **state)
{
    enum store_db last = DB_EVENTS;
    struct lmdb_walk w = { .on_row = until, .ctx = &last };

    (void)state;
    assert_int_equal(walk(&w), ERR_CANCELED);
    assert_int_equal(w.rows, 1);
    last = DB_ORDERS;
    assert_int_equal(walk(&w), ERR_CANCELED);
    assert_int_equal(w.rows_of[DB_EVENTS], EVENTS);
    assert_int_equal(w.rows_of[DB_ORDERS], 1);
}

static void walk__goes_on_in_a_new_moment_each_second(void **state)
{
    struct lmdb_walk w = { 0 };
    enum err err;

    (void)state;
    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_write(&s, EVENTS + 1, 3000, 500, &err), 3000 - EVENTS);
    lmdb_store_close(&s);
    fake.leap_s = 10; /* the first look at the clock is at 1,024 rows */
    assert_int_equal(walk(&w), ERR_OK);
    assert_int_equal(w.rows_of[DB_EVENTS], 3000);
    assert_int_equal(w.rows_of[DB_BY_LANE], 3000);
    assert_int_equal(w.last_position, 3000);
}

/* ---- the list of free pages -------------------------------------------------------------------- */

/* Numbers with their count before them, as LMDB keeps them. */
static bool is_sound(const uint64_t *list, size_t n_bytes)
{
    MDB_val row = { .mv_size = n_bytes, .mv_data = (void *)list };
    struct lmdb_env db;
    bool sound = false;

    open_env(&db);
    fake.free_list = &row;
    fake.n_free_asked = 0;
    assert_int_equal(lmdb_walk_free(&db, &sound), 0);
    fake.free_list = NULL;
    lmdb_env_close(&db);
    return sound;
}

static void free_pages__are_told_from_those_in_use(void **state)
{
    struct lmdb_env db;
    MDB_envinfo info;
    MDB_txn *txn;
    uint64_t roots[2];
    uint64_t id, some, last;

    (void)state;
    open_env(&db);
    assert_int_equal(mdb_txn_begin(db.env, NULL, MDB_RDONLY, &txn), 0);
    id = mdb_txn_id(txn);
    mdb_txn_abort(txn);
    assert_true(lmdb_meta_roots(db.env, id, roots));
    assert_int_equal(mdb_env_info(db.env, &info), 0);
    lmdb_env_close(&db);
    last = info.me_last_pgno;
    some = 2; /* which a new store has written over by now */
    assert_true(is_sound((uint64_t[]){ 0 }, 8));
    assert_true(is_sound((uint64_t[]){ 1, some }, 16));
    assert_true(is_sound((uint64_t[]){ 1, some, 99 }, 24)); /* what is behind them is room */
    assert_false(is_sound((uint64_t[]){ 1, some }, 7));
    assert_false(is_sound((uint64_t[]){ 2, some }, 16)); /* not so many */
    assert_false(is_sound((uint64_t[]){ 1, 1 }, 16));    /* a meta page */
    assert_false(is_sound((uint64_t[]){ 1, last + 1 }, 16));
    assert_false(is_sound((uint64_t[]){ 2, some, some }, 24)); /* twice, or not falling */
    assert_false(is_sound((uint64_t[]){ 1, roots[0] }, 16));
    assert_false(is_sound((uint64_t[]){ 1, roots[1] }, 16));
}

static void free_pages__are_looked_at_without_a_database_of_a_later_version(void **state)
{
    struct lmdb_env db;
    bool sound = false;

    (void)state;
    lmdb_store_drop(&s, DB_REFUNDS_DUE, 0);
    assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 64u << 20), 0);
    assert_int_equal(lmdb_walk_free(&db, &sound), 0);
    assert_true(sound);
    lmdb_env_close(&db);
}

/* ---- a look ------------------------------------------------------------------------------------ */

static void look__is_old_after_a_second(void **state)
{
    struct lmdb_look *l;
    unsigned n = 0;

    (void)state;
    lmdb_store_must_open(&s);
    l = lmdb_look_create(s.engine);
    assert_int_equal(lmdb_look_renew(l), ERR_OK);
    assert_false(lmdb_look_is_old(l));
    fake.leapt_s += 2;
    while (!lmdb_look_is_old(l)) /* it does not look at the clock each time */
        assert_true(++n < 1000);
    assert_int_equal(lmdb_look_renew(l), ERR_OK);
    assert_false(lmdb_look_is_old(l));
    lmdb_look_destroy(l);
}

static void look__finds_nothing_under_an_empty_key_and_counts_nothing_it_can_not(void **state)
{
    struct lmdb_look *l;
    struct lmdb_row row;

    (void)state;
    lmdb_store_must_open(&s);
    l = lmdb_look_create(s.engine);
    assert_int_equal(lmdb_look_renew(l), ERR_OK);
    assert_int_equal(lmdb_look_get(l, DB_EVENTS, STR(""), &row), ERR_NOT_FOUND);
    assert_int_equal(lmdb_look_get(l, DB_EVENTS, position_key(3), &row), ERR_OK);
    assert_int_equal(lmdb_look_count(l, DB_EVENTS), EVENTS);
    fake.stat_fails = true;
    assert_int_equal(lmdb_look_count(l, DB_EVENTS), 0);
    lmdb_look_destroy(l);
}

/* At the end, whose row goes while another comes behind it. */
static void scan__at_the_end_goes_on_with_what_came_there(void **state)
{
    struct store_row gone = { .db = DB_CARTS, .is_delete = true, .key = STR("b") };
    struct store_write w = { .rows = &gone, .n_rows = 1 };
    struct lmdb_scan scan;
    struct lmdb_look *l;
    struct list list;

    (void)state;
    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("a"), STR("1")), ERR_OK);
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("b"), STR("2")), ERR_OK);
    l = lmdb_look_create(s.engine);
    assert_int_equal(lmdb_look_renew(l), ERR_OK);
    lmdb_scan_begin(&scan, l, DB_CARTS, STR("b"));
    assert_int_equal(scan.status, ERR_OK);
    lmdb_scan_next(&scan);
    assert_int_equal(scan.status, ERR_NOT_FOUND);

    list_init(&list);
    list_push_back(&list, &w.link);
    assert_int_equal(s.engine->ops->apply(s.engine, &list), ERR_OK);
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("c"), STR("3")), ERR_OK);
    assert_int_equal(lmdb_look_renew(l), ERR_OK);
    lmdb_scan_refresh(&scan);
    assert_int_equal(scan.status, ERR_OK);
    assert_true(str_eq(scan.row.key, STR("c")));

    scan.status = ERR_IO; /* it is nowhere, and stays there */
    lmdb_scan_refresh(&scan);
    assert_int_equal(scan.status, ERR_IO);
    lmdb_scan_end(&scan);
    lmdb_look_destroy(l);
}

int main(void)
{
#define STORE(test) cmocka_unit_test_setup_teardown(test, store_begins, store_ends)
    const struct CMUnitTest tests[] = {
        STORE(event__that_is_shorter_than_its_sum_is_damage),
        STORE(event__that_is_missing_is_damage),
        STORE(key__of_no_position_is_damage),
        STORE(tip__that_is_another_ones_is_damage),
        STORE(database__in_another_order_is_damage),
        STORE(key__that_is_not_found_by_itself_is_damage),
        STORE(walk__ends_where_nobody_wants_more),
        STORE(walk__goes_on_in_a_new_moment_each_second),
        STORE(free_pages__are_told_from_those_in_use),
        STORE(free_pages__are_looked_at_without_a_database_of_a_later_version),
        STORE(look__is_old_after_a_second),
        STORE(look__finds_nothing_under_an_empty_key_and_counts_nothing_it_can_not),
        STORE(scan__at_the_end_goes_on_with_what_came_there),
    };

    temp_dirs_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
