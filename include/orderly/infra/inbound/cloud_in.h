/* CloudEvents 1.0 from outside: the attributes of one event, as members of a JSON object (structured
 * mode) or as header fields (binary mode: `ce-…` over HTTP, what each broker has of its own), read
 * and checked in one place. Knows no road. */
#ifndef ORDERLY_INFRA_INBOUND_CLOUD_IN_H
#define ORDERLY_INFRA_INBOUND_CLOUD_IN_H
#include "orderly/infra/inbound/json_in.h"

/* Of a value, decoded; of any attribute, known or not. */
#define CLOUD_ATTRIBUTE_BYTES_MAX JSON_TEXT_BYTES_MAX
/* Events of one batch. */
#define CLOUD_BATCH_MAX 100

/* Binary mode: one header field. */
struct cloud_header {
    struct str name;     /* without its prefix, in lower case */
    struct str value;    /* as it is meant: what the road wrote for it was taken off */
    bool is_undecodable; /* that was not possible; the value means nothing */
};

enum cloud_mode {
    CLOUD_NONE, /* no CloudEvent at all */
    CLOUD_STRUCTURED,
    CLOUD_BINARY,
    CLOUD_BATCH,
    CLOUD_UNKNOWN, /* in a format that is not read here, such as application/cloudevents+avro */
};
/* By the content type, which may be empty, else by the header fields: one of the four that must be
 * there is enough. */
enum cloud_mode cloud_mode_of(struct str content_type, const struct cloud_header *headers,
                              unsigned n);

/* What is read of an event. Views of the body, of header fields and of the arena; empty: it was not
 * there, or faults were added. Whatever else it has is passed over. */
struct cloud_in {
    struct str id, source, type, correlation_id, traceparent;
    struct str data_type;    /* datacontenttype: JSON of some kind */
    struct yyjson_val *data; /* structured mode only */
    bool is_base64;          /* the data came as data_base64 */
};

/* Where the attributes of an event stand, for faults. */
struct cloud_place {
    struct json_in *in;
    struct str prefix;          /* header fields: of their names; empty: members of an object */
    bool has_data_type;         /* header fields: datacontenttype may be one of them */
    const struct json_path *at; /* of the event's object; NULL: it is the whole body */
};
void cloud_in_fault(const struct cloud_place *place, const char *attribute, const char *detail);

void cloud_in_read_object(const struct cloud_place *place, struct yyjson_val *event,
                          struct cloud_in *out);
void cloud_in_read_headers(const struct cloud_place *place, const struct cloud_header *headers,
                           unsigned n, struct cloud_in *out);
#endif
