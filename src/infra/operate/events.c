/* orderly events: what is in the log, and with --follow what comes into it.
 *
 *   waiting for a store (--follow only) -> reading pages -> the end, or following: a page a quarter
 *   of a second, until a signal, the end of --limit, a reader that goes away, or another log in
 *   the place of this one */
#include "commands.h"
#include "event_line.h"
#include "event_pages.h"
#include "orderly/app/lanes.h"
#include "orderly/infra/api/render_json.h"
#include <sys/stat.h>

#define FOLLOW_EVERY_MS 250
#define DATA_FILE "data.mdb"

enum {
    FLAG_FOLLOW,
    FLAG_TYPE,
    FLAG_ORDER,
    FLAG_AGGREGATE,
    FLAG_CORRELATION,
    FLAG_AFTER,
    FLAG_LIMIT,
    FLAG_JSON
};

struct events_state {
    struct event_query query;
    bool is_empty; /* no event can have what was asked for */
    bool after_last;
    uint64_t limit; /* UINT64_MAX: none */
    struct stat data_file;
};

/* ---- command line ----------------------------------------------------------------------------- */

static bool check_lane(struct operate *op, unsigned flag)
{
    struct events_state *s = op->state;
    struct text_id id;
    struct lane_id lane;

    if (!op->flags[flag])
        return true;
    if (!text_id_parse(str_of(op->flags[flag]), &id)) {
        operate_complain("%s must be 1 to 64 characters of A-Z a-z 0-9 . _ : -",
                         op->spec->flags[flag].name);
        return false;
    }
    lane = lane_of_correlation(text_id_str(&id));
    s->is_empty |= s->query.has_lane && !uuid_eq(s->query.lane.u, lane.u);
    s->query.has_lane = true;
    s->query.lane = lane;
    return true;
}

static bool check_type(struct operate *op)
{
    struct events_state *s = op->state;
    enum event_type type;

    if (!op->flags[FLAG_TYPE])
        return true;
    if (!event_type_parse(str_of(op->flags[FLAG_TYPE]), &type)) {
        operate_complain("'%s' is no type of event, such as OrderPlaced", op->flags[FLAG_TYPE]);
        return false;
    }
    s->query.has_types = true;
    s->query.types[type] = true;
    return true;
}

static bool check_aggregate(struct operate *op)
{
    struct events_state *s = op->state;
    struct text_id id;

    if (!op->flags[FLAG_AGGREGATE])
        return true;
    s->query.aggregate_id = str_of(op->flags[FLAG_AGGREGATE]);
    if (text_id_parse(s->query.aggregate_id, &id))
        return true;
    operate_complain("--aggregate must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    return false;
}

static bool check_numbers(struct operate *op)
{
    struct events_state *s = op->state;
    const char *after = op->flags[FLAG_AFTER], *limit = op->flags[FLAG_LIMIT];

    s->limit = UINT64_MAX;
    s->after_last = after && strcmp(after, "last") == 0;
    if (after && !s->after_last && !str_to_u64(str_of(after), &s->query.after)) {
        operate_complain("--after must be a position, such as 42, or 'last'");
        return false;
    }
    if (limit && (!str_to_u64(str_of(limit), &s->limit) || s->limit == 0)) {
        operate_complain("--limit must be a number of events, from 1");
        return false;
    }
    return true;
}

static bool events_check(struct operate *op)
{
    return check_type(op) && check_lane(op, FLAG_ORDER) && check_lane(op, FLAG_CORRELATION) &&
           check_aggregate(op) && check_numbers(op);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static bool stat_data_file(const struct operate *op, struct stat *out)
{
    struct buf path = { 0 };
    bool is_there;

    buf_printf(&path, "%s/" DATA_FILE, op->data);
    buf_add(&path, "", 1);
    is_there = stat(path.p, out) == 0;
    buf_deinit(&path);
    return is_there;
}

/* Waits for one where that was asked for. Returns an exit code, with op->engine set where it is 0,
 * but where a signal ended the waiting. */
static int open_store(struct operate *op)
{
    struct events_state *s = op->state;
    struct lmdb_report report;
    bool has_said = false;
    enum err err;

    for (;;) {
        err = operate_open(op, &report);
        if (err == ERR_OK)
            break;
        if (err != ERR_NOT_FOUND || !op->flags[FLAG_FOLLOW]) {
            operate_complain("%s", report.why);
            return operate_exit_code(err);
        }
        if (!has_said)
            operate_complain("waiting for a store in %s", op->data);
        has_said = true;
        if (!operate_pause(op, FOLLOW_EVERY_MS))
            return EX_OK;
    }
    (void)stat_data_file(op, &s->data_file);
    return EX_OK;
}

/* The server was started on a copy of the log, or on another one: what we look at gets no more. */
static bool is_replaced(const struct operate *op)
{
    const struct events_state *s = op->state;
    struct stat now;

    return stat_data_file(op, &now) &&
           (now.st_ino != s->data_file.st_ino || now.st_dev != s->data_file.st_dev);
}

/* ---- running ---------------------------------------------------------------------------------- */

/* Returns false when enough was written. */
static bool add_page(struct operate *op, const struct event_page *page)
{
    struct events_state *s = op->state;

    for (unsigned i = 0; i < page->n && s->limit > 0; i++, s->limit--) {
        if (op->flags[FLAG_JSON]) {
            render_json_event(&op->out, &page->events[i]);
            buf_add_str(&op->out, STR("\n"));
        } else {
            event_line_add(&op->out, &page->events[i]);
        }
    }
    return s->limit > 0;
}

static int follow(struct operate *op, struct event_pages *pages)
{
    bool goes_on = true;

    while (goes_on) {
        enum err err = event_pages_next(pages, op);

        if (err != ERR_OK)
            return operate_failed(op, err, "can't read the log");
        goes_on = add_page(op, &pages->page);
        if (pages->page.has_more) {
            goes_on = operate_flush_full(op) && goes_on;
            continue;
        }
        if (!operate_flush(op) || !op->flags[FLAG_FOLLOW])
            break;
        if (is_replaced(op)) {
            operate_complain("%s: another log has taken the place of this one; it ended behind "
                             "position %llu",
                             op->data, (unsigned long long)pages->query.after);
            return EX_UNAVAILABLE;
        }
        goes_on = goes_on && operate_pause(op, FOLLOW_EVERY_MS);
    }
    return EX_OK;
}

static int events_run(struct operate *op)
{
    struct events_state *s = op->state;
    struct event_pages pages;
    struct lmdb_state log;
    int code;

    op->is_endless = op->flags[FLAG_FOLLOW] != NULL;
    code = open_store(op);
    if (code != EX_OK || !op->engine)
        return code;
    lmdb_engine_state(op->engine, &log);
    if (s->after_last)
        s->query.after = log.last_position;
    if (s->query.after > log.last_position) {
        operate_complain("%s: the log ends at position %llu, before --after %llu", op->data,
                         (unsigned long long)log.last_position, (unsigned long long)s->query.after);
        return OPERATE_EX_NOTHING;
    }
    if (s->is_empty)
        return EX_OK;
    event_pages_init(&pages);
    s->query.limit = QUERY_LIMIT_MAX;
    pages.query = s->query;
    code = follow(op, &pages);
    event_pages_deinit(&pages);
    return code;
}

static const struct operate_spec events_spec = {
    .name = "events",
    .about = "Shows the events of the log in their order, one in a line: when, position, type, whose,\n"
             "and a few words. Several filters together show what has all of it. With --follow it\n"
             "goes on with what comes, also where there is no store yet, until SIGINT or SIGTERM.\n",
    .flags = {
        [FLAG_FOLLOW] = { "--follow", NULL, "go on with what comes" },
        [FLAG_TYPE] = { "--type", "TYPE", "only this type, such as OrderPlaced" },
        [FLAG_ORDER] = { "--order", "ID", "all that this order caused: payment, stock, shipment" },
        [FLAG_AGGREGATE] = { "--aggregate", "ID", "only the stream of this order, payment, sku, …" },
        [FLAG_CORRELATION] = { "--correlation", "ID", "all with this correlationId" },
        [FLAG_AFTER] = { "--after", "POSITION", "behind this position; 'last': what comes from now on" },
        [FLAG_LIMIT] = { "--limit", "N", "end after so many" },
        [FLAG_JSON] = { "--json", NULL, "one JSON object in a line, as GET /events gives them" },
    },
    .examples = "  orderly events --type OrderCancelled --limit 10\n"
                "  orderly events --follow --after last --json | jq .payload\n",
    .exit_codes = "  1   the log ends before --after\n"
                  "  --follow ends with 0 by a signal, and with 69 where another log takes the\n"
                  "  place of the one that it shows\n",
    .state_size = sizeof(struct events_state),
    .check = events_check,
    .opens_itself = true,
    .run = events_run,
};

int operate_events(unsigned n_args, char *const *args)
{
    return operate_main(&events_spec, n_args, args);
}
