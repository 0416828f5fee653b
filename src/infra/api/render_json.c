#include "orderly/infra/api/render_json.h"
#include "render.h"

/* A writer takes over the buffer's memory for the time of the call. */
void render_json_event(struct buf *out, const struct event *e)
{
    struct json_out o = { .buf = *out };

    render_event(&o, e);
    *out = o.buf;
}

void render_json_order(struct buf *out, const struct order *order)
{
    struct json_out o = { .buf = *out };

    REQUIRE(order->body != NULL);
    render_order(&o, order);
    *out = o.buf;
}
