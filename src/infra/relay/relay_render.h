/* A message as a broker gets it: the parts that brokers route and store by, and the bytes, in the
 * relay's encoding. Pure; one per thread. */
#ifndef ORDERLY_SRC_INFRA_RELAY_RENDER_H
#define ORDERLY_SRC_INFRA_RELAY_RENDER_H
#include "orderly/app/message.h"
#include "orderly/infra/relay/broker_relay.h"

/* Bytes of what BROKER_ORIGIN_HEADER says: the log's origin, a blank, the message's id. */
#define RELAY_ORIGIN_MAX (RELAY_LOG_ORIGIN_MAX + 1 + UUID_TEXT_LEN)

struct relay_render {
    enum relay_encoding encoding;
    enum relay_mode mode;
    struct cloud_config cloud;
    struct json_out out;
    struct arena arena;
    struct cloud_attributes attributes;
    struct broker_attribute list[CLOUD_ATTRIBUTES_MAX];
    char id[UUID_TEXT_LEN];
    struct str log_origin;
    char origin[RELAY_ORIGIN_MAX];
    struct text_id key;
};

void relay_render_init(struct relay_render *r, const struct broker_relay_config *config);
void relay_render_deinit(struct relay_render *r);
/* Everything but the tag; views that are good until the next call. */
void relay_render_message(struct relay_render *r, const struct message *m,
                          struct broker_message *out);
#endif
