/* The payload of a message, field by field: which fields a topic has, and which of them must
 * be there, says the event catalogue; a field that it does not know is passed over. */
#ifndef ORDERLY_INFRA_INBOUND_PAYLOAD_IN_H
#define ORDERLY_INFRA_INBOUND_PAYLOAD_IN_H
#include "orderly/domain/event.h"
#include "orderly/infra/inbound/json_in.h"

/* at: where the object stands in the body; NULL: it is the body. Views of the body and of in's
 * arena. */
void payload_in_read(struct json_in *in, struct yyjson_val *object, const struct json_path *at,
                     enum event_type type, struct payload *out);
#endif
