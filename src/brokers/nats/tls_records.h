/* nats.c reads from TLS until it has data: in front of half a record it would wait, for as long as
 * the server likes. So it is only let read when a whole record has arrived. */
#ifndef ORDERLY_BROKERS_NATS_TLS_RECORDS_H
#define ORDERLY_BROKERS_NATS_TLS_RECORDS_H
#include <stdbool.h>

struct tls_records {
    int low_water; /* bytes from which on the socket is readable; 0: it was never set */
};

/* A whole record can be read from the socket, or its end, or so much of one as its memory has room for.
 * Otherwise the socket is not readable for poll until one can. */
bool tls_records_has_one(struct tls_records *r, int fd);
#endif
