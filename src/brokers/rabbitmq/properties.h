/* The properties of a message, and its application headers, as they stand in a frame.
 *
 * Not by the library: it takes apart all of a table, and what is nested in it by calling itself, and
 * whoever may publish says how deep that is. Here a table or list within the headers is passed over,
 * whatever is in it. */
#ifndef ORDERLY_BROKERS_RABBITMQ_PROPERTIES_H
#define ORDERLY_BROKERS_RABBITMQ_PROPERTIES_H
#include "orderly/base/str.h"
#include <stdbool.h>

/* Views of the frame; empty: it has none. Others are not read. */
struct properties {
    struct str content_type, headers, message_id;
};

/* raw: flags and properties; of a frame that was cut off, as far as they go. False: they are none, or
 * end before they should. */
bool properties_read(struct properties *p, struct str raw);

struct header {
    struct str name;
    char kind;        /* AMQP_FIELD_KIND_… */
    struct str value; /* its bytes; of texts, tables and lists without their length */
};

/* Takes the next of the headers off the rest. False: there is none, or what is there is none. */
bool properties_next_header(struct str *rest, struct header *h);
#endif
