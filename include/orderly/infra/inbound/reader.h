/* How this server reads messages from outside that come by a broker: which topics it takes, whose
 * prefix of types is ours, and what forms there are beside JSON. One for each relay, or one for all;
 * also what the app reads refused messages with when they are retried (app/message_reader.h). Pure. */
#ifndef ORDERLY_INFRA_INBOUND_READER_H
#define ORDERLY_INFRA_INBOUND_READER_H
#include "orderly/app/message_reader.h"
#include "orderly/infra/inbound/message_in.h"

struct inbound_reader {
    struct message_reader base;
    /* Set by the caller after init; borrowed. */
    struct cloud_config cloud; /* its type prefix */
    uint64_t types;            /* bits of topics that are taken; init: message_types_outside() */
    const struct message_form *forms;
    unsigned n_forms;
};
void inbound_reader_init(struct inbound_reader *r);
/* in: with its arena, no faults yet; they are of m->in afterwards. *out as by message_in_read. */
enum message_result inbound_reader_read(const struct inbound_reader *r, struct message_in *m,
                                        struct json_in *in, const struct message_said *said,
                                        struct receive_message *out, struct str *why);
/* What a sender is told of a message that was received, whose id is valid. The same on every road, as
 * the message may come again by another one. */
struct answer inbound_receipt(struct arena *a, struct str message_id, uint64_t position);
#endif
