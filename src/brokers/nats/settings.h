/* What of a relay's configuration is NATS's. */
#ifndef ORDERLY_BROKERS_NATS_SETTINGS_H
#define ORDERLY_BROKERS_NATS_SETTINGS_H
#include "orderly/infra/relay/broker.h"
#include <nats/nats.h>

#define SETTINGS_IO_BYTES 65536
#define SETTINGS_SERVERS_MAX 16
#define SETTINGS_NAME_MAX 64 /* of streams and consumers */

/* No I/O. False: why names the part. */
bool settings_are_valid(const struct broker_config *c, char *why);
bool settings_want_tls(const struct broker_config *c);
/* For one connection, the caller's to destroy; NULL: why. Reads the files that are named. */
natsOptions *settings_options(const struct broker_config *c, int timeout_ms, char *why);
#endif
