/* Exchange and queue: made where they are missing and may be made, otherwise only asked for. What is
 * there is taken as it is, so that an operator may have made it with arguments of his own (a quorum
 * queue, a length, a policy); to declare it with others would be an error. */
#ifndef ORDERLY_BROKERS_RABBITMQ_DECLARE_H
#define ORDERLY_BROKERS_RABBITMQ_DECLARE_H
#include "link.h"

/* The topic exchange `channel`. False: lost. */
bool declare_exchange(struct link *l, const struct broker_config *config, int64_t deadline_ms);
/* The durable queue `group`, bound to the exchange by what is listened for. False: lost. */
bool declare_queue(struct link *l, const struct broker_config *config, int64_t deadline_ms);
#endif
