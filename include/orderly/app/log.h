/* Port: structured log lines. The adapter escapes control characters and cuts long values; never
 * hand it tokens, keys, bodies or addresses. Thread: loop. */
#ifndef ORDERLY_APP_LOG_H
#define ORDERLY_APP_LOG_H
#include "orderly/base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name;
    struct str value;
};

struct log {
    void (*write)(struct log *l, enum log_level level, const char *event,
                  const struct log_field *fields, unsigned n_fields);
    enum log_level least; /* lower levels need not be made */
};

static inline void log_write(struct log *l, enum log_level level, const char *event,
                             const struct log_field *fields, unsigned n_fields)
{
    if (level >= l->least)
        l->write(l, level, event, fields, n_fields);
}
#endif
