/* One message from outside, whichever road it came by, read into the command that receives it: JSON
 * of our own (product: an envelope with messageId and payload), or a CloudEvent in structured or
 * binary mode. HTTP, the brokers and a retry of what could not be read all come here, so the same
 * bytes mean the same, and are told the same faults, on every road.
 *
 * Which topics are taken is the caller's to say. The id of a message names its content: another
 * content under the same id is told by `content` of the command (receive_message). */
#ifndef ORDERLY_INFRA_INBOUND_MESSAGE_IN_H
#define ORDERLY_INFRA_INBOUND_MESSAGE_IN_H
#include "orderly/app/command.h"
#include "orderly/infra/inbound/cloud_in.h"
#include "orderly/infra/render/cloud_event.h"

/* ---- topics ---------------------------------------------------------------------------------- */

/* Bits 1 << enum event_type: what an outside context may publish to a server that has all contexts. */
uint64_t message_types_outside(void);

enum message_topic {
    TOPIC_FINE,
    TOPIC_ORDERS,    /* order.*, where it is not taken: only the server itself speaks for orders */
    TOPIC_ELSEWHERE, /* one of ours that is not taken here */
    TOPIC_UNKNOWN,
};
enum message_topic message_topic_of(uint64_t types, struct str topic, enum event_type *type);
#define TOPIC_ORDERS_DETAIL "Only the server itself speaks for orders."

/* ---- reading --------------------------------------------------------------------------------- */

struct message_in {
    /* Set by the caller; borrowed. */
    struct json_in *in; /* memory, and the faults */
    const struct cloud_config
        *cloud;        /* its prefix of types is ours; events without it are read too */
    uint64_t types;    /* of topics that are taken */
    struct str topic;  /* as the road says it; empty: the message itself does */
    struct str id;     /* likewise; an envelope without a messageId takes it */
    struct str prefix; /* of header fields, for faults: `ce-` */
    /* datacontenttype may be one of them: NATS has no other place for it, and Kafka's libraries say it
     * twice. Over HTTP it must not be. */
    bool has_data_type;

    /* What the message is about. A topic that is not fine is among the faults, or stands in topic. */
    enum message_topic topic_is;
};

/* The content of an envelope, to be taken before its body is parsed, as that is done in place. */
struct digest16 message_in_content(struct str topic, struct str body);
/* root: of the body. `out` is zeroed but for its command, and complete where no faults were added;
 * then its views are of the body and of the arena. */
void message_in_envelope(struct message_in *m, struct yyjson_val *root,
                         const struct digest16 *content, struct receive_message *out);
/* A CloudEvent in structured mode; at: one of a batch, NULL: the body. */
void message_in_event(struct message_in *m, struct yyjson_val *event, const struct json_path *at,
                      struct receive_message *out);
/* In binary mode. m->prefix empty: faults are told of the members of the same event as JSON. */
void message_in_binary(struct message_in *m, const struct cloud_header *headers, unsigned n,
                       struct yyjson_val *root, struct receive_message *out);

/* ---- from bytes ------------------------------------------------------------------------------ */

/* Another form than JSON, by its media type: makes of the body what the binary mode of a CloudEvent
 * has, attributes and the payload as a JSON object. ERR_INVALID: *why says what is wrong. Everything
 * is memory of the arena. */
struct message_form {
    struct str media_type; /* application/cloudevents+protobuf */
    enum err (*open)(struct arena *a, struct str body, struct cloud_header **headers, unsigned *n,
                     struct str *json, struct str *why);
};

/* What a form has opened is read in binary mode, but has no header fields. */
void message_in_opened(struct message_in *m);

/* As a road hands it over. */
struct message_said {
    struct str topic, id;    /* may be empty */
    struct str content_type; /* empty: JSON */
    const struct cloud_header *headers;
    unsigned n_headers;
    struct str body;   /* any bytes; they stay as they are */
    bool is_too_large; /* of the body only the beginning is there */
};

enum message_result {
    MESSAGE_FINE,
    MESSAGE_ELSEWHERE,     /* on a topic that is not taken here: not for us */
    MESSAGE_UNKNOWN_TOPIC, /* the faults may say more */
    MESSAGE_TOO_LARGE,
    MESSAGE_UNKNOWN_FORM, /* by its content type */
    MESSAGE_MALFORMED,    /* no JSON, or not of this form */
    MESSAGE_INVALID,      /* m->in has the faults */
};
/* m->topic and m->id are taken from `said`. forms may be NULL. *why: for people, of all results but
 * MESSAGE_FINE, MESSAGE_ELSEWHERE and MESSAGE_INVALID. */
enum message_result message_in_read(struct message_in *m, const struct message_said *said,
                                    const struct message_form *forms, unsigned n_forms,
                                    struct receive_message *out, struct str *why);
/* All that is wrong, in at most max bytes of one line; memory of the arena. */
struct str message_in_detail(struct message_in *m, struct str why, size_t max);
#endif
