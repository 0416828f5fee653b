/* Trying the servers of an address one after the other, so that each one's reason is known: of several
 * the library says nothing but that there is none. */
#ifndef ORDERLY_BROKERS_NATS_OPENING_H
#define ORDERLY_BROKERS_NATS_OPENING_H
#include "orderly/base/str.h"
#include <nats/nats.h>
#include <stdbool.h>

struct opening {
    natsOptions *options; /* their timeout is what each server has */
    struct str address;   /* host:port[,…] */
    int timeout_ms;       /* of all of them */
    bool is_tls;
    /* Nobody waits any more: the next server need not be tried. */
    bool (*is_given_up)(void *ctx);
    void *ctx;
};

/* Waits, for a name server or a handshake also longer than it has. NULL: why (BROKER_WHY_MAX). */
natsConnection *opening_try(const struct opening *o, char *why);
#endif
