/* What an engine that is open answers where LMDB does not do what it was asked: reads that find the
 * pages broken, no place among the readers, writes that fail in ways of their own. */
#include "../../../../src/infra/store/lmdb_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/list.h"
#include "orderly/infra/store/in_child.h"
#include "support/lmdb_store.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 12
#define PAGE 4096

/* ---- calls that answer as a test wants --------------------------------------------------------- */

static struct {
    int look_code; /* of the next transactions that read, so many */
    unsigned looks_fail;
    int reader_check_code;
    int n_dead;      /* that the next reader check finds */
    MDB_val *record; /* of any database; NULL: as it is */
    bool has_no_record;
    int put_code; /* once */
    int commit_code;
    bool file_looks_empty, ftruncate_fails;
    unsigned n_ftruncates;
} fake;

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    static int (*next)(MDB_env * env, MDB_txn * parent, unsigned flags, MDB_txn **txn);

    if (flags & MDB_RDONLY && fake.looks_fail > 0) {
        fake.looks_fail--;
        return fake.look_code;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_txn_begin");
    return next(env, parent, flags, txn);
}

int mdb_txn_commit(MDB_txn *txn)
{
    static int (*next)(MDB_txn * txn);
    int code = fake.commit_code;

    if (code != 0) {
        fake.commit_code = 0;
        mdb_txn_abort(txn); /* it is gone whatever it says */
        return code;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_txn_commit");
    return next(txn);
}

int mdb_reader_check(MDB_env *env, int *n_dead)
{
    (void)env;
    if (fake.reader_check_code != 0)
        return fake.reader_check_code;
    if (n_dead)
        *n_dead = fake.n_dead;
    fake.n_dead = 0;
    return 0;
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op)
{
    static int (*next)(MDB_cursor * cursor, MDB_val * key, MDB_val * data, MDB_cursor_op op);

    if (op == MDB_SET_KEY && fake.has_no_record)
        return MDB_NOTFOUND;
    if (op == MDB_SET_KEY && fake.record) {
        *data = *fake.record;
        return 0;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_cursor_get");
    return next(cursor, key, data, op);
}

int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags)
{
    static int (*next)(MDB_cursor * cursor, MDB_val * key, MDB_val * data, unsigned flags);
    int code = fake.put_code;

    fake.put_code = 0;
    if (code != 0)
        return code;
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_cursor_put");
    return next(cursor, key, data, flags);
}

int fstat(int fd, struct stat *out)
{
    int rc = fstatat(fd, "", out, AT_EMPTY_PATH);

    if (fake.file_looks_empty)
        out->st_size = 0;
    return rc;
}

int ftruncate(int fd, off_t size)
{
    fake.n_ftruncates++;
    if (fake.ftruncate_fails) {
        errno = EFBIG;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, size);
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
    return err == ERR_OK ? 0 : -1;
}

static int store_ends(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    lmdb_store_deinit(&s);
    return 0;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static struct str order_key(uint64_t n, char out[16])
{
    memset(out, 'i', 8);
    bytes_put_u64(out + 8, n);
    return (struct str){ out, 16 };
}

/* ---- places among the readers ------------------------------------------------------------------ */

/* The ninth, since the first eight have their places from the opening on. */
static enum err one_view_too_many(void)
{
    const struct engine_ops *ops = s.engine->ops;
    void *views[LMDB_VIEWS_KEPT_MAX + 1];
    unsigned n = 0;
    enum err err;

    do
        err = ops->view_begin(s.engine, &views[n]);
    while (err == ERR_OK && ++n < ARRAY_LEN(views));
    assert_true(n >= LMDB_VIEWS_KEPT_MAX);
    while (n > 0)
        ops->view_end(s.engine, views[--n]);
    return err;
}

static void view__gets_the_place_of_a_dead_reader_or_none(void **state)
{
    (void)state;
    fake.look_code = MDB_READERS_FULL;
    fake.looks_fail = 1;
    assert_int_equal(one_view_too_many(), ERR_BUSY);
    fake.looks_fail = 1;
    fake.n_dead = 1;
    assert_int_equal(one_view_too_many(), ERR_OK);
    fake.looks_fail = 2; /* somebody else was quicker */
    fake.n_dead = 1;
    assert_int_equal(one_view_too_many(), ERR_BUSY);
    fake.looks_fail = 1;
    fake.reader_check_code = EIO;
    assert_int_equal(one_view_too_many(), ERR_BUSY);
    assert_int_equal(one_view_too_many(), ERR_OK);
}

/* ---- reads of what is broken ------------------------------------------------------------------- */

static void on_broken(void *ctx, const char *why)
{
    (void)ctx;
    in_child_leave(ERR_CANCELED, why);
}

/* The store ends who meets it: in a process of its own, opened anew. */
static void assert_broken(in_child_cb run, const char *why)
{
    char text[LMDB_TEXT_MAX];

    lmdb_store_close(&s);
    s.config.on_broken = on_broken;
    assert_int_equal(in_child_run(run, NULL, text, sizeof(text)), ERR_CANCELED);
    assert_says(text, why);
}

static enum err begin_a_broken_look(void *ctx, char *text, size_t n)
{
    (void)ctx;
    (void)text;
    (void)n;
    lmdb_store_must_open(&s);
    fake.look_code = MDB_CORRUPTED;
    fake.looks_fail = 1;
    return one_view_too_many();
}

static enum err read_without_a_record(void *ctx, char *text, size_t n)
{
    char key[16];

    (void)ctx;
    (void)text;
    (void)n;
    lmdb_store_must_open(&s);
    fake.has_no_record = true;
    return lmdb_store_get(&s, DB_ORDERS, order_key(1, key), NULL);
}

/* In a page that is none of the file's. */
static MDB_val record_elsewhere(void)
{
    static _Alignas(PAGE) char page[PAGE];

    return (MDB_val){ .mv_size = 48, .mv_data = page + 100 };
}

static enum err read_by_a_record_elsewhere(void *ctx, char *text, size_t n)
{
    MDB_val record = record_elsewhere();
    char key[16];

    (void)ctx;
    (void)text;
    (void)n;
    lmdb_store_must_open(&s);
    fake.record = &record;
    return lmdb_store_get(&s, DB_ORDERS, order_key(1, key), NULL);
}

static enum err read_on_by_a_record_elsewhere(void *ctx, char *text, size_t n)
{
    const struct engine_ops *ops;
    MDB_val record = record_elsewhere();
    struct str value;
    char key[16];
    void *txn;
    enum err err;

    (void)ctx;
    (void)text;
    (void)n;
    lmdb_store_must_open(&s);
    ops = s.engine->ops;
    err = ops->view_begin(s.engine, &txn);
    if (err == ERR_OK)
        err = ops->get(s.engine, txn, DB_ORDERS, order_key(1, key), &s.arena, &value);
    if (err != ERR_OK)
        return err;
    fake.record = &record;
    return ops->get(s.engine, txn, DB_CARTS, STR("cart"), &s.arena, &value);
}

static enum err read_the_big_cart(void *ctx, char *text, size_t n)
{
    struct str value;

    (void)ctx;
    (void)text;
    (void)n;
    lmdb_store_must_open(&s);
    return lmdb_store_get(&s, DB_CARTS, STR("big"), &value);
}

static void read__of_broken_pages_ends_the_server(void **state)
{
    static char big[3 * PAGE];
    uint64_t other = 1;
    char says[60];
    long offset;
    size_t len;

    (void)state;
    assert_broken(begin_a_broken_look, "data.mdb: MDB_CORRUPTED");
    assert_broken(read_without_a_record, "data.mdb: MDB_CORRUPTED");
    assert_broken(read_by_a_record_elsewhere, "data.mdb: MDB_CORRUPTED");
    assert_broken(read_on_by_a_record_elsewhere, "data.mdb: CARTS, page 0 is another one");

    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_put(&s, DB_CARTS, STR("big"), (struct str){ big, sizeof(big) }),
                     ERR_OK);
    lmdb_store_close(&s);
    assert_true(lmdb_store_find(&s, DB_CARTS, STR("big"), &offset, &len));
    lmdb_store_write_at(&s, offset - offset % PAGE, &other, sizeof(other));
    (void)snprintf(says, sizeof(says), "data.mdb: CARTS, page %ld is another one", offset / PAGE);
    assert_broken(read_the_big_cart, says);
}

/* ---- reads of what is there -------------------------------------------------------------------- */

static enum err seek(enum store_db db, enum store_seek how, struct str key, struct str *found)
{
    const struct engine_ops *ops = s.engine->ops;
    void *txn;
    enum err err = ops->view_begin(s.engine, &txn);

    if (err != ERR_OK)
        return err;
    err = ops->seek(s.engine, txn, db, how, key, &s.arena, found, NULL);
    ops->view_end(s.engine, txn);
    return err;
}

static void read__of_an_empty_key_finds_nothing(void **state)
{
    struct str found;

    (void)state;
    assert_int_equal(lmdb_store_get(&s, DB_ORDERS, STR(""), NULL), ERR_NOT_FOUND);
    assert_int_equal(seek(DB_ORDERS, STORE_LE, STR(""), &found), ERR_NOT_FOUND);
    assert_int_equal(seek(DB_ORDERS, STORE_GE, STR(""), &found), ERR_OK);
    assert_int_equal(found.n, 16);
    assert_int_equal(seek(DB_ORDERS, STORE_GE, STR(""), NULL), ERR_OK);
}

/* That it is not there is said between two rows that are whole. */
static void gap__beside_a_damaged_row_is_not_taken_for_one(void **state)
{
    struct str found;
    char key[17];
    long offset;
    size_t len;

    (void)state;
    lmdb_store_close(&s);
    (void)order_key(5, key);
    assert_true(lmdb_store_find(&s, DB_ORDERS, (struct str){ key, 16 }, &offset, &len));
    lmdb_store_flip(&s, offset);
    lmdb_store_must_open(&s);
    key[16] = 'x'; /* behind order 5 and before the next */
    for (int how = STORE_GE; how <= STORE_LT; how++)
        assert_int_equal(seek(DB_ORDERS, (enum store_seek)how, (struct str){ key, 17 }, &found),
                         ERR_DAMAGED);
    assert_int_equal(lmdb_store_get(&s, DB_ORDERS, (struct str){ key, 17 }, NULL), ERR_DAMAGED);
    (void)order_key(6, key);
    assert_int_equal(seek(DB_ORDERS, STORE_GE, (struct str){ key, 17 }, &found), ERR_OK);
}

/* ---- writes ------------------------------------------------------------------------------------ */

static enum err put_one(void)
{
    return lmdb_store_put(&s, DB_CARTS, STR("cart"), STR("c"));
}

static void write__that_fails_otherwise_than_by_room_is_lost(void **state)
{
    (void)state;
    fake.put_code = EINVAL;
    assert_int_equal(put_one(), ERR_IO);
    assert_string_equal(lmdb_engine_failure(s.engine),
                        "writing rows: Invalid argument; the next start checks the store");
}

static void write__that_is_lost_says_that_no_mark_could_be_left(void **state)
{
    char path[600];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/%s", s.dir.path, STORE_FILE_MARK);
    assert_int_equal(mkdir(path, 0700), 0); /* no file can be where it is */
    fake.put_code = EINVAL;
    assert_int_equal(put_one(), ERR_IO);
    assert_says(lmdb_engine_failure(s.engine),
                "writing rows: Invalid argument; and the mark for the next start to check the "
                "store could not be left");
    assert_int_equal(rmdir(path), 0);
}

/* Where a library in between hides the fsyncs, only a full map is known to be before them. */
static void write__is_taken_for_lost_where_fsyncs_are_not_seen(void **state)
{
    (void)state;
    lmdb_of(s.engine)->sees_syncs = false;
    fake.commit_code = MDB_MAP_FULL;
    assert_int_equal(put_one(), ERR_FULL);
    assert_int_equal(put_one(), ERR_OK);
    fake.commit_code = ENOSPC;
    assert_int_equal(put_one(), ERR_IO);
    assert_says(lmdb_engine_failure(s.engine), "fsync or meta page: No space left on device");
}

static void write__is_tried_again_when_a_dead_reader_was_found(void **state)
{
    (void)state;
    fake.put_code = MDB_MAP_FULL;
    assert_int_equal(put_one(), ERR_FULL);
    fake.put_code = MDB_TXN_FULL;
    fake.reader_check_code = EIO;
    fake.n_dead = 1;
    assert_int_equal(put_one(), ERR_FULL);
    fake.put_code = MDB_MAP_FULL;
    fake.reader_check_code = 0;
    assert_int_equal(put_one(), ERR_OK);
    assert_int_equal(fake.n_dead, 0);
}

static void file__that_can_not_be_made_whole_is_tried_again_with_the_next_commit(void **state)
{
    struct lmdb_engine *le = lmdb_of(s.engine);

    (void)state;
    le->file_bytes = 0;
    fake.n_ftruncates = 0;
    fake.file_looks_empty = true;
    fake.ftruncate_fails = true;
    lmdb_note_sizes(le);
    assert_int_equal(fake.n_ftruncates, 1);
    assert_int_equal(le->file_bytes, 0);
    fake.ftruncate_fails = false;
    lmdb_note_sizes(le);
    assert_int_equal(fake.n_ftruncates, 2);
    assert_int_equal(le->file_bytes, lmdb_env_used_bytes(&le->db));
    lmdb_note_sizes(le);
    assert_int_equal(fake.n_ftruncates, 2);
}

static void room__is_none_where_the_map_is_full(void **state)
{
    struct store_stats stats = { 0 };

    (void)state;
    s.engine->ops->stats(s.engine, &stats);
    assert_true(stats.free_ratio > 0);
    lmdb_of(s.engine)->map_bytes = stats.bytes;
    s.engine->ops->stats(s.engine, &stats);
    assert_true(stats.free_ratio <= 0);
}

int main(void)
{
#define STORE(test) cmocka_unit_test_setup_teardown(test, store_begins, store_ends)
    const struct CMUnitTest tests[] = {
        STORE(view__gets_the_place_of_a_dead_reader_or_none),
        STORE(read__of_broken_pages_ends_the_server),
        STORE(read__of_an_empty_key_finds_nothing),
        STORE(gap__beside_a_damaged_row_is_not_taken_for_one),
        STORE(write__that_fails_otherwise_than_by_room_is_lost),
        STORE(write__that_is_lost_says_that_no_mark_could_be_left),
        STORE(write__is_taken_for_lost_where_fsyncs_are_not_seen),
        STORE(write__is_tried_again_when_a_dead_reader_was_found),
        STORE(file__that_can_not_be_made_whole_is_tried_again_with_the_next_commit),
        STORE(room__is_none_where_the_map_is_full),
    };

    temp_dirs_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
