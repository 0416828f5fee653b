#include "support/capture_log.h"
#include "orderly/base/list.h"
#include <string.h>

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static void capture_write(struct log *l, enum log_level level, const char *event,
                          const struct log_field *fields, unsigned n_fields)
{
    struct capture_log *c = container_of(l, struct capture_log, log);

    c->counts[level]++;
    buf_printf(&c->text, "%s %s", level_names[level], event);
    for (unsigned i = 0; i < n_fields; i++)
        buf_printf(&c->text, " %s=" STR_FMT, fields[i].name, STR_ARG(fields[i].value));
    buf_add(&c->text, "\n", 1);
}

void capture_log_init(struct capture_log *c)
{
    *c = (struct capture_log){ .log = { .write = capture_write, .least = LOG_DEBUG } };
}

void capture_log_deinit(struct capture_log *c)
{
    buf_deinit(&c->text);
}

void capture_log_clear(struct capture_log *c)
{
    c->text.n = 0;
    memset(c->counts, 0, sizeof(c->counts));
}

unsigned capture_log_count(const struct capture_log *c, const char *text)
{
    const char *at = c->text.p;
    const char *end = at ? at + c->text.n : NULL;
    size_t n = strlen(text);
    unsigned count = 0;

    while (at && at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));

        if (memmem(at, (size_t)(eol - at), text, n))
            count++;
        at = eol + 1;
    }
    return count;
}
