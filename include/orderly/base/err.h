/* Failures: what a disk, a peer or a full queue can do to an operation. Business rejections are not
 * errors, they are enum rejection (domain/rejection.h). Bugs are failed checks. */
#ifndef ORDERLY_BASE_ERR_H
#define ORDERLY_BASE_ERR_H
#include "orderly/base/check.h"

/* name, text */
#define ERR_MAP(X)                                                                                 \
    X(OK, "ok")                                                                                    \
    X(BUSY, "queue is full, try again later")                                                      \
    X(FULL, "disk or map is full")                                                                 \
    X(CANCELED, "canceled before it ran")                                                          \
    X(TIMEOUT, "deadline passed")                                                                  \
    X(NOT_FOUND, "not found")                                                                      \
    X(DAMAGED, "stored data is damaged")                                                           \
    X(INVALID, "not valid")                                                                        \
    X(IO, "storage or network failed")                                                             \
    X(LIMIT, "limit reached")                                                                      \
    X(SHUTTING_DOWN, "server is shutting down")

enum err {
#define X(name, text) ERR_##name,
    ERR_MAP(X)
#undef X
};

const char *err_name(enum err e);
const char *err_text(enum err e);
#endif
