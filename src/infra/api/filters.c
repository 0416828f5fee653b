#include "filters.h"
#include "orderly/app/lanes.h"

/* A lane by one of its names; two lanes that differ have nothing in common. */
static void param_lane(struct call *c, struct json_in *in, const char *name, struct event_query *q,
                       bool *is_empty)
{
    struct str text;
    struct text_id id;
    struct lane_id lane;

    if (!call_param(c, name, &text))
        return;
    if (!text_id_parse(text, &id)) {
        call_fault(in, name, "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
        return;
    }
    lane = lane_of_correlation(text);
    if (q->has_lane && !uuid_eq(q->lane.u, lane.u))
        *is_empty = true;
    q->has_lane = true;
    q->lane = lane;
}

bool filter_events(struct call *c, struct json_in *in, struct event_query *q)
{
    enum event_type type;
    struct str text;
    struct text_id id;
    bool is_empty = false;

    if (call_param(c, "eventType", &text)) {
        if (event_type_parse(text, &type)) {
            q->has_types = true;
            q->types[type] = true;
        } else {
            call_fault(in, "eventType", "is no type of event");
        }
    }
    if (call_param(c, "aggregateId", &text)) {
        if (text_id_parse(text, &id))
            q->aggregate_id = text;
        else
            call_fault(in, "aggregateId", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    }
    param_lane(c, in, "orderId", q, &is_empty);
    param_lane(c, in, "correlationId", q, &is_empty);
    return !is_empty;
}

void filter_messages(struct call *c, struct json_in *in, struct event_query *q)
{
    struct str topic;

    if (!event_query_set_topics(q, call_param(c, "topic", &topic) ? topic : STR("*")))
        call_fault(in, "topic", "must be a topic such as order.placed, order.* or *");
}
