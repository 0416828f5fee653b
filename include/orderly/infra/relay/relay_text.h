/* Texts of a relay's options beside its URL: names and lists of topics. Pure. */
#ifndef ORDERLY_INFRA_RELAY_TEXT_H
#define ORDERLY_INFRA_RELAY_TEXT_H
#include "orderly/base/str.h"
#include "orderly/domain/event.h"

/* What becomes a part of subjects, names of queues and files of the broker: not empty, of letters,
 * digits, '-' and '_'. */
bool relay_name_is_valid(struct str name);
#define RELAY_NAME_DETAIL "must be of letters, digits, '-' and '_' only"

/* What stands before the names of attributes in header fields of the broker; empty: its own way. A
 * field of NATS can't have a colon, one of AMQP's two usual prefixes has one. */
bool relay_prefix_is_valid(struct str prefix, bool takes_colon);

/* order.placed, order.*, *, with commas between; topics[] gets those that one of them is. False: *wrong
 * is the first that is no topic; empty: there is none at all. */
bool relay_topics_parse(struct str list, bool topics[EVENT_TYPE_COUNT], struct str *wrong);
#define RELAY_TOPICS_DETAIL "is no topic; they are such as order.placed, order.* or *"
#endif
