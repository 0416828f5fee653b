/* Events, and the integration messages made from them, as JSON. Pure: any thread. A part of its own,
 * so that whoever passes messages on says the same as the API, byte for byte, and needs no API. */
#ifndef ORDERLY_INFRA_RENDER_RENDER_EVENT_H
#define ORDERLY_INFRA_RENDER_RENDER_EVENT_H
#include "orderly/domain/event.h"
#include "orderly/infra/render/json_out.h"

/* The whole stored event: envelope, payload, metadata. */
void render_event(struct json_out *o, const struct event *e);
/* The integration message made from it. */
void render_message(struct json_out *o, const struct event *e);
/* What it says, without an envelope. */
void render_payload(struct json_out *o, const struct event *e);
void render_address(struct json_out *o, const struct address *a);
#endif
