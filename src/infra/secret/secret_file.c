#include "orderly/infra/secret/secret_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err read_whole(int fd, char *out, size_t max, size_t *n, char *why)
{
    char beyond;

    *n = 0;
    for (;;) {
        bool is_full = *n == max;
        ssize_t got = read(fd, is_full ? &beyond : out + *n, is_full ? 1 : max - *n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)snprintf(why, SECRET_FILE_WHY_MAX, "it can't be read: %s", strerror(errno));
            return ERR_IO;
        }
        if (got == 0)
            return ERR_OK;
        if (is_full) {
            (void)snprintf(why, SECRET_FILE_WHY_MAX, "it is larger than %zu bytes", max);
            return ERR_INVALID;
        }
        *n += (size_t)got;
    }
}

enum err secret_file_read(const char *path, char *out, size_t max, size_t *n,
                          char why[SECRET_FILE_WHY_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    enum err err = ERR_INVALID;

    if (fd < 0) {
        (void)snprintf(why, SECRET_FILE_WHY_MAX, "it can't be opened: %s", strerror(errno));
        return ERR_IO;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        (void)snprintf(why, SECRET_FILE_WHY_MAX, "it is no regular file");
    else if (st.st_mode & 077)
        (void)snprintf(why, SECRET_FILE_WHY_MAX,
                       "its mode is %04o; others may not use it, chmod 600 it",
                       (unsigned)(st.st_mode & 07777));
    else
        err = read_whole(fd, out, max, n, why);
    (void)close(fd);
    return err;
}
