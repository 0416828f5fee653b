/* orderly export: the log, or what is behind a position, up to where it was when we began. */
#include "commands.h"
#include "event_pages.h"
#include "orderly/infra/api/render_json.h"
#include <unistd.h>

enum { FLAG_JSONL, FLAG_AFTER };

struct export_state {
    uint64_t after;
};

static bool export_check(struct operate *op)
{
    struct export_state *s = op->state;
    const char *after = op->flags[FLAG_AFTER];

    if (!op->flags[FLAG_JSONL]) {
        operate_complain("export needs a format: --jsonl is the one there is");
        return false;
    }
    if (!after || str_to_u64(str_of(after), &s->after))
        return true;
    operate_complain("--after must be a position, such as 42");
    return false;
}

struct export_run {
    struct operate *op;
    struct lmdb_state log; /* when we began */
    uint64_t n, first, last;
};

/* Returns false behind the end. */
static bool export_page(struct export_run *x, const struct event_page *page)
{
    for (unsigned i = 0; i < page->n; i++) {
        const struct event *e = &page->events[i];

        if (e->position > x->log.last_position)
            return false;
        render_json_event(&x->op->out, e);
        buf_add_str(&x->op->out, STR("\n"));
        if (x->n++ == 0)
            x->first = e->position;
        x->last = e->position;
    }
    return x->last < x->log.last_position;
}

static void say_summary(const struct export_run *x)
{
    char hex[2 * sizeof(x->log.last_sum) + 1];

    for (size_t i = 0; i < sizeof(x->log.last_sum); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", x->log.last_sum[i]);
    if (x->n == 0)
        (void)fprintf(stderr, "exported no events");
    else
        (void)fprintf(stderr, "exported %llu event%s, positions %llu to %llu",
                      (unsigned long long)x->n, x->n == 1 ? "" : "s", (unsigned long long)x->first,
                      (unsigned long long)x->last);
    (void)fprintf(stderr, "; the chain ends at position %llu with %s\n",
                  (unsigned long long)x->log.last_position, hex);
}

static int export_all(struct export_run *x, struct event_pages *pages)
{
    bool shows_progress = !isatty(STDOUT_FILENO);
    bool goes_on = pages->query.after < x->log.last_position;

    while (goes_on) {
        enum err err = event_pages_next(pages, x->op);

        if (err != ERR_OK)
            return operate_failed(x->op, err, "can't read the log");
        goes_on = export_page(x, &pages->page) && operate_flush_full(x->op);
        if (shows_progress)
            operate_progress(x->op, "exporting", x->last, x->log.last_position);
    }
    if (!operate_flush(x->op))
        return EX_OK; /* the frame says why */
    operate_progress_end(x->op);
    if (x->last < x->log.last_position && pages->query.after < x->log.last_position)
        return operate_failed(x->op, ERR_DAMAGED, "the end of the log is missing");
    say_summary(x);
    return EX_OK;
}

static int export_run(struct operate *op)
{
    const struct export_state *s = op->state;
    struct export_run x = { .op = op };
    struct event_pages pages;
    int code;

    lmdb_engine_state(op->engine, &x.log);
    if (s->after > x.log.last_position) {
        operate_complain("%s: the log ends at position %llu, before --after %llu", op->data,
                         (unsigned long long)x.log.last_position, (unsigned long long)s->after);
        return OPERATE_EX_NOTHING;
    }
    event_pages_init(&pages);
    pages.query.after = s->after;
    code = export_all(&x, &pages);
    event_pages_deinit(&pages);
    return code;
}

static const struct operate_spec export_spec = {
    .name = "export",
    .about = "Writes all events up to now as JSON lines, as GET /events gives them, for duckdb, sqlite,\n"
             "jq and the like. At its end it says on stderr how many there were, from which position to\n"
             "which, and the checksum of the end of the chain: two logs with the same one are the same.\n"
             "An export that did not say so is not complete.\n",
    .flags = {
        [FLAG_JSONL] = { "--jsonl", NULL, "one JSON object in a line; the format must be named" },
        [FLAG_AFTER] = { "--after", "POSITION", "only what lies behind: the last one of the export before" },
    },
    .examples = "  orderly export --jsonl > events.jsonl\n"
                "  duckdb -c \"select eventType, count(*) from 'events.jsonl' group by 1\"\n",
    .exit_codes = "  1   the log ends before --after: it is another one, or was restored\n",
    .state_size = sizeof(struct export_state),
    .check = export_check,
    .run = export_run,
};

int operate_export(unsigned n_args, char *const *args)
{
    return operate_main(&export_spec, n_args, args);
}
