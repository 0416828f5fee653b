/* Files that hold secrets: regular, and of a mode that lets nobody else read or write them. */
#ifndef ORDERLY_INFRA_SECRET_FILE_H
#define ORDERLY_INFRA_SECRET_FILE_H
#include "orderly/base/err.h"
#include <stddef.h>

#define SECRET_FILE_WHY_MAX 256

/* Reads the whole file into `out` and sets *n; what is there after an error is of no use. It waits for
 * the disk. ERR_IO: it can't be opened or read. ERR_INVALID: it is no regular file, is open to others,
 * or is larger than `max` bytes. `why` says it for people, without the path. Whoever has read it
 * clears the memory afterwards (explicit_bzero). */
MUST_CHECK enum err secret_file_read(const char *path, char *out, size_t max, size_t *n,
                                     char why[SECRET_FILE_WHY_MAX]);
#endif
