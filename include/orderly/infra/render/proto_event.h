/* Integration messages in protobuf: the messages of proto/orderly/v1/messages.proto, in the envelope of
 * CloudEvents' protobuf format (application/cloudevents+protobuf), as data of type Any.
 *
 * Out, the message is filled by the event catalogue: a field of a payload goes into the field of the
 * same name. In, it becomes the JSON payload that the other roads bring, and is read and checked as
 * they are; fields that this version does not know are passed over.
 *
 * Pure: any thread. */
#ifndef ORDERLY_INFRA_RENDER_PROTO_EVENT_H
#define ORDERLY_INFRA_RENDER_PROTO_EVENT_H
#include "orderly/base/arena.h"
#include "orderly/base/err.h"
#include "orderly/infra/render/cloud_event.h"

#define PROTO_TYPE_EVENT STR("application/cloudevents+protobuf")
#define PROTO_TYPE_URL_PREFIX "type.googleapis.com/orderly.v1."
/* Memory that the reading of one message may take, so that few bytes can't ask for much. */
#define PROTO_READ_BYTES_MAX (8u << 20)

/* Appends the payload alone. e is no event that came from outside. */
void proto_payload_write(struct buf *out, struct arena *a, const struct event *e);
/* Appends the whole event. */
void proto_event_write(struct buf *out, struct arena *a, const struct cloud_config *c,
                       const struct event *e);

/* What is read: texts in memory of the arena. The attributes are those of the envelope that are not
 * there by themselves, as texts. */
#define PROTO_ATTRIBUTES_MAX 24
struct proto_event {
    struct str id, source, spec_version, type;
    struct cloud_attribute attributes[PROTO_ATTRIBUTES_MAX];
    unsigned n_attributes;
    struct str data; /* JSON text: of a message of ours, or what the sender wrote as such */
    bool is_message; /* the former */
};
/* ERR_INVALID: no CloudEvent, its data are of a kind that is not read here, it has more attributes
 * than that, or a text with a NUL, which would be read up to there; *why says it.
 * ERR_LIMIT: it asks for more than PROTO_READ_BYTES_MAX. */
MUST_CHECK enum err proto_event_read(struct proto_event *out, struct arena *a, struct str bytes,
                                     const char **why);
#endif
