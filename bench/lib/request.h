/* The request that the generator sends, laid out once. Every `{n}` in the path, a header or the body
 * stands for a number of the request's own, printed in twelve digits so that all requests have one
 * length and a new one is a copy with a few digits changed. */
#ifndef BENCH_LIB_REQUEST_H
#define BENCH_LIB_REQUEST_H
#include "orderly/base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_NUMBER_DIGITS = 12,
    REQUEST_SLOTS_MAX = 16,
};

struct request_template {
    struct buf bytes;
    size_t slots[REQUEST_SLOTS_MAX]; /* offsets of the numbers in bytes */
    size_t slots_n;
};

struct request_parts {
    const char *method;
    const char *path;
    const char *host;
    const char *const *headers; /* whole lines without their end */
    size_t headers_n;
    const char *body; /* may be NULL: then no Content-Length is sent */
    size_t body_n;
};

/* Returns NULL, or what is wrong with the parts; then t needs no deinit. */
const char *request_template_init(struct request_template *t, const struct request_parts *parts);
void request_template_deinit(struct request_template *t);
/* Writes the number into one copy of t->bytes; digits beyond the twelfth are cut. */
void request_template_stamp(const struct request_template *t, char *copy, uint64_t number);
#endif
