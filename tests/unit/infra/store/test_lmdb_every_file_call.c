/* Calls about files that can fail, fail in turn, wherever the store or LMDB makes one. The writes
 * themselves, and what a failed fsync of a commit means, are in test_lmdb_faults.c. */
#include "support/lmdb_scenes.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* The sanitizers are slow at processes, of which each opening makes some. */
#if defined(__SANITIZE_THREAD__)
#define STRIDE 8
#elif defined(__SANITIZE_ADDRESS__)
#define STRIDE 3
#else
#define STRIDE 1
#endif

/* ---- calls that fail: all of ours and of LMDB's come by here ---------------------- */

static struct {
    unsigned countdown; /* 0: no fault; 1: the next call fails */
    int code;
    bool has_failed;
    pid_t process; /* where; 0: also in those that an opening makes, each of which counts anew */
} disk;

static bool falls_out(void)
{
    if (disk.countdown == 0 || (disk.process && disk.process != getpid()) || --disk.countdown > 0)
        return false;
    disk.has_failed = true;
    errno = disk.code;
    return true;
}

static void disk_fails_at(unsigned nth, int code)
{
    disk.countdown = nth;
    disk.code = code;
    disk.has_failed = false;
    disk.process = 0;
}

static void disk_fails_here_at(unsigned nth, int code)
{
    disk_fails_at(nth, code);
    disk.process = getpid();
}

static bool disk_is_well(void)
{
    disk.countdown = 0;
    return disk.has_failed;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return falls_out() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return falls_out() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int unlinkat(int dir, const char *path, int flags)
{
    return falls_out() ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return falls_out() ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int ftruncate(int fd, off_t size)
{
    return falls_out() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd)
{
    return falls_out() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fstat(int fd, struct stat *out)
{
    return falls_out() ? -1 : fstatat(fd, "", out, AT_EMPTY_PATH);
}

int fstatvfs(int fd, struct statvfs *out)
{
    char path[40];

    if (falls_out())
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return statvfs(path, out);
}

int posix_fallocate(int fd, off_t from, off_t n)
{
    if (falls_out())
        return disk.code;
    return syscall(SYS_fallocate, fd, 0, from, n) == 0 ? 0 : errno;
}

/* ---- each call in turn ------------------------------------------------------------ */

static void fail_every_call(scene_cb scene, unsigned least)
{
    const struct scene_fault anywhere = { disk_fails_at, disk_is_well, .code = EIO };
    const struct scene_fault here = { disk_fails_here_at, disk_is_well, .code = EACCES };

    assert_true(lmdb_scene_fail_each(&anywhere, scene, STRIDE) >= least);
    assert_true(lmdb_scene_fail_each(&here, scene, STRIDE) >= least);
}

#define EVERY_CALL_OF(name, scene, least)                                                          \
    static void every_call_of__##name(void **state)                                                \
    {                                                                                              \
        (void)state;                                                                               \
        fail_every_call(scene, least);                                                             \
    }
EVERY_CALL_OF(an_opening, scene_close_and_open, 10)
EVERY_CALL_OF(an_opening_that_copies, scene_open_marked, 15)
EVERY_CALL_OF(a_first_opening, scene_open_new, 10)
EVERY_CALL_OF(an_opening_that_reads, scene_open_reader, 3)
EVERY_CALL_OF(a_batch, scene_write_events, 0)
EVERY_CALL_OF(a_backup, scene_backup, 10)
EVERY_CALL_OF(a_build_that_is_adopted, scene_rebuild, 10)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of__an_opening),
        cmocka_unit_test(every_call_of__an_opening_that_copies),
        cmocka_unit_test(every_call_of__a_first_opening),
        cmocka_unit_test(every_call_of__an_opening_that_reads),
        cmocka_unit_test(every_call_of__a_batch),
        cmocka_unit_test(every_call_of__a_backup),
        cmocka_unit_test(every_call_of__a_build_that_is_adopted),
    };

    temp_dirs_in_memory(); /* some hundreds of stores */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
