/* CloudEvents 1.0 from outside: the attributes of one event, as members of a JSON object (structured
 * mode) or as header fields `ce-…` (binary mode), read and checked in one place. */
#ifndef ORDERLY_INFRA_API_CLOUD_IN_H
#define ORDERLY_INFRA_API_CLOUD_IN_H
#include "call.h"

/* Of a value, decoded; of any attribute, known or not. */
#define CLOUD_ATTRIBUTE_BYTES_MAX JSON_TEXT_BYTES_MAX
/* Events of one batch. */
#define CLOUD_BATCH_MAX 100

enum cloud_mode {
    CLOUD_NONE, /* no CloudEvent at all */
    CLOUD_STRUCTURED,
    CLOUD_BINARY,
    CLOUD_BATCH,
    CLOUD_UNKNOWN, /* in a format that is not read here, such as application/cloudevents+avro */
};
/* By Content-Type, else by the header fields: one of the four that must be there is enough. */
enum cloud_mode cloud_mode_of(const struct call *c);

/* What is read of an event. Views of the body, of header fields and of the arena; empty: it was not
 * there, or faults were added. Whatever else it has is passed over. */
struct cloud_in {
    struct str id, source, type, correlation_id, traceparent;
    int64_t time_ms;         /* 0: none */
    struct yyjson_val *data; /* structured mode only */
};

/* Where the attributes of an event stand, for faults. */
struct cloud_place {
    struct json_in *in;
    bool is_header;
    const struct json_path *at; /* of the event's object; NULL: it is the whole body */
};
void cloud_in_fault(const struct cloud_place *place, const char *attribute, const char *detail);

void cloud_in_read_object(const struct cloud_place *place, struct yyjson_val *event,
                          struct cloud_in *out);
void cloud_in_read_headers(const struct cloud_place *place, const struct call *c,
                           struct cloud_in *out);
#endif
