/* rabbitmq-c, of which the adapter uses the codec: methods to and from bytes, properties to bytes.
 *
 * Its own way of sending waits for the socket without an end, and a broker in an alarm goes on with
 * its heartbeats while it reads nothing more; a relay's thread would never come back. So sockets,
 * buffers and time are the adapter's. */
#ifndef ORDERLY_BROKERS_RABBITMQ_CODEC_H
#define ORDERLY_BROKERS_RABBITMQ_CODEC_H
#include "orderly/base/str.h"
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#endif

#define SHORT_STRING_MAX 255u /* bytes, of the protocol */
#define TABLE_KEY_MAX 128u    /* bytes, of the protocol */

static inline amqp_bytes_t codec_bytes(struct str s)
{
    union {
        const char *from;
        void *to;
    } p = { s.p }; /* the library's type has no const; it only reads these */

    return (amqp_bytes_t){ s.n, p.to };
}

static inline struct str codec_str(amqp_bytes_t b)
{
    return (struct str){ b.bytes, b.len };
}
#endif
