/* orderly report money: what was charged, refunded and is due, as CSV (RFC 4180).
 *
 *   line,currency,paymentId,orderId,charged,refunded,kept,due
 *   payment,USD,payment-0199…,0199…,39.98,0.00,39.98,0.00
 *   total,USD,,,39.98,0.00,39.98,0.00
 *
 * Goes through the log order by order, by the index of the lanes, so that memory holds the payments of one order and
 * one sum for each currency, however long the log is. The index is not trusted: every event that it
 * leads to must say that it belongs there, and it must lead to all of them. What comes into the log
 * meanwhile is not in the report. */
#include "commands.h"
#include "frame.h"
#include "money_ledger.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/timetext.h"
#include "orderly/base/uuid.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define DAY_LEN 10 /* YYYY-MM-DD */
#define UUID_LEN 16
#define LANE_KEY_LEN (UUID_LEN + 8)
#define CURRENCIES_MAX 256 /* ISO 4217 has fewer */
/* Ends a look before its second is over. */
#define LOOK_OUT_BYTES (1u << 20)
#define LOOK_EVENTS 16384

enum { FLAG_DAY };

struct report_state {
    int64_t from_ms, to_ms;
};

static bool parse_day(const char *text, struct report_state *s)
{
    char time[DAY_LEN + sizeof("T00:00:00Z")];

    if (strlen(text) != DAY_LEN)
        return false;
    (void)snprintf(time, sizeof(time), "%sT00:00:00Z", text);
    if (!timetext_parse(str_of(time), &s->from_ms))
        return false;
    s->to_ms = s->from_ms + DAY_MS;
    return true;
}

static bool report_check(struct operate *op)
{
    struct report_state *s = op->state;
    const char *day = op->flags[FLAG_DAY];

    if (strcmp(op->args[0], "money") != 0) {
        operate_complain("there is no report '%s'; 'money' is the one there is", op->args[0]);
        return false;
    }
    s->from_ms = INT64_MIN;
    s->to_ms = INT64_MAX;
    if (!day || parse_day(day, s))
        return true;
    operate_complain("--day must be a day of the calendar, such as 2026-11-20");
    return false;
}

/* ---- CSV -------------------------------------------------------------------------------------- */

struct report {
    struct operate *op;
    struct lmdb_state log; /* when we began */
    struct money_ledger ledger;
    struct arena arena;

    /* Where we are. */
    char key[LANE_KEY_LEN]; /* the last one that was seen */
    bool has_key, is_over;
    bool is_order; /* the lane's first event is of an order, or of what came for one */
    uint64_t n_events;
    enum err status;

    unsigned n_totals;
    struct total {
        struct currency currency;
        struct money_sums sums;
        int64_t kept;
    } totals[CURRENCIES_MAX];
};

static void add_money(struct buf *out, int64_t minor, struct currency c)
{
    char text[MONEY_TEXT_MAX];

    buf_printf(out, ",%.*s", (int)money_to_text(minor, c, text), text);
}

/* No field holds what would need quotes: ids, codes, numbers. */
static void add_row(struct buf *out, const char *line, struct currency c, struct str payment,
                    struct str order, const struct money_sums *sums, int64_t kept)
{
    buf_printf(out, "%s,%s," STR_FMT "," STR_FMT, line, c.code, STR_ARG(payment), STR_ARG(order));
    add_money(out, sums->charged, c);
    add_money(out, sums->refunded, c);
    add_money(out, kept, c);
    add_money(out, sums->due, c);
    buf_add_str(out, STR("\r\n"));
}

static struct total *total_of(struct report *r, struct currency currency)
{
    for (unsigned i = 0; i < r->n_totals; i++)
        if (currency_eq(r->totals[i].currency, currency))
            return &r->totals[i];
    REQUIRE(r->n_totals < CURRENCIES_MAX);
    r->totals[r->n_totals] = (struct total){ .currency = currency };
    return &r->totals[r->n_totals++];
}

static bool total_add(struct total *t, const struct money_sums *s, int64_t kept)
{
    return !__builtin_add_overflow(t->sums.charged, s->charged, &t->sums.charged) &&
           !__builtin_add_overflow(t->sums.refunded, s->refunded, &t->sums.refunded) &&
           !__builtin_add_overflow(t->sums.due, s->due, &t->sums.due) &&
           !__builtin_add_overflow(t->kept, kept, &t->kept);
}

static void end_order(struct report *r)
{
    char order[UUID_TEXT_LEN];
    struct uuid lane;

    memcpy(lane.b, r->key, UUID_LEN);
    uuid_format(lane, order);
    for (unsigned i = 0; i < r->ledger.n; i++) {
        const struct money_line *line = &r->ledger.lines[i];
        int64_t kept = line->sums.charged - line->sums.refunded;

        if (!line->is_touched)
            continue;
        add_row(&r->op->out, "payment", line->currency, text_id_str(&line->payment_id),
                (struct str){ order, sizeof(order) }, &line->sums, kept);
        if (!total_add(total_of(r, line->currency), &line->sums, kept))
            r->status = ERR_LIMIT;
    }
    money_ledger_reset(&r->ledger);
}

static int currency_order(const void *a, const void *b)
{
    return strcmp(((const struct total *)a)->currency.code,
                  ((const struct total *)b)->currency.code);
}

static void add_totals(struct report *r)
{
    qsort(r->totals, r->n_totals, sizeof(r->totals[0]), currency_order);
    for (unsigned i = 0; i < r->n_totals; i++)
        add_row(&r->op->out, "total", r->totals[i].currency, STR_NONE, STR_NONE, &r->totals[i].sums,
                r->totals[i].kept);
}

/* ---- the way through the log ------------------------------------------------------------------ */

static enum err read_event(struct report *r, const struct store_view *v, struct str key,
                           struct event *e)
{
    struct str position = { key.p + UUID_LEN, 8 };
    struct str row;
    enum err err = store_get(v, DB_EVENTS, position, &r->arena, &row);

    if (err == ERR_OK)
        err = event_decode(row, bytes_get_u64(position.p), e, &r->arena);
    if (err == ERR_OK && memcmp(e->lane.u.b, key.p, UUID_LEN) != 0)
        err = ERR_DAMAGED;
    return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

static enum err take_key(struct report *r, const struct store_view *v, struct str key)
{
    bool is_first = !r->has_key || memcmp(r->key, key.p, UUID_LEN) != 0;
    struct event e;
    enum err err;

    if (is_first && r->has_key)
        end_order(r);
    memcpy(r->key, key.p, LANE_KEY_LEN);
    r->has_key = true;
    if (bytes_get_u64(key.p + UUID_LEN) > r->log.last_position)
        return ERR_OK; /* came later; the lane's first one, if this is it, is no order's either */
    r->n_events++;
    if (!is_first && !r->is_order)
        return ERR_OK;
    err = read_event(r, v, key, &e);
    if (err != ERR_OK)
        return err;
    if (is_first)
        r->is_order = e.stream.type != AGGREGATE_CART && e.stream.type != AGGREGATE_PRODUCT;
    if (r->is_order)
        money_ledger_apply(&r->ledger, &e);
    return ERR_OK;
}

static void report_look(void *ctx, const struct store_view *v)
{
    struct report *r = ctx;

    for (unsigned n = 0; n < LOOK_EVENTS && r->op->out.n < LOOK_OUT_BYTES; n++) {
        struct str key;
        enum err err;

        arena_reset(&r->arena);
        err = store_seek(v, DB_BY_LANE, STORE_GT,
                         r->has_key ? (struct str){ r->key, LANE_KEY_LEN } : STR_NONE, &r->arena,
                         &key, NULL);
        if (err == ERR_NOT_FOUND) {
            r->is_over = true;
            return;
        }
        if (err == ERR_OK && key.n != LANE_KEY_LEN)
            err = ERR_DAMAGED;
        if (err == ERR_OK)
            err = take_key(r, v, key);
        if (err != ERR_OK)
            r->status = err;
        if (r->status != ERR_OK || v->ops->is_late(v))
            return;
    }
}

static int report_end(struct report *r)
{
    if (r->has_key)
        end_order(r);
    operate_progress_end(r->op);
    if (r->status == ERR_LIMIT) {
        operate_complain("%s: a total is larger than can be printed; ask for days", r->op->data);
        return EX_DATAERR;
    }
    if (r->status != ERR_OK)
        return operate_failed(r->op, r->status, "can't read the log");
    if (r->n_events != r->log.last_position) {
        operate_complain("%s: the index by order leads to %llu of %llu events; 'orderly verify' "
                         "says more",
                         r->op->data, (unsigned long long)r->n_events,
                         (unsigned long long)r->log.last_position);
        return EX_DATAERR;
    }
    add_totals(r);
    if (operate_flush(r->op) && r->ledger.n_refused)
        (void)fprintf(stderr,
                      r->ledger.n_refused == 1
                          ? "%llu message about payments was refused (dead letter) and is not in "
                            "the report\n"
                          : "%llu messages about payments were refused (dead letters) and are not "
                            "in the report\n",
                      (unsigned long long)r->ledger.n_refused);
    return EX_OK;
}

static int report_run(struct operate *op)
{
    const struct report_state *s = op->state;
    struct report r = { .op = op };
    int code = EX_OK;

    lmdb_engine_state(op->engine, &r.log);
    money_ledger_init(&r.ledger, s->from_ms, s->to_ms);
    arena_init(&r.arena, NULL, 0);
    buf_add_str(&op->out, STR("line,currency,paymentId,orderId,charged,refunded,kept,due\r\n"));
    do {
        operate_look(op, report_look, &r);
        operate_progress(op, "reading", r.n_events, r.log.last_position);
    } while (r.status == ERR_OK && !r.is_over && operate_flush_full(op));
    if (r.is_over || r.status != ERR_OK)
        code = report_end(&r);
    arena_deinit(&r.arena);
    money_ledger_deinit(&r.ledger);
    return code;
}

static const struct operate_spec report_spec = {
    .name = "report",
    .about =
        "Writes what the events say about money as CSV: a line for each payment, in the order of its\n"
        "order, then a total for each currency.\n"
        "\n"
        "  charged   every payment that was recorded, late and second ones too, and mark-paid's\n"
        "  refunded  what was given back\n"
        "  kept      charged - refunded\n"
        "  due       what is to be given back and was not yet\n"
        "\n"
        "With --day all four hold what changed on that day, so the days add up to the whole: a refund\n"
        "that was due since yesterday and made today is -39.98 due today.\n",
    .flags = {
        [FLAG_DAY] = { "--day", "YYYY-MM-DD", "only what happened on that day, in UTC" },
    },
    .args = { "money" },
    .examples = "  orderly report money > money.csv\n"
                "  orderly report money --day 2026-11-20 | grep ^total\n",
    .state_size = sizeof(struct report_state),
    .check = report_check,
    .run = report_run,
};

int operate_report(unsigned n_args, char *const *args)
{
    return operate_main(&report_spec, n_args, args);
}
