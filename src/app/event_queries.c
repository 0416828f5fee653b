/* Events in log order, by the narrowest indexes that the filters allow.
 *
 * A query has one or more sources: prefixes of an index whose keys end in a position. The source
 * that is furthest back gives the next event, so the answer is in log order whatever it is put
 * together from. */
#include "orderly/app/event_codec.h"
#include "orderly/app/lanes.h"
#include "orderly/app/queries.h"
#include "orderly/base/bytes.h"
#include <limits.h>

#define POSITION_LEN 8
#define UUID_LEN 16
/* More types than this are most of the log, which is then read as it is. */
#define TYPES_BY_INDEX_MAX 8
#define SOURCES_MAX (TYPES_BY_INDEX_MAX + 4)

struct source {
    enum store_db db;
    char prefix[UUID_LEN];
    size_t prefix_len;
    uint64_t next; /* position that it gives next; UINT64_MAX: none left */
};
struct sources {
    struct source list[SOURCES_MAX];
    unsigned n;
};

static void sources_add(struct sources *s, enum store_db db, const void *prefix, size_t n)
{
    struct source *source = &s->list[s->n++];

    REQUIRE(s->n <= SOURCES_MAX);
    REQUIRE(n <= sizeof(source->prefix));
    source->db = db;
    source->prefix_len = n;
    if (n)
        memcpy(source->prefix, prefix, n);
}

static void sources_add_lane(struct sources *s, struct lane_id lane)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (memcmp(s->list[i].prefix, lane.u.b, UUID_LEN) == 0)
            return;
    }
    sources_add(s, DB_BY_LANE, lane.u.b, UUID_LEN);
}

/* Which lanes can hold a stream of this id: an order's or a cart's own, a product's, and those of
 * the payment, reservation or shipment that has the id. */
static enum err add_lanes_of_aggregate(struct sources *s, const struct store_view *v,
                                       struct arena *a, struct str id)
{
    static const enum aggregate parts[] = { AGGREGATE_PAYMENT, AGGREGATE_RESERVATION,
                                            AGGREGATE_SHIPMENT };
    char key[1 + TEXT_ID_MAX];
    struct lane_id lane;
    struct str value;

    sources_add_lane(s, lane_of_correlation(id));
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        enum err e;

        key[0] = (char)parts[i];
        memcpy(key + 1, id.p, id.n);
        e = store_get(v, DB_OWNERS, (struct str){ key, 1 + id.n }, a, &value);
        if (e == ERR_NOT_FOUND)
            continue;
        if (e != ERR_OK)
            return e;
        if (value.n != UUID_LEN)
            return ERR_DAMAGED;
        memcpy(lane.u.b, value.p, UUID_LEN);
        sources_add_lane(s, lane);
    }
    return ERR_OK;
}

static void add_types(struct sources *s, const bool types[EVENT_TYPE_COUNT])
{
    unsigned n = 0;

    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
        n += types[t];
    if (n > TYPES_BY_INDEX_MAX) {
        sources_add(s, DB_EVENTS, NULL, 0);
        return;
    }
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        char prefix[2];

        if (!types[t])
            continue;
        bytes_put_u16(prefix, (uint16_t)t);
        sources_add(s, DB_BY_TYPE, prefix, sizeof(prefix));
    }
}

/* A subscription's stream lies in the lanes of many orders; only its types lead there. */
static bool is_subscription(struct str id)
{
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (str_eq(id, subscription_name((enum subscription_id)i)))
            return true;
    }
    return false;
}

static enum err sources_init(struct sources *s, const struct store_view *v, struct arena *a,
                             const struct event_query *q)
{
    bool types[EVENT_TYPE_COUNT] = { false };

    s->n = 0;
    if (q->has_lane) {
        sources_add_lane(s, q->lane);
    } else if (q->aggregate_id.n && !is_subscription(q->aggregate_id)) {
        return add_lanes_of_aggregate(s, v, a, q->aggregate_id);
    } else if (q->has_types) {
        add_types(s, q->types);
    } else if (q->aggregate_id.n) {
        for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
            types[t] = event_infos[t].aggregate == AGGREGATE_SUBSCRIPTION;
        add_types(s, types);
    } else {
        sources_add(s, DB_EVENTS, NULL, 0);
    }
    return ERR_OK;
}

/* Sets source->next to its first position behind `after`; for DB_EVENTS the row comes along. */
static enum err source_advance(struct source *s, const struct store_view *v, struct arena *a,
                               uint64_t after, struct str *row)
{
    char key[UUID_LEN + POSITION_LEN];
    struct str found, value;
    enum err e;

    memcpy(key, s->prefix, sizeof(s->prefix));
    bytes_put_u64(key + s->prefix_len, after);
    e = store_seek(v, s->db, STORE_GT, (struct str){ key, s->prefix_len + POSITION_LEN }, a, &found,
                   &value);
    s->next = UINT64_MAX;
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    if (found.n == s->prefix_len + POSITION_LEN && memcmp(found.p, key, s->prefix_len) == 0) {
        s->next = bytes_get_u64(found.p + s->prefix_len);
        if (s->db == DB_EVENTS)
            *row = value;
    }
    return ERR_OK;
}

bool event_query_fits(const struct event_query *q, const struct event *e)
{
    if (q->has_types && !q->types[e->type])
        return false;
    if (q->has_lane && !uuid_eq(e->lane.u, q->lane.u))
        return false;
    return q->aggregate_id.n == 0 || str_eq(text_id_str(&e->stream.id), q->aggregate_id);
}

static enum err read_row(const struct store_view *v, struct arena *a, uint64_t position,
                         struct str *row)
{
    char key[POSITION_LEN];

    bytes_put_u64(key, position);
    return store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, a, row);
}

/* The source whose next position is the lowest; NULL: all are at their end. */
static struct source *sources_first(struct sources *s)
{
    struct source *first = NULL;

    for (unsigned i = 0; i < s->n; i++) {
        if (s->list[i].next != UINT64_MAX && (!first || s->list[i].next < first->next))
            first = &s->list[i];
    }
    return first;
}

enum err query_events(const struct store_view *v, struct arena *a, const struct event_query *q,
                      struct event_page *out)
{
    struct sources sources;
    struct source *source;
    struct str row = STR_NONE;
    uint64_t seen = q->after, upto = q->upto ? q->upto : UINT64_MAX;
    unsigned n_rows = 0, rows_max = q->rows_max ? q->rows_max : UINT_MAX;
    enum err e;

    REQUIRE(q->limit >= 1);
    REQUIRE(q->limit <= QUERY_LIMIT_MAX);
    *out = (struct event_page){ .events = arena_alloc(a, q->limit * sizeof(struct event)) };
    e = sources_init(&sources, v, a, q);
    for (unsigned i = 0; e == ERR_OK && i < sources.n; i++)
        e = source_advance(&sources.list[i], v, a, q->after, &row);
    while (e == ERR_OK && (source = sources_first(&sources))) {
        struct event event;

        if (source->next > upto)
            break;
        /* Late ones have more even where nothing fits any more; who goes on finds out. */
        if (out->n == q->limit || n_rows == rows_max || a->total > QUERY_BYTES_MAX ||
            (n_rows > 0 && v->ops->is_late(v))) {
            out->has_more = true;
            out->next = seen;
            break;
        }
        seen = source->next;
        n_rows++;
        if (source->db != DB_EVENTS)
            e = read_row(v, a, seen, &row);
        if (e == ERR_NOT_FOUND)
            store_contradicts(v, source->db);
        if (e == ERR_OK)
            e = event_decode(row, seen, &event, a);
        if (e == ERR_NOT_FOUND) /* an index row without its event */
            e = ERR_DAMAGED;
        if (e == ERR_OK && event_query_fits(q, &event))
            out->events[out->n++] = event;
        if (e == ERR_OK)
            e = source_advance(source, v, a, seen, &row);
    }
    return e;
}

/* ---- one event ------------------------------------------------------------------------------- */

enum err query_event(const struct store_view *v, struct arena *a, struct event_id id,
                     struct event *out)
{
    char key[POSITION_LEN];
    struct str found, row;
    uint64_t low = 1, high;
    enum err e;

    memset(key, 0xff, sizeof(key));
    e = store_seek(v, DB_EVENTS, STORE_LE, (struct str){ key, sizeof(key) }, a, &found, &row);
    if (e != ERR_OK)
        return e;
    high = bytes_get_u64(found.p);
    while (low <= high) {
        uint64_t mid = low + (high - low) / 2;
        int order;

        bytes_put_u64(key, mid); /* the log has no gaps, but a seek finds its way over one */
        e = store_seek(v, DB_EVENTS, STORE_GE, (struct str){ key, sizeof(key) }, a, &found, &row);
        if (e == ERR_OK)
            e = event_decode(row, bytes_get_u64(found.p), out, a);
        if (e != ERR_OK)
            return e;
        order = memcmp(out->id.u.b, id.u.b, sizeof(id.u.b));
        if (order == 0)
            return ERR_OK;
        if (order < 0)
            low = out->position + 1;
        else
            high = mid - 1;
    }
    return ERR_NOT_FOUND;
}

/* ---- topics ---------------------------------------------------------------------------------- */

bool event_query_set_topics(struct event_query *q, struct str pattern)
{
    bool is_all = str_eq(pattern, STR("*"));
    bool is_prefix =
        pattern.n > 2 && pattern.p[pattern.n - 1] == '*' && pattern.p[pattern.n - 2] == '.';
    bool any = false;

    q->has_types = true;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct str topic = event_infos[t].topic;

        if (topic.n == 0)
            continue;
        q->types[t] =
            is_all || str_eq(topic, pattern) ||
            (is_prefix && str_starts_with(topic, (struct str){ pattern.p, pattern.n - 1 }));
        any |= q->types[t];
    }
    return any;
}
