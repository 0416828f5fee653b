/* Disks that fail: each write and each fsync of a short scenario in turn, a disk that is full, and
 * the start that follows. */
#include "../../../../src/infra/store/lmdb_sync.h"
#include "../../../../src/infra/store/store_dir.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/in_child.h"
#include "support/lmdb_store.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a disk that fails: LMDB's calls come by here ------------------------------- */

enum call { CALL_PAGES, CALL_META, CALL_SYNC };

static struct {
    unsigned countdown; /* 0: no fault; 1: the next call fails */
    int error;
    bool is_torn; /* a write leaves the first 512 bytes before it fails; error 0: it says so */
    enum call failed;
    bool has_failed;
} disk;

static bool falls_out(enum call call)
{
    if (disk.countdown == 0 || --disk.countdown > 0)
        return false;
    disk.failed = call;
    disk.has_failed = true;
    return true;
}

/* LMDB writes its meta page by a descriptor that syncs each write. */
static enum call call_of(int fd)
{
    return fcntl(fd, F_GETFL) & O_DSYNC ? CALL_META : CALL_PAGES;
}

static ssize_t break_write(int fd, const char *p, size_t n, off_t offset)
{
    ssize_t done = 0;

    if (disk.is_torn && n > 512)
        done = syscall(SYS_pwrite64, fd, p, (size_t)512, offset);
    if (disk.error == 0)
        return done;
    errno = disk.error;
    return -1;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    if (falls_out(call_of(fd)))
        return break_write(fd, p, n, offset);
    return syscall(SYS_pwrite64, fd, p, n, offset);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    if (disk.countdown > 0 && falls_out(call_of(fd)))
        return break_write(fd, v[0].iov_base, v[0].iov_len, lseek(fd, 0, SEEK_CUR));
    return syscall(SYS_writev, fd, v, n);
}

static int on_sync(int fd)
{
    (void)fd;
    return falls_out(CALL_SYNC) ? disk.error : 0;
}

static void disk_breaks_at(unsigned nth, int error, bool is_torn)
{
    memset(&disk, 0, sizeof(disk));
    disk.countdown = nth;
    disk.error = error;
    disk.is_torn = is_torn;
    lmdb_sync_fault = on_sync;
}

static void disk_is_well(void)
{
    memset(&disk, 0, sizeof(disk));
    lmdb_sync_fault = NULL;
}

/* ---- the scenario --------------------------------------------------------------- */

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static bool is_marked(const struct lmdb_store *s)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/%s", s->dir.path, STORE_FILE_MARK);
    return access(path, F_OK) == 0;
}

static uint64_t last_position(struct lmdb_store *s)
{
    struct lmdb_state state;

    lmdb_engine_state(s->engine, &state);
    return state.last_position;
}

static void assert_holds(struct lmdb_store *s, uint64_t events)
{
    for (uint64_t n = 1; n <= events; n++)
        lmdb_store_must_have(s, n);
    lmdb_store_must_be_sound(s);
}

/* What a failure of this call with this error has to be taken for. */
static enum err right_status(enum call call, int error)
{
    return call == CALL_PAGES && (error == ENOSPC || error == EDQUOT) ? ERR_FULL : ERR_IO;
}

/* Fails the nth call. False: there are not so many. */
static bool fail_nth_call(unsigned nth, int error, bool is_torn)
{
    struct lmdb_store s;
    uint64_t acknowledged;
    enum err status;
    enum call failed;
    bool has_failed;

    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    acknowledged = lmdb_store_write(&s, 1, 40, 10, &status);
    disk_breaks_at(nth, error, is_torn);
    acknowledged += lmdb_store_write(&s, 41, 60, 5, &status);
    failed = disk.failed;
    has_failed = disk.has_failed;
    disk_is_well();
    if (has_failed) {
        assert_int_equal(status, right_status(failed, error));
        assert_int_equal(is_marked(&s), status == ERR_IO);
    } else {
        assert_int_equal(acknowledged, 60);
    }
    if (status == ERR_FULL) { /* goes on by itself, from the last durable position */
        assert_int_equal(last_position(&s), acknowledged);
        assert_holds(&s, acknowledged);
        acknowledged += lmdb_store_write(&s, acknowledged + 1, 60, 5, &status);
        assert_int_equal(status, ERR_OK);
        assert_int_equal(acknowledged, 60);
    } else if (status == ERR_IO) {
        assert_says(lmdb_engine_failure(s.engine), "the next start checks the store");
        assert_says(lmdb_engine_failure(s.engine),
                    failed == CALL_PAGES ? "writing pages" : "fsync or meta page");
    }
    lmdb_store_close(&s);

    lmdb_store_must_open(&s);
    if (status == ERR_IO)
        assert_says(s.report.note, "was copied and verified");
    else
        assert_string_equal(s.report.note, "");
    assert_false(is_marked(&s));
    /* What was not acknowledged may be there or not, but whole. */
    assert_in_range(last_position(&s), acknowledged, acknowledged + 5);
    assert_holds(&s, last_position(&s));
    acknowledged = last_position(&s);
    assert_int_equal(lmdb_store_write(&s, acknowledged + 1, acknowledged + 20, 5, &status), 20);
    assert_holds(&s, acknowledged + 20);
    lmdb_store_deinit(&s);
    return has_failed;
}

static void fail_every_call(int error, bool is_torn)
{
    unsigned nth = 1;

    while (fail_nth_call(nth, error, is_torn))
        nth++;
    assert_true(nth > 4 * 3); /* pages, fsync, meta page of four commits */
}

/* A start writes, too, and what it can't sync is as uncertain. */
static void failed_sync_of_a_start__is_checked_by_the_next(void **state)
{
    unsigned n_failed = 0;
    struct lmdb_store s;
    enum err status;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    assert_int_equal(lmdb_store_write(&s, 1, 20, 5, &status), 20);
    lmdb_store_close(&s);
    for (unsigned nth = 1;; nth++) {
        enum call failed;
        enum err err;

        disk_breaks_at(nth, EIO, false);
        err = lmdb_store_open(&s);
        failed = disk.failed;
        if (!disk.has_failed) {
            assert_int_equal(err, ERR_OK);
            break;
        }
        disk_is_well();
        if (err == ERR_OK) { /* a file for people */
            lmdb_store_close(&s);
        } else if (failed == CALL_PAGES) {
            assert_false(is_marked(&s));
        } else {
            n_failed++;
            assert_int_equal(err, ERR_IO);
            assert_true(is_marked(&s));
            lmdb_store_must_open(&s);
            assert_says(s.report.note, "was copied and verified");
            lmdb_store_close(&s);
        }
    }
    disk_is_well();
    assert_int_equal(n_failed, 2);
    assert_holds(&s, 20);
    lmdb_store_deinit(&s);
}

static void every_call__may_fail_with_an_error_of_the_disk(void **state)
{
    (void)state;
    fail_every_call(EIO, false);
}

static void every_call__may_say_that_the_disk_is_full(void **state)
{
    (void)state;
    fail_every_call(ENOSPC, false);
}

static void every_call__may_say_that_the_quota_is_used_up(void **state)
{
    (void)state;
    fail_every_call(EDQUOT, true);
}

static void every_write__may_be_torn(void **state)
{
    (void)state;
    fail_every_call(EIO, true);
}

/* LMDB gives this as EIO; there is room on the disk, so it is one. An fsync can't be short. */
static void every_write__may_be_short(void **state)
{
    unsigned n_short = 0;

    (void)state;
    for (unsigned nth = 1; nth < 12; nth++) {
        struct lmdb_store s;
        uint64_t done;
        enum err status;

        lmdb_store_init(&s);
        lmdb_store_must_open(&s);
        done = lmdb_store_write(&s, 1, 40, 10, &status);
        disk_breaks_at(nth, 0, true);
        done += lmdb_store_write(&s, 41, 60, 5, &status);
        n_short += status == ERR_IO;
        assert_int_equal(status, disk.has_failed && disk.failed != CALL_SYNC ? ERR_IO : ERR_OK);
        disk_is_well();
        assert_int_equal(is_marked(&s), status == ERR_IO);
        lmdb_store_close(&s);
        lmdb_store_must_open(&s);
        assert_holds(&s, done);
        lmdb_store_deinit(&s);
    }
    assert_true(n_short > 4);
}

/* ---- the start after it --------------------------------------------------------- */

static void marked_store_that_is_damaged__is_not_gone_on_with(void **state)
{
    struct lmdb_store s;
    enum err status;
    char key[8];
    long offset;
    size_t len;

    (void)state;
    lmdb_store_init(&s);
    lmdb_store_must_open(&s);
    (void)lmdb_store_write(&s, 1, 200, 10, &status);
    disk_breaks_at(1, EIO, false);
    (void)lmdb_store_write(&s, 201, 210, 10, &status);
    disk_is_well();
    assert_int_equal(status, ERR_IO);
    lmdb_store_close(&s);
    bytes_put_u64(key, 100);
    assert_true(lmdb_store_find(&s, DB_EVENTS, (struct str){ key, sizeof(key) }, &offset, &len));
    lmdb_store_flip(&s, offset);
    for (unsigned i = 0; i < 2; i++) { /* and again, until somebody restores it */
        assert_int_equal(lmdb_store_open(&s), ERR_DAMAGED);
        assert_says(s.report.why, "is damaged: EVENTS: the sum of position 100 is wrong");
        assert_says(s.report.why, "restore from backup");
        assert_true(is_marked(&s));
    }
    lmdb_store_flip(&s, offset);
    lmdb_store_must_open(&s);
    assert_holds(&s, 200);
    lmdb_store_deinit(&s);
}

/* ---- a disk that is full -------------------------------------------------------- */

struct small_disk {
    char path[512];
};

static bool mount_of_size(const char *path, const char *size, unsigned long flags)
{
    return mount("tmpfs", path, "tmpfs", flags, size) == 0;
}

static void fill_up(const char *path)
{
    char file[600];
    char zeros[4096] = { 0 };
    int fd;

    (void)snprintf(file, sizeof(file), "%s/others", path);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    (void)close(fd);
}

/* In a process with file systems of its own. */
static enum err on_a_small_disk(void *ctx, char *text, size_t text_size)
{
    struct small_disk *small = ctx;
    struct lmdb_store s;
    uint64_t done = 0;
    enum err status = ERR_OK;
    char file[600];

    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        !mount_of_size(small->path, "size=3m", 0)) {
        (void)snprintf(text, text_size, "no file system of its own here");
        return ERR_CANCELED;
    }
    lmdb_store_init(&s);
    s.config.dir = small->path;
    lmdb_store_must_open(&s);
    for (unsigned batch = 1; batch <= 100; batch += 33) {
        uint64_t more = batch * 20;

        done += lmdb_store_write(&s, done + 1, done + more, batch, &status);
        REQUIRE(status == ERR_OK);
        fill_up(small->path);
        for (unsigned i = 0; i < 3; i++) { /* the same again, while it lasts */
            done += lmdb_store_write(&s, done + 1, done + 2000, batch, &status);
            REQUIRE(status == ERR_FULL);
        }
        (void)snprintf(file, sizeof(file), "%s/others", small->path);
        REQUIRE(unlink(file) == 0);
        done += lmdb_store_write(&s, done + 1, done + 20, batch, &status);
        REQUIRE(status == ERR_OK);
    }
    do
        done += lmdb_store_write(&s, done + 1, done + 200, 100, &status);
    while (status == ERR_OK);
    REQUIRE(status == ERR_FULL);
    REQUIRE(mount_of_size(small->path, "size=9m", MS_REMOUNT));
    done += lmdb_store_write(&s, done + 1, done + 2000, 100, &status);
    REQUIRE(status == ERR_OK);
    lmdb_store_close(&s);
    (void)snprintf(file, sizeof(file), "%s/%s", small->path, STORE_FILE_MARK);
    REQUIRE(access(file, F_OK) != 0);
    lmdb_store_must_open(&s);
    assert_holds(&s, done);
    lmdb_store_deinit(&s);
    return ERR_OK;
}

static void full_disk__is_waited_out(void **state)
{
    struct temp_dir dir;
    struct small_disk small;
    char text[LMDB_TEXT_MAX];
    enum err err;

    (void)state;
    temp_dir_init(&dir);
    memcpy(small.path, dir.path, sizeof(small.path));
    err = in_child_run(on_a_small_disk, &small, text, sizeof(text));
    temp_dir_deinit(&dir);
    if (err == ERR_CANCELED) {
        print_message("%s\n", text);
        skip();
    }
    if (err != ERR_OK)
        fail_msg("%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_sync_of_a_start__is_checked_by_the_next),
        cmocka_unit_test(every_call__may_fail_with_an_error_of_the_disk),
        cmocka_unit_test(every_call__may_say_that_the_disk_is_full),
        cmocka_unit_test(every_call__may_say_that_the_quota_is_used_up),
        cmocka_unit_test(every_write__may_be_torn),
        cmocka_unit_test(every_write__may_be_short),
        cmocka_unit_test(marked_store_that_is_damaged__is_not_gone_on_with),
        cmocka_unit_test(full_disk__is_waited_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
