/* What an opening is told by the rows that the store keeps about itself, by LMDB's meta pages and by
 * the length of the file: each of them wrong once, as a server, as a reader, and as a look into the
 * file, with the words that an operator reads. */
#include "../../../../src/infra/store/lmdb_check.h"
#include "../../../../src/infra/store/lmdb_schema.h"
#include "orderly/base/bytes.h"
#include "orderly/infra/store/lmdb_look.h"
#include "support/lmdb_store.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 12
#define PAGE 4096L
#define KEY_SCHEMA STR("store:schema")
#define KEY_TIP STR("store:tip")
#define TIP_LEN 25 /* has events(1) position(8) sum(16) */

/* ---- calls that fail --------------------------------------------------------------------------- */

static struct {
    unsigned copies_fail; /* so many of the next */
    int copy_code;
    unsigned opens_fail;
    int open_code;
    size_t map_bytes; /* that was asked for last */
    bool ftruncate_fails, lseek_fails;
} faults;

int mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags)
{
    static int (*next)(MDB_env * env, mdb_filehandle_t fd, unsigned flags);

    if (faults.copies_fail > 0) {
        faults.copies_fail--;
        return faults.copy_code;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_env_copyfd2");
    return next(env, fd, flags);
}

int mdb_env_set_mapsize(MDB_env *env, size_t size)
{
    static int (*next)(MDB_env * env, size_t size);

    faults.map_bytes = size;
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_env_set_mapsize");
    return next(env, size);
}

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    static int (*next)(MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode);

    if (faults.opens_fail > 0) {
        faults.opens_fail--;
        return faults.open_code;
    }
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_env_open");
    return next(env, path, flags, mode);
}

int ftruncate(int fd, off_t size)
{
    if (faults.ftruncate_fails) {
        errno = EFBIG;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

off_t lseek(int fd, off_t offset, int whence)
{
    if (faults.lseek_fails) {
        errno = ESPIPE;
        return -1;
    }
    return syscall(SYS_lseek, fd, offset, whence);
}

/* ---- the store --------------------------------------------------------------------------------- */

static struct lmdb_store s;

static int store_begins(void **state)
{
    enum err err;

    (void)state;
    memset(&faults, 0, sizeof(faults));
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    (void)lmdb_store_write(&s, 1, EVENTS, EVENTS, &err);
    lmdb_store_close(&s);
    return err == ERR_OK ? 0 : -1;
}

static int store_ends(void **state)
{
    (void)state;
    memset(&faults, 0, sizeof(faults));
    lmdb_store_deinit(&s);
    return 0;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static const char *data_file(void)
{
    static char path[600];

    (void)snprintf(path, sizeof(path), "%s/data.mdb", s.dir.path);
    return path;
}

static void assert_server(enum err err, const char *says)
{
    s.config.is_reader = false;
    assert_int_equal(lmdb_store_open(&s), err);
    assert_says(s.report.why, says);
    assert_null(s.engine);
}

static void assert_reader(enum err err, const char *says)
{
    s.config.is_reader = true;
    assert_int_equal(lmdb_store_open(&s), err);
    assert_says(s.report.why, says);
    assert_null(s.engine);
}

static void assert_look(enum err err, const char *says)
{
    char why[LMDB_TEXT_MAX];
    struct lmdb_look *l;

    assert_int_equal(lmdb_look_open_file(data_file(), &l, why), err);
    assert_says(why, says);
    assert_null(l);
}

/* ---- the schema -------------------------------------------------------------------------------- */

static void schema__that_is_none_is_damage_for_all(void **state)
{
    static const char says[] = "it says no schema";

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0)
            lmdb_store_put_raw(&s, DB_META, KEY_SCHEMA, STR("\0\0\0"));
        else
            lmdb_store_delete_raw(&s, DB_META, KEY_SCHEMA);
        assert_server(ERR_DAMAGED, says);
        assert_reader(ERR_DAMAGED, says);
        assert_look(ERR_DAMAGED, says);
    }
}

static void schema__with_a_wrong_sum_is_damage(void **state)
{
    (void)state;
    lmdb_store_put_raw(&s, DB_META, KEY_SCHEMA, STR("\0\0\0\1sixteen bytes...."));
    assert_server(ERR_DAMAGED, "it says no schema");
    assert_reader(ERR_DAMAGED, "it says no schema");
}

static void schema__of_an_older_version_is_for_a_server_that_knows_the_way(void **state)
{
    static const char says[] = "it is of an older version: start the server once";

    (void)state;
    lmdb_store_put_sealed(&s, DB_META, KEY_SCHEMA, STR("\0\0\0\0"));
    assert_reader(ERR_INVALID, says);
    assert_look(ERR_INVALID, says);
    assert_server(ERR_IO, "can't be taken over: Operation not supported"); /* there is no way */
}

static int step_fails(struct lmdb_env *db, MDB_txn *txn)
{
    (void)db;
    (void)txn;
    return EDOM;
}

static void schema__goes_nowhere_where_a_step_fails(void **state)
{
    static const struct lmdb_step steps[] = { { .from = LMDB_SCHEMA, .run = step_fails } };
    struct lmdb_env db;
    MDB_txn *txn;
    uint32_t version;

    (void)state;
    assert_int_equal(lmdb_env_open(&db, s.dir.path, 0, 64u << 20), 0);
    assert_int_equal(mdb_txn_begin(db.env, NULL, 0, &txn), 0);
    assert_int_equal(lmdb_env_open_one(&db, txn, DB_META, false), 0);
    assert_int_equal(lmdb_schema_forward(&db, txn, LMDB_SCHEMA + 1, steps, 1), EDOM);
    assert_int_equal(lmdb_schema_forward(&db, txn, LMDB_SCHEMA + 1, steps, 0), ENOTSUP);
    assert_int_equal(lmdb_schema_read(&db, txn, &version), 0);
    assert_int_equal(version, LMDB_SCHEMA);
    assert_int_equal(lmdb_copied_clear(&db, txn), 0); /* of what is no copy */
    assert_int_equal(mdb_drop(txn, db.dbis[DB_META], 0), 0);
    assert_int_equal(lmdb_schema_forward(&db, txn, LMDB_SCHEMA, steps, 1), MDB_NOTFOUND);
    mdb_txn_abort(txn);
    lmdb_env_close(&db);
}

/* ---- the end of the chain ---------------------------------------------------------------------- */

static struct str tip_row(bool has_events, uint64_t position, char out[TIP_LEN])
{
    memset(out, 0, TIP_LEN);
    out[0] = has_events;
    bytes_put_u64(out + 1, position);
    return (struct str){ out, TIP_LEN };
}

static void tip__that_is_none_is_damage(void **state)
{
    char row[TIP_LEN];

    (void)state;
    lmdb_store_put_sealed(&s, DB_META, KEY_TIP,
                          (struct str){ tip_row(true, EVENTS, row).p, TIP_LEN - 1 });
    assert_server(ERR_DAMAGED, "MDB_CORRUPTED");
    assert_reader(ERR_DAMAGED, "MDB_CORRUPTED");
    lmdb_store_delete_raw(&s, DB_META, KEY_TIP);
    assert_server(ERR_DAMAGED, "MDB_CORRUPTED");
    assert_reader(ERR_DAMAGED, "MDB_CORRUPTED");
}

static void tip__must_be_that_of_the_last_event(void **state)
{
    static const char nine[9] = { (char)0xff };
    char row[TIP_LEN];

    (void)state;
    lmdb_store_put_sealed(&s, DB_META, KEY_TIP, tip_row(false, 0, row));
    assert_server(ERR_DAMAGED, "its last event is not position 0, or is damaged");
    lmdb_store_put_sealed(&s, DB_META, KEY_TIP, tip_row(true, EVENTS - 1, row));
    assert_server(ERR_DAMAGED, "its last event is not position 11, or is damaged");
    lmdb_store_put_sealed(&s, DB_META, KEY_TIP, tip_row(true, EVENTS, row));
    lmdb_store_put_raw(&s, DB_EVENTS, (struct str){ nine, sizeof(nine) }, STR("x"));
    assert_server(ERR_DAMAGED, "its last event is not position 12, or is damaged");
    lmdb_store_drop(&s, DB_EVENTS, MDB_CREATE);
    assert_server(ERR_DAMAGED, "its last event is not position 12, or is damaged");
}

/* ---- epochs, databases ------------------------------------------------------------------------- */

static void epoch__that_is_none_is_damage(void **state)
{
    static const char first[] = "store:epoch \0\0\0"; /* and one more 0 */
    const struct str key = { first, sizeof(first) };

    (void)state;
    lmdb_store_put_sealed(&s, DB_META, key, STR("too short"));
    assert_server(ERR_DAMAGED, "is damaged: MDB_CORRUPTED");
    assert_reader(ERR_DAMAGED, "is damaged: MDB_CORRUPTED");
    lmdb_store_delete_raw(&s, DB_META, key);
    assert_server(ERR_DAMAGED, "is damaged: MDB_CORRUPTED");
    assert_reader(ERR_DAMAGED, "is damaged: MDB_CORRUPTED");
}

static void database__that_is_missing_is_damage(void **state)
{
    char why[LMDB_TEXT_MAX];
    struct lmdb_walk walk = { 0 };

    (void)state;
    lmdb_store_drop(&s, DB_REFUNDS_DUE, 0);
    assert_server(ERR_DAMAGED, "MDB_NOTFOUND");
    assert_reader(ERR_DAMAGED, "can't be read: MDB_NOTFOUND");
    assert_look(ERR_DAMAGED, "MDB_NOTFOUND");
    assert_int_equal(lmdb_check_copied(data_file(), &walk, why), ERR_DAMAGED);
    assert_says(why, "MDB_NOTFOUND");
}

/* ---- meta pages -------------------------------------------------------------------------------- */

/* Of each: where it stands in its page, behind the page's head. */
#define AT_MAGIC 16
#define AT_VERSION 20
#define AT_PAGE_SIZE 40
#define AT_LAST_PAGE 136
#define AT_TXN 144

static uint64_t meta_u64(long page, long at)
{
    uint64_t v;

    lmdb_store_read_at(&s, page * PAGE + at, &v, sizeof(v));
    return v;
}

static void meta_put(long page, long at, uint64_t v, size_t n)
{
    lmdb_store_write_at(&s, page * PAGE + at, &v, n);
}

static bool metas_belong_together(void)
{
    int fd = open(data_file(), O_RDONLY | O_CLOEXEC);
    bool ok;

    assert_true(fd >= 0);
    ok = lmdb_check_metas(fd);
    (void)close(fd);
    return ok;
}

/* With this one number, and no longer when it is what it was. */
static void assert_apart_with(long page, long at, uint64_t value, size_t n)
{
    uint64_t was = meta_u64(page, at);

    meta_put(page, at, value, n);
    assert_false(metas_belong_together());
    meta_put(page, at, was, n);
    assert_true(metas_belong_together());
}

static void metas__belong_together_by_each_of_their_numbers(void **state)
{
    long newer = meta_u64(1, AT_TXN) > meta_u64(0, AT_TXN);
    uint64_t txn = meta_u64(newer, AT_TXN);

    (void)state;
    assert_true(metas_belong_together());
    assert_int_equal(meta_u64(!newer, AT_TXN), txn - 1);
    for (long page = 0; page < 2; page++) {
        assert_apart_with(page, AT_MAGIC, 1, 4);
        assert_apart_with(page, AT_VERSION, 2, 4);
        assert_apart_with(page, AT_PAGE_SIZE, 2 * PAGE, 4);
    }
    assert_apart_with(!newer, AT_TXN, txn - 2, 8);
    assert_apart_with(!newer, AT_TXN, txn, 8);
    assert_apart_with(!newer, AT_TXN, txn + 1,
                      8); /* next to each other, each in the other's place */
    assert_apart_with(newer, AT_LAST_PAGE, meta_u64(!newer, AT_LAST_PAGE) - 1, 8);
    assert_apart_with(newer, AT_LAST_PAGE, UINT64_C(1) << 36, 8);
}

static void metas__of_a_file_that_is_cut_do_not_belong_together(void **state)
{
    (void)state;
    lmdb_store_cut(&s, PAGE + AT_TXN);
    assert_false(metas_belong_together());
    lmdb_store_cut(&s, 10);
    assert_false(metas_belong_together());
    assert_server(ERR_DAMAGED, "its meta pages do not belong together");
}

static void metas__that_do_not_belong_together_are_damage_for_all(void **state)
{
    static const char says[] = "its meta pages do not belong together";
    long newer = meta_u64(1, AT_TXN) > meta_u64(0, AT_TXN);

    (void)state;
    meta_put(!newer, AT_TXN, meta_u64(newer, AT_TXN) - 2, 8);
    assert_server(ERR_DAMAGED, says);
    assert_reader(ERR_DAMAGED, says);
    assert_look(ERR_DAMAGED, says);
}

static void roots__are_those_of_the_transaction_that_was_asked_for(void **state)
{
    uint64_t roots[2];
    struct lmdb_env db;
    MDB_txn *txn;
    uint64_t id;
    bool is_sound = false;

    (void)state;
    assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 64u << 20), 0);
    assert_int_equal(mdb_txn_begin(db.env, NULL, MDB_RDONLY, &txn), 0);
    id = mdb_txn_id(txn);
    mdb_txn_abort(txn);
    assert_true(lmdb_meta_roots(db.env, id, roots));
    assert_true(roots[0] >= 2 && roots[1] >= 2);
    assert_false(lmdb_meta_roots(db.env, id + 2, roots)); /* the same page, but not yet */
    meta_put((long)(id & 1), AT_MAGIC, 1, 4);
    assert_false(lmdb_meta_roots(db.env, id, roots));
    assert_int_equal(lmdb_walk_free(&db, &is_sound), 0);
    assert_true(is_sound); /* as far as it can be told */
    lmdb_env_close(&db);
}

/* ---- the length of the file -------------------------------------------------------------------- */

/* As if so many pages more were in use, of which LMDB writes none. */
static void claim_pages(uint64_t more)
{
    long newer = meta_u64(1, AT_TXN) > meta_u64(0, AT_TXN);

    meta_put(newer, AT_LAST_PAGE, meta_u64(newer, AT_LAST_PAGE) + more, 8);
}

static void file__may_lack_pages_that_are_not_used(void **state)
{
    (void)state;
    claim_pages(100);
    s.config.is_reader = false;
    lmdb_store_must_open(&s);
    lmdb_store_must_be_sound(&s);
    assert_true(lmdb_store_size(&s) >= 100 * PAGE); /* and lacks them no longer */
}

static void file__that_lacks_more_than_a_transaction_takes_is_damaged(void **state)
{
    (void)state;
    claim_pages((UINT64_C(512) << 20) / (uint64_t)PAGE + 100);
    assert_server(ERR_DAMAGED, "bytes and should have 5");
}

static void file__that_lacks_pages_is_looked_at_row_by_row(void **state)
{
    char key[8];
    long offset;
    size_t len;

    (void)state;
    bytes_put_u64(key, 5);
    assert_true(lmdb_store_find(&s, DB_EVENTS, (struct str){ key, 8 }, &offset, &len));
    lmdb_store_flip(&s, offset);
    claim_pages(100);
    assert_server(ERR_DAMAGED, "bytes and should have");
}

/* ---- copies ------------------------------------------------------------------------------------ */

static int copy_to_a_file(char path[600])
{
    struct lmdb_env db;
    int rc, fd;

    (void)snprintf(path, 600, "%s/copy.mdb", s.dir.path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "what came of the first try", 26), 26);
    assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 64u << 20), 0);
    rc = lmdb_copy_to(db.env, fd);
    lmdb_env_close(&db);
    (void)close(fd);
    return rc;
}

static void copy__takes_pages_of_nobody_with_it(void **state)
{
    struct lmdb_walk walk = { 0 };
    char path[600];
    char why[LMDB_TEXT_MAX];

    (void)state;
    faults.copies_fail = 1;
    faults.copy_code = MDB_INCOMPATIBLE;
    assert_int_equal(copy_to_a_file(path), 0);
    assert_int_equal(lmdb_check_copied(path, &walk, why), ERR_OK);
    assert_int_equal(walk.last_position, EVENTS);
    faults.copies_fail = 2;
    assert_int_equal(copy_to_a_file(path), MDB_INCOMPATIBLE);
    faults.copies_fail = 1;
    faults.ftruncate_fails = true;
    assert_int_equal(copy_to_a_file(path), EFBIG);
    faults.ftruncate_fails = false;
    faults.copies_fail = 1;
    faults.lseek_fails = true;
    assert_int_equal(copy_to_a_file(path), ESPIPE);
    faults.lseek_fails = false;
}

/* ---- the map ----------------------------------------------------------------------------------- */

static void map__is_halved_until_the_machine_gives_it(void **state)
{
    static const int codes[] = { ENOMEM, EINVAL };
    struct lmdb_env db;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        size_t whole;

        assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 0), 0);
        whole = faults.map_bytes;
        lmdb_env_close(&db);
        faults.open_code = codes[i];
        faults.opens_fail = 2;
        assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 0), 0);
        assert_int_equal(faults.map_bytes, whole / 4);
        lmdb_env_close(&db);
        faults.opens_fail = 1000; /* down to a GiB, and no further */
        assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 0), codes[i]);
        assert_int_equal(faults.map_bytes, UINT64_C(1) << 30);
        faults.opens_fail = 1; /* what was asked for by number is not made smaller */
        assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 64u << 20),
                         codes[i]);
        faults.opens_fail = 0;
    }
    faults.opens_fail = 1;
    faults.open_code = EACCES;
    assert_int_equal(lmdb_env_open(&db, s.dir.path, MDB_RDONLY | MDB_NOLOCK, 0), EACCES);
}

static void code__of_lmdb_has_one_meaning(void **state)
{
    static const struct {
        int code;
        enum err err;
        bool is_broken;
    } codes[] = {
        { 0, ERR_OK, false },
        { MDB_NOTFOUND, ERR_NOT_FOUND, false },
        { ENOENT, ERR_NOT_FOUND, false },
        { MDB_MAP_FULL, ERR_FULL, false },
        { ENOSPC, ERR_FULL, false },
        { EDQUOT, ERR_FULL, false },
        { MDB_READERS_FULL, ERR_BUSY, false },
        { MDB_VERSION_MISMATCH, ERR_INVALID, false },
        { MDB_PANIC, ERR_IO, false },
        { EIO, ERR_IO, false },
        { MDB_CORRUPTED, ERR_DAMAGED, true },
        { MDB_PAGE_NOTFOUND, ERR_DAMAGED, true },
        { MDB_INVALID, ERR_DAMAGED, true },
        { MDB_CURSOR_FULL, ERR_DAMAGED, true },
        { MDB_INCOMPATIBLE, ERR_DAMAGED, true },
        { MDB_BAD_TXN, ERR_DAMAGED, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_int_equal(lmdb_err(codes[i].code), codes[i].err);
        assert_int_equal(lmdb_is_broken(codes[i].code), codes[i].is_broken);
    }
}

int main(void)
{
#define STORE(test) cmocka_unit_test_setup_teardown(test, store_begins, store_ends)
    const struct CMUnitTest tests[] = {
        STORE(schema__that_is_none_is_damage_for_all),
        STORE(schema__with_a_wrong_sum_is_damage),
        STORE(schema__of_an_older_version_is_for_a_server_that_knows_the_way),
        STORE(schema__goes_nowhere_where_a_step_fails),
        STORE(tip__that_is_none_is_damage),
        STORE(tip__must_be_that_of_the_last_event),
        STORE(epoch__that_is_none_is_damage),
        STORE(database__that_is_missing_is_damage),
        STORE(metas__belong_together_by_each_of_their_numbers),
        STORE(metas__of_a_file_that_is_cut_do_not_belong_together),
        STORE(metas__that_do_not_belong_together_are_damage_for_all),
        STORE(roots__are_those_of_the_transaction_that_was_asked_for),
        STORE(file__may_lack_pages_that_are_not_used),
        STORE(file__that_lacks_more_than_a_transaction_takes_is_damaged),
        STORE(file__that_lacks_pages_is_looked_at_row_by_row),
        STORE(copy__takes_pages_of_nobody_with_it),
        STORE(map__is_halved_until_the_machine_gives_it),
        STORE(code__of_lmdb_has_one_meaning),
    };

    temp_dirs_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
