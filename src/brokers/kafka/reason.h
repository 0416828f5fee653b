/* Why something failed, for people: one line, whatever the broker has written into it. */
#ifndef ORDERLY_BROKERS_KAFKA_REASON_H
#define ORDERLY_BROKERS_KAFKA_REASON_H
#include "orderly/infra/relay/broker.h"
#include <librdkafka/rdkafka.h>

/* why: BROKER_WHY_MAX. */
void reason_write(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* librdkafka's own words behind ours (empty: none), without what is different each time it says them:
 * what is said again and again is to be the same. */
void reason_write_foreign(char *why, const char *what, const char *theirs);
/* What the library's word for an error means to people, before its own words; empty: nothing. */
const char *reason_of(rd_kafka_resp_err_t err);
/* It says that the broker knows other ways to log in than ours. */
bool reason_is_of_mechanism(const char *why);
/* Of a file that the configuration names, and that the library could not use: its words name a
 * property of its own. */
void reason_write_new(char *why, const struct broker_config *config, const char *theirs);
#endif
