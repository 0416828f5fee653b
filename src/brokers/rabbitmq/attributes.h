/* CloudEvents' attributes as application headers, by the AMQP binding: prefix and name, and a value
 * with a type of its own, which for a relay is its text. */
#ifndef ORDERLY_BROKERS_RABBITMQ_ATTRIBUTES_H
#define ORDERLY_BROKERS_RABBITMQ_ATTRIBUTES_H
#include "codec.h"
#include "orderly/base/arena.h"
#include "orderly/infra/relay/broker.h"

#define ATTRIBUTE_PREFIX "cloudEvents_"

/* With the origin beside them, where it is not empty. The table's keys are memory of a; its texts are
 * those of the attributes. False: a name is too long for a header, and named in why (BROKER_WHY_MAX). */
bool attributes_to_headers(struct arena *a, struct str prefix, struct str origin,
                           const struct broker_attribute *from, unsigned n, amqp_table_t *to,
                           char *why);

/* Those of the headers (properties.h) that are attributes, in their order, BROKER_ATTRIBUTES_MAX at
 * most, as memory of a; *are_more: there is another one. Numbers, booleans and times become text; a
 * header of any other type is none. An empty prefix takes either of those that the binding knows.
 * *origin: empty where they say none. */
unsigned attributes_of_headers(struct arena *a, struct str prefix, struct str headers,
                               struct broker_attribute *to, bool *are_more, struct str *origin);
#endif
