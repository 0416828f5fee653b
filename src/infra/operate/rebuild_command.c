/* orderly rebuild: rebuild.h for people. */
#include "commands.h"
#include "frame.h"
#include "rebuild.h"
#include <unistd.h>

#define FAULT_LINES_MAX 100
#define LINE_EVERY_US 5000000 /* of progress, where there is no terminal */

struct rebuild_state {
    uint64_t n_lines;
    const char *phase; /* of the last line of progress */
    int64_t line_us;
};

static void on_fault(void *ctx, const char *line)
{
    struct operate *op = ctx;
    struct rebuild_state *s = op->state;

    if (s->n_lines++ >= FAULT_LINES_MAX)
        return;
    operate_progress_end(op);
    operate_add_text(&op->out, str_of(line), VERIFY_LINE_MAX);
    buf_add_str(&op->out, STR("\n"));
    (void)!operate_flush(op);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t about)
{
    struct operate *op = ctx;
    struct rebuild_state *s = op->state;
    int64_t now_us = operate_now_us();

    if (isatty(STDERR_FILENO)) {
        operate_progress(op, what, done, about);
        return;
    }
    if (s->phase && strcmp(s->phase, what) == 0 && now_us - s->line_us < LINE_EVERY_US)
        return;
    s->phase = what;
    s->line_us = now_us;
    if (about > 0)
        (void)fprintf(stderr, "%s: %llu of %llu\n", what, (unsigned long long)done,
                      (unsigned long long)about);
    else
        (void)fprintf(stderr, "%s\n", what);
}

static void say_difference(struct operate *op, enum store_db db, const struct rebuild_difference *d)
{
    buf_printf(&op->out, "%-22s", store_db_name(db));
    if (d->missing)
        buf_printf(&op->out, " %llu missing", (unsigned long long)d->missing);
    if (d->wrong)
        buf_printf(&op->out, " %llu wrong", (unsigned long long)d->wrong);
    if (d->too_many)
        buf_printf(&op->out, " %llu too many", (unsigned long long)d->too_many);
    buf_add_str(&op->out, STR("\n"));
}

static void say_done(struct operate *op, const struct rebuild *r, int64_t us)
{
    bool differs = false;

    for (unsigned db = 0; db < STORE_DB_COUNT && r->is_compared; db++) {
        const struct rebuild_difference *d = &r->differences[db];

        if (d->missing == 0 && d->wrong == 0 && d->too_many == 0)
            continue;
        differs = true;
        say_difference(op, (enum store_db)db, d);
    }
    if (!r->is_compared)
        buf_add_str(&op->out, STR("what was wrong can't be told: its pages are broken\n"));
    else if (!differs)
        buf_add_str(&op->out, STR("nothing was wrong\n"));
    buf_printf(&op->out, "made anew from %llu events and verified: %llu rows, in %.1f s\n",
               (unsigned long long)r->events, (unsigned long long)r->rows, (double)us / 1e6);
}

static int say_failed(struct operate *op, enum err err, struct lmdb_build *b,
                      const struct rebuild *r)
{
    const struct rebuild_state *s = op->state;

    operate_progress_end(op);
    if (s->n_lines > FAULT_LINES_MAX)
        buf_printf(&op->out, "and %llu faults more\n",
                   (unsigned long long)(s->n_lines - FAULT_LINES_MAX));
    (void)!operate_flush(op);
    if (err == ERR_DAMAGED)
        operate_complain(
            "%s was left as it is: %llu fault%s in what no event makes; restore it from "
            "a backup",
            op->data, (unsigned long long)r->n_faults, r->n_faults == 1 ? "" : "s");
    else
        operate_complain("%s was left as it is: %s", op->data, rebuild_why(b));
    return operate_exit_code(err);
}

static int rebuild_run(struct operate *op)
{
    struct rebuild r = { .on_fault = on_fault, .on_progress = on_progress, .ctx = op };
    int64_t started_us = operate_now_us();
    struct lmdb_report report;
    struct lmdb_build *b;
    enum err err = lmdb_build_begin(op->data, &b, &report);
    int code = EX_OK;

    if (err != ERR_OK) {
        operate_complain("%s", report.why);
        return operate_exit_code(err);
    }
    err = rebuild_store(b, &r);
    if (err == ERR_OK)
        err = lmdb_build_adopt(b);
    operate_progress_end(op);
    if (err == ERR_OK)
        say_done(op, &r, operate_now_us() - started_us);
    else
        code = say_failed(op, err, b, &r);
    lmdb_build_end(b);
    return code;
}

static void rebuild_tidy(struct operate *op)
{
    lmdb_build_tidy(op->data);
}

static const struct operate_spec rebuild_spec = {
    .name = "rebuild",
    .about =
        "Makes snapshots and lists anew from the events, on a stopped directory, and says what was\n"
        "wrong with them. What no event makes is kept: stored answers, cursors, deferred lanes,\n"
        "settings. It refuses where that, or an event, is damaged.\n"
        "\n"
        "The fresh store is made beside the old one, verified, and takes its place at once: it needs\n"
        "room for both, and whatever cuts it short leaves the old one as it was.\n",
    .examples = "  orderly rebuild --data ./orderly-data\n",
    .state_size = sizeof(struct rebuild_state),
    .opens_itself = true,
    .dies_of_a_signal = true,
    .run = rebuild_run,
    .tidy = rebuild_tidy,
};

int operate_rebuild(unsigned n_args, char *const *args)
{
    return operate_main(&rebuild_spec, n_args, args);
}
