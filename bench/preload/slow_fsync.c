/* A disk whose every sync takes longer: put before a program with LD_PRELOAD, it sleeps after each
 * fsync and fdatasync, and after each write to a descriptor that was opened with O_DSYNC or O_SYNC, as
 * LMDB writes its meta pages. How long, in microseconds, says ORDERLY_BENCH_SYNC_US. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long sync_us;
static int (*next_fsync)(int fd);
static int (*next_fdatasync)(int fd);
static ssize_t (*next_pwrite)(int fd, const void *buf, size_t n, off_t offset);

/* Before main, so before there are threads. */
__attribute__((constructor)) static void find_next(void)
{
    const char *us = getenv("ORDERLY_BENCH_SYNC_US");

    sync_us = us ? strtol(us, NULL, 10) : 0;
    *(void **)(&next_fsync) = dlsym(RTLD_NEXT, "fsync");
    *(void **)(&next_fdatasync) = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)(&next_pwrite) = dlsym(RTLD_NEXT, "pwrite");
}

static void be_slow(void)
{
    struct timespec left = { sync_us / 1000000, sync_us % 1000000 * 1000 };
    int saved = errno;

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    errno = saved;
}

int fsync(int fd)
{
    int rc = next_fsync(fd);

    be_slow();
    return rc;
}

int fdatasync(int fd)
{
    int rc = next_fdatasync(fd);

    be_slow();
    return rc;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    ssize_t written = next_pwrite(fd, buf, n, offset);

    if (fcntl(fd, F_GETFL) & O_DSYNC) /* a bit of O_SYNC too */
        be_slow();
    return written;
}
