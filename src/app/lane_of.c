#include "orderly/app/lanes.h"
#include "orderly/base/check.h"
#include "orderly/base/digest.h"

struct lane_id lane_of_text(struct str text)
{
    struct digest16 digest;
    struct lane_id lane;

    digest16_of(&digest, &text, 1);
    memcpy(lane.u.b, digest.b, sizeof(lane.u.b));
    return lane;
}

struct lane_id lane_of_correlation(struct str text)
{
    struct lane_id lane;

    if (uuid_parse(text, &lane.u))
        return lane;
    return lane_of_text(text);
}

static struct text_id text_id_of(struct str text)
{
    struct text_id id = { .n = 0 };

    REQUIRE(text.n > 0);
    if (text.n > sizeof(id.s))
        text.n = sizeof(id.s);
    memcpy(id.s, text.p, text.n);
    id.n = (uint8_t)text.n;
    return id;
}

struct text_id correlation_of_event(const struct event *e)
{
    char text[UUID_TEXT_LEN];

    if (e->stream.type == AGGREGATE_PRODUCT)
        return e->stream.id;
    if (e->p.foreign_order_id.n)
        return text_id_of(e->p.foreign_order_id);
    uuid_format(e->lane.u, text);
    return text_id_of((struct str){ text, sizeof(text) });
}
