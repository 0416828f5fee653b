/* The log port into memory: a test asks which lines were written. Each line is
 * `level event name=value name=value`. */
#ifndef TESTS_SUPPORT_CAPTURE_LOG_H
#define TESTS_SUPPORT_CAPTURE_LOG_H
#include "orderly/app/log.h"
#include "orderly/base/buf.h"

struct capture_log {
    struct log log;
    struct buf text;
    unsigned counts[LOG_ERROR + 1]; /* lines by level */
};

void capture_log_init(struct capture_log *c);
void capture_log_deinit(struct capture_log *c);
void capture_log_clear(struct capture_log *c);
/* How many lines hold this text. */
unsigned capture_log_count(const struct capture_log *c, const char *text);
#endif
