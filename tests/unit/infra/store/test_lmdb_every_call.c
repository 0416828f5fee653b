/* Calls of LMDB's that can fail, fail in turn, wherever the store uses one: opening, writing,
 * reading, walking, copying, building anew. Each time it must be told, nothing acknowledged may be
 * lost, and the next opening finds a store that is sound. */
#include "support/lmdb_scenes.h"
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

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
    pid_t process; /* where; 0: also in those that an opening makes, each of which counts anew */
} lmdb;

static bool falls_out(void)
{
    if (lmdb.countdown == 0 || (lmdb.process && lmdb.process != getpid()) || --lmdb.countdown > 0)
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
CALL(mdb_env_copyfd2, (MDB_env * env, mdb_filehandle_t fd, unsigned flags), (env, fd, flags))
CALL(mdb_reader_check, (MDB_env * env, int *dead), (env, dead))
CALL(mdb_dbi_flags, (MDB_txn * txn, MDB_dbi dbi, unsigned *flags), (txn, dbi, flags))
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
    lmdb.process = 0;
}

static void lmdb_fails_here_at(unsigned nth, int code)
{
    lmdb_fails_at(nth, code);
    lmdb.process = getpid();
}

static bool lmdb_is_well(void)
{
    lmdb.countdown = 0;
    return lmdb.has_failed;
}

/* ---- each call in turn ------------------------------------------------------------ */

static void fail_every_call(scene_cb scene, unsigned least)
{
    const struct scene_fault fault = { lmdb_fails_at, lmdb_is_well, .code = EIO };

    assert_true(lmdb_scene_fail_each(&fault, scene, STRIDE) >= least);
}

/* Whoever looks at the store first, in a process of its own, would meet each fault first. */
static void fail_every_call_of_an_opening(scene_cb scene, unsigned least)
{
    const struct scene_fault here = { lmdb_fails_here_at, lmdb_is_well, .code = EIO };

    fail_every_call(scene, least);
    assert_true(lmdb_scene_fail_each(&here, scene, STRIDE) >= least);
}

#define EVERY_CALL_OF(name, fail, scene, least)                                                    \
    static void every_call_of__##name(void **state)                                                \
    {                                                                                              \
        (void)state;                                                                               \
        fail(scene, least);                                                                        \
    }
EVERY_CALL_OF(an_opening, fail_every_call_of_an_opening, scene_close_and_open, 10)
EVERY_CALL_OF(an_opening_that_copies, fail_every_call_of_an_opening, scene_open_marked, 10)
EVERY_CALL_OF(a_first_opening, fail_every_call_of_an_opening, scene_open_new, 10)
EVERY_CALL_OF(an_opening_that_reads, fail_every_call, scene_open_reader, 10)
static void every_call_of__an_opening_of_a_restored_backup(void **state)
{
    const struct scene_fault here = { lmdb_fails_here_at, lmdb_is_well, .code = EIO,
                                      .with_backup = true };

    (void)state;
    assert_true(lmdb_scene_fail_each(&here, scene_open_restored, STRIDE) >= 10);
}
EVERY_CALL_OF(a_batch, fail_every_call, scene_write_events, 10)
EVERY_CALL_OF(rows_that_go, fail_every_call, scene_write_and_delete, 3)
EVERY_CALL_OF(a_read, fail_every_call, scene_read_rows, 3)
EVERY_CALL_OF(a_walk, fail_every_call, scene_walk, 10)
EVERY_CALL_OF(a_look, fail_every_call, scene_look, 10)
EVERY_CALL_OF(a_backup, fail_every_call, scene_backup, 10)
EVERY_CALL_OF(a_build, fail_every_call, scene_build, 10)
EVERY_CALL_OF(a_build_that_is_adopted, fail_every_call, scene_rebuild, 10)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of__an_opening),
        cmocka_unit_test(every_call_of__an_opening_that_copies),
        cmocka_unit_test(every_call_of__a_first_opening),
        cmocka_unit_test(every_call_of__an_opening_of_a_restored_backup),
        cmocka_unit_test(every_call_of__an_opening_that_reads),
        cmocka_unit_test(every_call_of__a_batch),
        cmocka_unit_test(every_call_of__rows_that_go),
        cmocka_unit_test(every_call_of__a_read),
        cmocka_unit_test(every_call_of__a_walk),
        cmocka_unit_test(every_call_of__a_look),
        cmocka_unit_test(every_call_of__a_backup),
        cmocka_unit_test(every_call_of__a_build),
        cmocka_unit_test(every_call_of__a_build_that_is_adopted),
    };

    temp_dirs_in_memory(); /* some hundreds of stores */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
