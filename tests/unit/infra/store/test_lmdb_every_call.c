/* Calls of LMDB's that can fail, fail in turn, wherever the store uses one: opening, writing,
 * reading, walking, copying, building anew. Each time it must be told, nothing acknowledged may be
 * lost, and the next opening finds a store that is sound. */
#include "../../../../src/infra/store/store_dir.h"
#include "orderly/base/bytes.h"
#include "orderly/base/list.h"
#include "orderly/infra/store/lmdb_backup.h"
#include "orderly/infra/store/lmdb_build.h"
#include "orderly/infra/store/lmdb_look.h"
#include "support/lmdb_store.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 12
#define CALLS_MAX 3000 /* far more than there are */
/* The sanitizers are slow at processes, of which each opening makes some; the build that counts
 * branches takes every call. */
#if defined(__SANITIZE_THREAD__)
#define STRIDE 16
#elif defined(__SANITIZE_ADDRESS__)
#define STRIDE 5
#else
#define STRIDE 1
#endif

/* ---- calls that fail: all of ours come by here ----------------------------------- */

static struct {
    unsigned countdown; /* 0: no fault; 1: the next call fails */
    int code;
    bool has_failed;
} lmdb;

static bool falls_out(void)
{
    if (lmdb.countdown == 0 || --lmdb.countdown > 0)
        return false;
    lmdb.has_failed = true;
    return true;
}

#define CALL(name, params, args)                                                                   \
    int name params                                                                                \
    {                                                                                              \
        static int(*next) params;                                                                  \
        if (falls_out())                                                                           \
            return lmdb.code;                                                                      \
        if (!next)                                                                                 \
            *(void **)(&next) = dlsym(RTLD_NEXT, #name);                                           \
        return next args;                                                                          \
    }

CALL(mdb_env_create, (MDB_env * *env), (env))
CALL(mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
     (env, path, flags, mode))
CALL(mdb_env_set_mapsize, (MDB_env * env, size_t size), (env, size))
CALL(mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi dbs), (env, dbs))
CALL(mdb_env_set_maxreaders, (MDB_env * env, unsigned readers), (env, readers))
CALL(mdb_env_sync, (MDB_env * env, int force), (env, force))
CALL(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **txn),
     (env, parent, flags, txn))
CALL(mdb_txn_renew, (MDB_txn * txn), (txn))
CALL(mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi),
     (txn, name, flags, dbi))
CALL(mdb_stat, (MDB_txn * txn, MDB_dbi dbi, MDB_stat *stat), (txn, dbi, stat))
CALL(mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *data), (txn, dbi, key, data))
CALL(mdb_put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags),
     (txn, dbi, key, data, flags))
CALL(mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *data), (txn, dbi, key, data))
CALL(mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor), (txn, dbi, cursor))
CALL(mdb_cursor_renew, (MDB_txn * txn, MDB_cursor *cursor), (txn, cursor))
CALL(mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op),
     (cursor, key, data, op))
CALL(mdb_cursor_put, (MDB_cursor * cursor, MDB_val *key, MDB_val *data, unsigned flags),
     (cursor, key, data, flags))
CALL(mdb_cursor_del, (MDB_cursor * cursor, unsigned flags), (cursor, flags))
#undef CALL

/* The transaction is gone whatever it says. */
int mdb_txn_commit(MDB_txn *txn)
{
    static int (*next)(MDB_txn * txn);

    if (falls_out()) {
        mdb_txn_abort(txn);
        return lmdb.code;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_txn_commit");
    return next(txn);
}

static void lmdb_fails_at(unsigned nth, int code)
{
    lmdb.countdown = nth;
    lmdb.code = code;
    lmdb.has_failed = false;
}

/* ---- what is done ---------------------------------------------------------------- */

struct scene {
    struct lmdb_store store;
    uint64_t acknowledged;
};

static struct str number(uint64_t n, char out[8])
{
    bytes_put_u64(out, n);
    return (struct str){ out, 8 };
}

static enum err close_and_open(struct scene *s)
{
    lmdb_store_close(&s->store);
    return lmdb_store_open(&s->store);
}

static enum err open_marked(struct scene *s)
{
    char path[600];
    int fd;

    lmdb_store_close(&s->store);
    (void)snprintf(path, sizeof(path), "%s/%s", s->store.dir.path, STORE_FILE_MARK);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    return lmdb_store_open(&s->store);
}

static enum err open_new(struct scene *s)
{
    struct lmdb_store fresh;
    enum err err;

    (void)s;
    lmdb_store_init(&fresh);
    err = lmdb_store_open(&fresh);
    lmdb_store_deinit(&fresh);
    return err;
}

static enum err open_reader(struct scene *s)
{
    struct lmdb_config config = s->store.config;
    struct lmdb_report report;
    struct engine *reader;
    enum err err;

    config.is_reader = true;
    err = lmdb_engine_open(&config, &reader, &report);
    if (err == ERR_OK)
        lmdb_engine_close(reader);
    else
        assert_true(strlen(report.why) > 0);
    return err;
}

static enum err write_events(struct scene *s)
{
    enum err err;

    s->acknowledged +=
        lmdb_store_write(&s->store, s->acknowledged + 1, s->acknowledged + 6, 3, &err);
    return err;
}

static enum err write_and_delete(struct scene *s)
{
    struct store_row rows[] = {
        { .db = DB_CARTS, .key = STR("cart"), .value = STR("c") },
        { .db = DB_CARTS, .key = STR("cart"), .is_delete = true },
        { .db = DB_DEADLINES, .key = STR("nobody"), .is_delete = true },
    };
    struct store_write w = { .rows = rows, .n_rows = ARRAY_LEN(rows) };
    struct list list;

    list_init(&list);
    list_push_back(&list, &w.link);
    return s->store.engine->ops->apply(s->store.engine, &list);
}

static enum err read_rows(struct scene *s)
{
    const struct engine_ops *ops = s->store.engine->ops;
    char key[8];
    enum err err, worst;
    struct str found, value;
    struct arena arena;
    void *view;

    worst = ops->view_begin(s->store.engine, &view);
    if (worst != ERR_OK)
        return worst;
    arena_init(&arena, NULL, 0);
    err = ops->get(s->store.engine, view, DB_EVENTS, number(3, key), &arena, &value);
    worst = err != ERR_OK ? err : worst;
    for (int how = STORE_GE; how <= STORE_LT; how++) {
        err = ops->seek(s->store.engine, view, DB_EVENTS, (enum store_seek)how, number(5, key),
                        &arena, &found, &value);
        worst = err != ERR_OK ? err : worst;
    }
    arena_deinit(&arena);
    ops->view_end(s->store.engine, view);
    return worst;
}

static enum err walk(struct scene *s)
{
    struct lmdb_walk w = { 0 };

    return lmdb_engine_walk(s->store.engine, &w);
}

static enum err look(struct scene *s)
{
    struct lmdb_look *l = lmdb_look_create(s->store.engine);
    struct lmdb_walk w = { 0 };
    struct lmdb_scan scan;
    struct lmdb_row row;
    char key[8];
    enum err err = lmdb_look_renew(l);

    lmdb_look_be_restless(l);
    if (err == ERR_OK)
        err = lmdb_look_get(l, DB_EVENTS, number(2, key), &row);
    if (err == ERR_OK) {
        lmdb_scan_begin(&scan, l, DB_EVENTS, number(2, key));
        while (lmdb_scan_has_key(&scan)) {
            err = lmdb_look_renew(l);
            if (err != ERR_OK)
                break;
            lmdb_scan_refresh(&scan);
            if (lmdb_scan_has_key(&scan))
                lmdb_scan_next(&scan);
        }
        if (err == ERR_OK && scan.status != ERR_NOT_FOUND)
            err = scan.status;
        lmdb_scan_end(&scan);
    }
    if (err == ERR_OK)
        err = lmdb_look_walk(l, &w);
    lmdb_look_destroy(l);
    return err;
}

static enum err backup(struct scene *s)
{
    struct lmdb_report report;
    struct lmdb_backup out;
    struct temp_dir dir;
    enum err err;

    temp_dir_init(&dir);
    err = lmdb_engine_backup(s->store.engine, dir.path, &out, &report);
    if (err == ERR_OK)
        assert_int_equal(out.last_position, s->acknowledged);
    else
        assert_true(strlen(report.why) > 0);
    temp_dir_deinit(&dir);
    return err;
}

/* All rows as they are, into a fresh store that takes the old one's place. */
static enum err build_rows(struct lmdb_build *b)
{
    enum err err = lmdb_look_renew(lmdb_build_from(b));

    for (int db = 0; db < STORE_DB_COUNT && err == ERR_OK; db++) {
        struct lmdb_scan scan;

        lmdb_scan_begin(&scan, lmdb_build_from(b), (enum store_db)db, STR(""));
        while (scan.status == ERR_OK && err == ERR_OK) {
            /* What LMDB's meta database says of the log itself is there already. */
            if (db != DB_META)
                err = lmdb_build_put_stored(b, (enum store_db)db, scan.row.key, scan.row.stored);
            lmdb_scan_next(&scan);
        }
        if (err == ERR_OK && scan.status != ERR_NOT_FOUND)
            err = scan.status;
        lmdb_scan_end(&scan);
    }
    return err == ERR_OK ? lmdb_build_commit(b) : err;
}

static enum err build(struct scene *s)
{
    struct lmdb_report report;
    struct lmdb_build *b;
    struct str value;
    char key[8];
    enum err err;

    lmdb_store_close(&s->store);
    err = lmdb_build_begin(s->store.dir.path, &b, &report);
    if (err != ERR_OK)
        return err;
    err = build_rows(b);
    if (err == ERR_OK)
        err = lmdb_build_get(b, DB_EVENTS, number(1, key), &value);
    if (err == ERR_OK)
        err = lmdb_look_renew(lmdb_build_to(b));
    lmdb_build_end(b); /* not adopted: the old one stays */
    return err;
}

/* ---- each call in turn ------------------------------------------------------------ */

/* False: there are not so many. */
static bool fail_nth_call(enum err (*scenario)(struct scene *s), unsigned nth, int code)
{
    struct scene s = { .acknowledged = 0 };
    bool has_failed;
    enum err err;

    lmdb_store_init(&s.store);
    lmdb_store_must_open(&s.store);
    s.acknowledged = lmdb_store_write(&s.store, 1, EVENTS, EVENTS, &err);
    assert_int_equal(err, ERR_OK);
    lmdb_fails_at(nth, code);
    err = scenario(&s);
    has_failed = lmdb.has_failed;
    lmdb_fails_at(0, 0);
    /* What reads must not take it for a row that is not there. */
    assert_int_not_equal(err, ERR_NOT_FOUND);
    if (!has_failed && err == ERR_OK) {
        lmdb_store_deinit(&s.store);
        return false;
    }
    if (close_and_open(&s) != ERR_OK)
        fail_msg("call %u, %s: %s", nth, mdb_strerror(code), s.store.report.why);
    for (uint64_t n = 1; n <= s.acknowledged; n++)
        lmdb_store_must_have(&s.store, n);
    lmdb_store_must_be_sound(&s.store);
    lmdb_store_deinit(&s.store);
    return true;
}

static void fail_every_call(enum err (*scenario)(struct scene *s), unsigned least)
{
    unsigned nth = 1;

    while (nth < CALLS_MAX && fail_nth_call(scenario, nth, EIO))
        nth += STRIDE;
    assert_in_range(nth, least + 1, CALLS_MAX - 1);
}

#define EVERY_CALL_OF(name, scenario, least)                                                       \
    static void every_call_of__##name(void **state)                                                \
    {                                                                                              \
        (void)state;                                                                               \
        fail_every_call(scenario, least);                                                          \
    }
EVERY_CALL_OF(an_opening, close_and_open, 10)
EVERY_CALL_OF(an_opening_that_copies, open_marked, 10)
EVERY_CALL_OF(a_first_opening, open_new, 10)
EVERY_CALL_OF(an_opening_that_reads, open_reader, 10)
EVERY_CALL_OF(a_batch, write_events, 10)
EVERY_CALL_OF(rows_that_go, write_and_delete, 3)
EVERY_CALL_OF(a_read, read_rows, 3)
EVERY_CALL_OF(a_walk, walk, 10)
EVERY_CALL_OF(a_look, look, 10)
EVERY_CALL_OF(a_backup, backup, 10)
EVERY_CALL_OF(a_build, build, 10)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of__an_opening),
        cmocka_unit_test(every_call_of__an_opening_that_copies),
        cmocka_unit_test(every_call_of__a_first_opening),
        cmocka_unit_test(every_call_of__an_opening_that_reads),
        cmocka_unit_test(every_call_of__a_batch),
        cmocka_unit_test(every_call_of__rows_that_go),
        cmocka_unit_test(every_call_of__a_read),
        cmocka_unit_test(every_call_of__a_walk),
        cmocka_unit_test(every_call_of__a_look),
        cmocka_unit_test(every_call_of__a_backup),
        cmocka_unit_test(every_call_of__a_build),
    };

    /* Some thousands of stores, of which nobody asks whether they would outlive the power. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
