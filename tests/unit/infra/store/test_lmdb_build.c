/* Making a store anew beside the old one: what it needs before it begins, what it says where it does
 * not go on, and what is left of one that was ended. */
#include "../../../../src/infra/store/store_dir.h"
#include "orderly/base/bytes.h"
#include "orderly/infra/store/lmdb_backup.h"
#include "orderly/infra/store/lmdb_build.h"
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
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 12

static struct {
    uint64_t bytes_free;
    unsigned open_in; /* the nth opening of LMDB's fails: there is no such file */
} fake;

int fstatvfs(int fd, struct statvfs *out)
{
    (void)fd;
    *out = (struct statvfs){ .f_blocks = 1u << 30, .f_frsize = 1, .f_bavail = fake.bytes_free };
    return 0;
}

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode)
{
    static int (*next)(MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode);

    if (fake.open_in > 0 && --fake.open_in == 0)
        return ENOENT;
    if (!next)
        *(void **)(&next) = dlsym(RTLD_NEXT, "mdb_env_open");
    return next(env, path, flags, mode);
}

static struct lmdb_store s;
static struct lmdb_report report;

static int store_begins(void **state)
{
    enum err err;

    (void)state;
    fake.bytes_free = UINT64_MAX;
    fake.open_in = 0;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    (void)lmdb_store_write(&s, 1, EVENTS, EVENTS, &err);
    lmdb_store_close(&s);
    return err == ERR_OK ? 0 : -1;
}

static int store_ends(void **state)
{
    (void)state;
    lmdb_store_deinit(&s);
    return 0;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static bool has_file(const char *name)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/%s", s.dir.path, name);
    return access(path, F_OK) == 0;
}

static void assert_does_not_begin(enum err err, const char *says)
{
    struct lmdb_build *b;

    assert_int_equal(lmdb_build_begin(s.dir.path, &b, &report), err);
    assert_null(b);
    assert_says(report.why, says);
    assert_false(has_file(STORE_FILE_COPY));
}

static struct lmdb_build *begin(void)
{
    struct lmdb_build *b;

    if (lmdb_build_begin(s.dir.path, &b, &report) != ERR_OK)
        fail_msg("%s", report.why);
    return b;
}

/* ---- beginning --------------------------------------------------------------------------------- */

static void build__needs_half_as_much_room_again_and_16_mib(void **state)
{
    struct lmdb_build *b = begin();
    uint64_t needed = lmdb_look_bytes(lmdb_build_from(b)) * 150 / 100 + (16u << 20);
    char says[100];

    (void)state;
    lmdb_build_end(b);
    (void)snprintf(says, sizeof(says),
                   ": no room to make it anew beside itself: %llu MiB are needed",
                   (unsigned long long)(needed >> 20) + 1);
    fake.bytes_free = needed - 1;
    assert_does_not_begin(ERR_FULL, says);
    fake.bytes_free = needed;
    lmdb_build_end(begin());
}

static void build__needs_a_store_that_nobody_has(void **state)
{
    char path[600];

    (void)state;
    lmdb_store_must_open(&s);
    assert_does_not_begin(ERR_BUSY, "is in use by another server");
    lmdb_store_close(&s);
    fake.open_in = 2; /* the fresh one */
    assert_does_not_begin(ERR_IO, "a fresh store can't be made: No such file or directory");
    (void)snprintf(path, sizeof(path), "%s/data.mdb", s.dir.path);
    assert_int_equal(unlink(path), 0);
    assert_does_not_begin(ERR_NOT_FOUND, "holds no store");
    assert_false(has_file(STORE_FILE_DATA));
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void row__that_was_put_is_found_and_a_damaged_one_is_not(void **state)
{
    struct lmdb_build *b = begin();
    struct str value;

    (void)state;
    assert_int_equal(lmdb_build_get(b, DB_CARTS, STR("cart"), &value), ERR_NOT_FOUND);
    assert_int_equal(lmdb_build_put(b, DB_CARTS, STR("cart"), STR("with items")), ERR_OK);
    assert_int_equal(lmdb_build_get(b, DB_CARTS, STR("cart"), &value), ERR_OK);
    assert_true(str_eq(value, STR("with items")));
    assert_string_equal(lmdb_build_why(b), "");
    assert_int_equal(lmdb_build_put_stored(b, DB_CARTS, STR("broken"), STR("its sum is wrong")),
                     ERR_OK);
    assert_int_equal(lmdb_build_get(b, DB_CARTS, STR("broken"), &value), ERR_DAMAGED);
    assert_says(lmdb_build_why(b), ": the fresh store can't be read: MDB_CORRUPTED");
    lmdb_build_end(b);
    assert_false(has_file(STORE_FILE_COPY));
    lmdb_store_must_open(&s);
    lmdb_store_must_have(&s, EVENTS);
}

static void commit__is_due_after_twenty_thousand_rows(void **state)
{
    struct lmdb_build *b = begin();
    char key[8];

    (void)state;
    for (uint64_t n = 1; n <= 20000; n++) {
        assert_false(lmdb_build_is_large(b));
        bytes_put_u64(key, n);
        assert_int_equal(lmdb_build_put(b, DB_CARTS, (struct str){ key, 8 }, STR("")), ERR_OK);
    }
    assert_true(lmdb_build_is_large(b));
    assert_int_equal(lmdb_build_commit(b), ERR_OK);
    assert_false(lmdb_build_is_large(b));
    assert_int_equal(lmdb_look_count(lmdb_build_to(b), DB_CARTS), 20000);
    lmdb_build_end(b);
}

/* ---- what is left ------------------------------------------------------------------------------ */

static void leave_a_copy(void)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/%s", s.dir.path, STORE_FILE_COPY);
    assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
}

static void tidying__removes_the_copy_where_nobody_has_the_store(void **state)
{
    char path[600];

    (void)state;
    lmdb_store_must_open(&s);
    leave_a_copy();
    lmdb_build_tidy(s.dir.path); /* it may be the server's own */
    assert_true(has_file(STORE_FILE_COPY));
    lmdb_store_close(&s);
    lmdb_build_tidy(s.dir.path);
    assert_false(has_file(STORE_FILE_COPY));
    (void)snprintf(path, sizeof(path), "%s/nothing-there", s.dir.path);
    lmdb_build_tidy(path);
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- a backup's beginning ---------------------------------------------------------------------- */

static void backup__whose_file_is_gone_is_no_missing_store(void **state)
{
    struct lmdb_backup out;
    struct temp_dir dest;

    (void)state;
    temp_dir_init(&dest);
    lmdb_store_must_open(&s);
    fake.open_in = 1;
    assert_int_equal(lmdb_engine_backup(s.engine, dest.path, &out, &report), ERR_IO);
    assert_says(report.why, ": can't be copied to: No such file or directory");
    temp_dir_deinit(&dest);
}

int main(void)
{
#define STORE(test) cmocka_unit_test_setup_teardown(test, store_begins, store_ends)
    const struct CMUnitTest tests[] = {
        STORE(build__needs_half_as_much_room_again_and_16_mib),
        STORE(build__needs_a_store_that_nobody_has),
        STORE(row__that_was_put_is_found_and_a_damaged_one_is_not),
        STORE(commit__is_due_after_twenty_thousand_rows),
        STORE(tidying__removes_the_copy_where_nobody_has_the_store),
        STORE(backup__whose_file_is_gone_is_no_missing_store),
    };

    temp_dirs_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
