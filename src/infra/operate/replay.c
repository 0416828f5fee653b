/* orderly replay: an order as its own events made it, one after the other. */
#include "commands.h"
#include "event_pages.h"
#include "json_changes.h"
#include "orderly/app/lanes.h"
#include "orderly/base/timetext.h"
#include "orderly/domain/order.h"
#include "orderly/infra/api/render_json.h"

#define CHANGE_SHOWN_MAX 160 /* bytes of a value */

enum { FLAG_AT, FLAG_JSON };

struct replay_state {
    struct text_id id;
    uint64_t at; /* 0: all */
};

static bool replay_check(struct operate *op)
{
    struct replay_state *s = op->state;
    const char *at = op->flags[FLAG_AT];

    /* What can be no id is the id of no order. */
    if (!text_id_parse(str_of(op->args[0]), &s->id))
        s->id = (struct text_id){ .n = 0 };
    if (!at || (str_to_u64(str_of(at), &s->at) && s->at > 0))
        return true;
    operate_complain("--at must be the sequence of an event of the order, from 1");
    return false;
}

/* ---- a block ---------------------------------------------------------------------------------- */

/* Those two change with every event, and stand at its head. */
static bool is_news(const struct json_change *change)
{
    return !str_eq(change->name, STR("updatedAt")) && !str_eq(change->name, STR("sequence"));
}

static void add_for_people(struct buf *out, const struct event *e, struct str before,
                           struct str after)
{
    struct json_changes changes = { before, after };
    struct json_change change;
    char time[TIMETEXT_LEN];

    timetext_format(e->occurred_at_ms, time);
    buf_printf(out, "%llu  position %llu  %.*s  " STR_FMT "\n", (unsigned long long)e->sequence,
               (unsigned long long)e->position, TIMETEXT_LEN, time,
               STR_ARG(event_infos[e->type].type));
    while (before.n && json_changes_next(&changes, &change)) {
        if (!is_news(&change))
            continue;
        buf_printf(out, "   " STR_FMT ": ", STR_ARG(change.name));
        operate_add_text(out, change.before, CHANGE_SHOWN_MAX);
        buf_add_str(out, STR(" -> "));
        operate_add_text(out, change.after, CHANGE_SHOWN_MAX);
        buf_add_str(out, STR("\n"));
    }
    operate_add_text(out, after, after.n);
    buf_add_str(out, STR("\n\n"));
}

static void add_json(struct buf *out, const struct event *e, struct str before, struct str after)
{
    struct json_changes changes = { before, after };
    struct json_change change;
    const char *comma = "";
    char time[TIMETEXT_LEN];

    timetext_format(e->occurred_at_ms, time);
    buf_printf(out,
               "{\"sequence\":%llu,\"position\":%llu,\"eventType\":\"" STR_FMT
               "\",\"occurredAt\":\"%.*s\",\"changed\":{",
               (unsigned long long)e->sequence, (unsigned long long)e->position,
               STR_ARG(event_infos[e->type].type), TIMETEXT_LEN, time);
    while (before.n && json_changes_next(&changes, &change)) {
        if (!is_news(&change))
            continue;
        buf_printf(out, "%s\"" STR_FMT "\":{\"from\":", comma, STR_ARG(change.name));
        buf_add_str(out, change.before);
        buf_add_str(out, STR(",\"to\":"));
        buf_add_str(out, change.after);
        buf_add_str(out, STR("}"));
        comma = ",";
    }
    buf_add_str(out, STR("},\"order\":"));
    buf_add_str(out, after);
    buf_add_str(out, STR("}\n"));
}

/* ---- running ---------------------------------------------------------------------------------- */

struct replay {
    struct operate *op;
    struct order *order;
    struct buf before, after; /* the order as JSON */
    uint64_t sequence;        /* of the last event */
    bool is_over;
};

/* Returns an exit code. */
static int replay_event(struct replay *r, const struct event *e)
{
    const struct replay_state *s = r->op->state;
    struct buf swap = r->before;

    if (e->sequence != r->sequence + 1)
        return operate_failed(r->op, ERR_DAMAGED, "an event of the order is missing");
    r->sequence = e->sequence;
    order_apply(r->order, e);
    if (!r->order->body)
        return operate_failed(r->op, ERR_DAMAGED, "the order does not begin with OrderPlaced");
    r->before = r->after;
    r->after = swap;
    r->after.n = 0;
    render_json_order(&r->after, r->order);
    if (s->at > 0) {
        r->is_over = e->sequence == s->at;
        if (r->is_over) {
            buf_add_str(&r->op->out, buf_str(&r->after));
            buf_add_str(&r->op->out, STR("\n"));
        }
    } else if (r->op->flags[FLAG_JSON]) {
        add_json(&r->op->out, e, buf_str(&r->before), buf_str(&r->after));
    } else {
        add_for_people(&r->op->out, e, buf_str(&r->before), buf_str(&r->after));
    }
    return EX_OK;
}

static void query_order(struct event_query *q, const struct text_id *id)
{
    q->has_lane = true;
    q->lane = lane_of_correlation(text_id_str(id));
    q->aggregate_id = text_id_str(id);
    q->has_types = true;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
        q->types[t] = event_infos[t].aggregate == AGGREGATE_ORDER;
}

static int replay_all(struct replay *r, struct event_pages *pages)
{
    do {
        enum err err = event_pages_next(pages, r->op);

        if (err != ERR_OK)
            return operate_failed(r->op, err, "can't read the log");
        for (unsigned i = 0; i < pages->page.n && !r->is_over; i++) {
            /* Of an order that another process has. */
            bool is_heard = pages->page.events[i].stream.type == AGGREGATE_INBOX;
            int code = is_heard ? EX_OK : replay_event(r, &pages->page.events[i]);

            if (code != EX_OK)
                return code;
        }
    } while (pages->page.has_more && !r->is_over && operate_flush_full(r->op));
    return EX_OK;
}

static int replay_end(const struct replay *r)
{
    const struct replay_state *s = r->op->state;

    if (r->sequence == 0 && !operate_is_stopped()) {
        operate_complain("%s has no order '%s'", r->op->data, r->op->args[0]);
        return OPERATE_EX_NOTHING;
    }
    if (s->at > r->sequence && !operate_is_stopped()) {
        operate_complain("order %s has no event %llu, the last one is %llu", r->op->args[0],
                         (unsigned long long)s->at, (unsigned long long)r->sequence);
        return OPERATE_EX_NOTHING;
    }
    return EX_OK;
}

static int replay_run(struct operate *op)
{
    const struct replay_state *s = op->state;
    struct replay r = { .op = op, .order = order_create() };
    struct event_pages pages;
    int code = EX_OK;

    if (s->id.n) {
        event_pages_init(&pages);
        query_order(&pages.query, &s->id);
        code = replay_all(&r, &pages);
        event_pages_deinit(&pages);
    }
    if (code == EX_OK)
        code = replay_end(&r);
    buf_deinit(&r.before);
    buf_deinit(&r.after);
    order_destroy(r.order);
    return code;
}

static const struct operate_spec replay_spec = {
    .name = "replay",
    .about = "Makes an order again from its events in the log, and shows after each one what it changed\n"
             "and the order, as GET /orders/{id} would have answered then. Snapshots are not looked at.\n",
    .flags = {
        [FLAG_AT] = { "--at", "N", "only the order as it was after its event N, as JSON" },
        [FLAG_JSON] = { "--json", NULL, "one JSON object for each event, in a line" },
    },
    .args = { "ORDER" },
    .examples = "  orderly replay 0199a1f3-7c41-7d2e-9d0a-2f6f0c6f1a55\n"
                "  orderly replay 0199a1f3-7c41-7d2e-9d0a-2f6f0c6f1a55 --at 3 | jq .status\n",
    .exit_codes = "  1   no such order, or no event N of it\n",
    .state_size = sizeof(struct replay_state),
    .check = replay_check,
    .run = replay_run,
};

int operate_replay(unsigned n_args, char *const *args)
{
    return operate_main(&replay_spec, n_args, args);
}
