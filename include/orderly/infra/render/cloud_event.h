/* An integration message as a CloudEvent 1.0, for every road that messages leave by.
 *
 *   structured  one JSON object with the attributes and the payload as `data`
 *   binary      the attributes as names and values, the payload alone: each road puts its own prefix
 *               before the names (HTTP and NATS `ce-`, Kafka `ce_`, AMQP `cloudEvents_`), and sends
 *               the media type where it sends media types
 *
 *   id               the message's id
 *   source           configured
 *   type             the configured prefix and the topic
 *   subject,         the order's id; of messages about carts and products, theirs. What shares it
 *   partitionkey,    has an order
 *   correlationid
 *   time             when it happened
 *   datacontenttype  application/json
 *   causationid      the id of the message or event that caused it, if one did; of a message from
 *                    outside the id that its sender gave it, so that a chain can be followed from one
 *                    process to the next
 *   sequence         its position in the log, in 20 digits, since an integer of CloudEvents has 32
 *                    bits; so texts have the order of positions
 *   traceparent      of the request that caused it, if that had one
 *
 * Pure: any thread. */
#ifndef ORDERLY_INFRA_RENDER_CLOUD_EVENT_H
#define ORDERLY_INFRA_RENDER_CLOUD_EVENT_H
#include "orderly/base/timetext.h"
#include "orderly/base/uuid.h"
#include "orderly/domain/event.h"
#include "orderly/infra/render/json_out.h"

#define CLOUD_SPEC_VERSION STR("1.0")
#define CLOUD_DATA_TYPE STR("application/json")
#define CLOUD_TYPE_EVENT STR("application/cloudevents+json")
#define CLOUD_TYPE_BATCH STR("application/cloudevents-batch+json")

/* Bytes; of what is configured. */
#define CLOUD_SOURCE_MAX 256
#define CLOUD_TYPE_PREFIX_MAX 128
#define CLOUD_TOPIC_MAX 64
#define CLOUD_SEQUENCE_LEN 20
#define CLOUD_SOURCE_DEFAULT "/orderly"

/* Borrowed; valid by the two functions below. */
struct cloud_config {
    struct str source;
    struct str type_prefix; /* may be empty */
};
/* A URI reference of 1..CLOUD_SOURCE_MAX bytes. */
bool cloud_source_is_valid(struct str source);
/* At most CLOUD_TYPE_PREFIX_MAX of letters, digits and . _ : / - */
bool cloud_type_prefix_is_valid(struct str prefix);

/* How messages are written. */
enum cloud_encoding { CLOUD_ENCODING_JSON, CLOUD_ENCODING_CLOUDEVENTS };
/* False: none of `json`, `cloudevents`. */
bool cloud_encoding_parse(struct str text, enum cloud_encoding *out);

/* Appends the structured form. */
void cloud_event_write(struct json_out *o, const struct cloud_config *c, const struct event *e);

/* The binary form's attributes, all but datacontenttype. Its data are what render_payload writes.
 * Texts are as they are meant: a road that has header fields of HTTP's kind writes them by
 * percent_encode. */
#define CLOUD_ATTRIBUTES_MAX 12
struct cloud_attribute {
    struct str name, value;
};
struct cloud_attributes {
    struct cloud_attribute list[CLOUD_ATTRIBUTES_MAX];
    unsigned n;
    /* What the list points to, beside the event and the config; so it must stay where it is. */
    char id[UUID_TEXT_LEN], cause[UUID_TEXT_LEN], time[TIMETEXT_LEN], sequence[CLOUD_SEQUENCE_LEN];
    char type[CLOUD_TYPE_PREFIX_MAX + CLOUD_TOPIC_MAX];
    struct text_id subject;
};
/* They point into e and c, too. */
void cloud_attributes_of(struct cloud_attributes *out, const struct cloud_config *c,
                         const struct event *e);
#endif
