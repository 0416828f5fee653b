/* orderly verify: verify.h for people. */
#include "commands.h"
#include "frame.h"
#include "verify.h"

#define FAULT_LINES_MAX 100

struct verify_state {
    uint64_t n_lines;
};

static void on_fault(void *ctx, const char *line)
{
    struct operate *op = ctx;
    struct verify_state *s = op->state;

    if (s->n_lines++ >= FAULT_LINES_MAX)
        return;
    operate_progress_end(op);
    operate_add_text(&op->out, str_of(line), VERIFY_LINE_MAX);
    buf_add_str(&op->out, STR("\n"));
    /* At once, as the next page may end this process; but a reader that has stalled must not hold
     * the moment that the store shows us. */
    operate_flush_ready(op);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t about)
{
    operate_progress(ctx, what, done, about);
}

static bool is_stopped(void *ctx)
{
    (void)ctx;
    return operate_is_stopped();
}

static void say_checked(struct operate *op, const struct verify *v, int64_t us)
{
    const struct {
        const char *what, *how;
        uint64_t n;
    } lines[] = {
        { "rows", "sums", v->rows },
        { "events", "chain, positions", v->rows_of[DB_EVENTS] },
        { "orders", "played again, money", v->orders },
        { "payments", "played again", v->payments },
        { "reservations", "played again", v->reservations },
        { "shipments", "played again", v->shipments },
        { "carts", "played again", v->carts },
        { "products", "played again, stock", v->products },
        { "rows of lists", "both ways",
          v->list_rows + v->rows_of[DB_BY_LANE] + v->rows_of[DB_BY_TYPE] + v->letters },
        { "dead letters", "with their events", v->letters },
        { "deferred lanes", "with their messages", v->lanes },
        { "stored answers", "with their expiry", v->keys },
    };
    double seconds = (double)us / 1e6;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        buf_printf(&op->out, "%14llu %-15s %s\n", (unsigned long long)lines[i].n, lines[i].what,
                   lines[i].how);
    buf_printf(&op->out, "to position %llu, %llu bytes, in %.1f s\n",
               (unsigned long long)v->last_position, (unsigned long long)v->bytes, seconds);
}

static int say_damage(struct operate *op, const struct verify *v)
{
    const struct verify_state *s = op->state;

    if (s->n_lines > FAULT_LINES_MAX)
        buf_printf(&op->out, "and %llu faults more\n",
                   (unsigned long long)(s->n_lines - FAULT_LINES_MAX));
    if (v->is_cut_short)
        buf_add_str(&op->out,
                    STR("not compared, as events can't be read: stock, counts, dead letters\n"));
    (void)!operate_flush(op);
    operate_complain("%s is damaged, %llu fault%s: %s", op->data, (unsigned long long)v->n_faults,
                     v->n_faults == 1 ? "" : "s",
                     v->n_faults_unmade > 0
                         ? "restore it from a backup"
                         : "all in rows that 'orderly rebuild' makes anew from the events");
    return EX_DATAERR;
}

static int verify_run(struct operate *op)
{
    struct lmdb_look *look = lmdb_look_create(op->engine);
    struct verify v = {
        .on_fault = on_fault, .on_progress = on_progress, .is_stopped = is_stopped, .ctx = op
    };
    int64_t started_us = operate_now_us();
    enum err err = verify_store(look, &v);
    int code = EX_OK;

    operate_progress_end(op);
    if (err == ERR_IO)
        operate_complain("%s: can't be read: %s", op->data, lmdb_look_why(look, NULL));
    lmdb_look_destroy(look); /* before anything is written that may wait for its reader */
    if (err == ERR_OK || err == ERR_DAMAGED)
        say_checked(op, &v, operate_now_us() - started_us);
    if (err == ERR_OK)
        buf_add_str(&op->out, STR("all is well\n"));
    else if (err == ERR_DAMAGED)
        code = say_damage(op, &v);
    else if (err == ERR_CANCELED)
        code = 128 + operate_signal();
    return err == ERR_IO ? EX_IOERR : code;
}

static const struct operate_spec verify_spec = {
    .name = "verify",
    .about =
        "Checks that everything that is stored is what the events say, and changes nothing: every\n"
        "sum and the chain of the events, positions without a hole, every order, payment,\n"
        "reservation, shipment, cart and product played again from its events, every list in both\n"
        "directions, stock and money. A server may go on meanwhile.\n"
        "\n"
        "Each fault is one line: the database, the row, and what is wrong with it. At most 100 are\n"
        "printed, then their number.\n",
    .examples = "  orderly verify\n"
                "  orderly verify --data /backups/2026-11-20\n",
    .state_size = sizeof(struct verify_state),
    .run = verify_run,
};

int operate_verify(unsigned n_args, char *const *args)
{
    return operate_main(&verify_spec, n_args, args);
}
