/* A host's name to its addresses, waited for no longer than one likes.
 *
 * The system's resolver waits for name servers by its own rules, half a minute and more, and can't be
 * stopped. So it has a thread for each name, one at a time; an answer that comes too late for who asked
 * is there for the next who asks, if he comes soon. */
#ifndef ORDERLY_BROKERS_RABBITMQ_LOOKUP_H
#define ORDERLY_BROKERS_RABBITMQ_LOOKUP_H
#include "address.h"
#include <netdb.h>
#include <stdint.h>

#define LOOKUP_KEPT_MS 10000 /* an answer that came too late */

/* The addresses are the caller's, for freeaddrinfo. NULL: why (BROKER_WHY_MAX) says so. host->late: NULL
 * at first; what was asked and not answered yet. */
struct addrinfo *lookup_addresses(struct address_host *host, int64_t deadline_ms, char *why);
/* Nobody will ask again; the answer is thrown away when it comes. */
void lookup_leave(struct address_host *host);
#endif
