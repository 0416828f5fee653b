#include "lmdb_sync.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

_Thread_local int (*lmdb_sync_fault)(int fd);
static _Thread_local unsigned sync_count;

static pthread_once_t next_once = PTHREAD_ONCE_INIT;
static int (*next_fdatasync)(int fd);

/* Not the C library's by name: there may be others in between, such as a preloaded one. */
static void find_next(void)
{
    void *found = dlsym(RTLD_NEXT, "fdatasync");

    *(void **)(&next_fdatasync) = found;
}

void lmdb_sync_begin(void)
{
    sync_count = 0;
}

unsigned lmdb_sync_count(void)
{
    return sync_count;
}

int fdatasync(int fd)
{
    int rc = lmdb_sync_fault ? lmdb_sync_fault(fd) : 0;

    sync_count++;
    (void)pthread_once(&next_once, find_next);
    if (rc != 0) {
        errno = rc;
        return -1;
    }
    return next_fdatasync ? next_fdatasync(fd) : fsync(fd);
}
