/* One connection to a NATS server, moved by the thread that owns it: nats.c's event loop is this
 * file's poll, so nothing that it writes or reads blocks, and a stopped server is noticed by its
 * silence. The library does not reconnect.
 *
 * Two threads of the library stay: one asks for pings, one hands messages over. They touch the
 * queue, which is bounded, and the bell, an eventfd that ends the owner's wait. A third, of ours,
 * opens connections, because a TLS handshake and a name server may take longer than is wanted.
 *
 * Everything that comes for us comes by one subscription, `inbox.>`. */
#ifndef ORDERLY_BROKERS_NATS_CONNECTION_H
#define ORDERLY_BROKERS_NATS_CONNECTION_H
#include "orderly/base/check.h"
#include "orderly/infra/relay/broker.h"
#include <nats/nats.h>

/* Bytes that wait to be written; beyond it nothing more is published. */
#define CONNECTION_BUFFERED_MAX (1024 * 1024)
/* The server is asked for a sign of life this often, and lost where none came for SILENCE. */
#define CONNECTION_PING_MS 4000
#define CONNECTION_SILENCE_MS 10000
/* Longest wait for the server to have read everything when a connection that is well is closed. */
#define CONNECTION_FAREWELL_MS 1000

struct connection;

/* At most queue_max messages wait to be taken; one more ends the connection. NULL: why. */
struct connection *connection_open(const struct broker_config *c, unsigned queue_max,
                                   int timeout_ms, char *why);
/* Also says goodbye, where somebody listens. No message is taken after it. */
void connection_close(struct connection *c);

/* `_INBOX.xyz`; what is sent to subjects below it comes back to connection_take. */
const char *connection_inbox(const struct connection *c);

/* BUSY: too much waits to be written. REFUSED: longer than the server takes. The message stays the
 * caller's. */
enum broker_result connection_publish(struct connection *c, natsMsg *m, char *why);
/* A short message without headers, beyond the limit of what may wait; reply may be NULL. */
enum broker_result connection_send(struct connection *c, const char *subject, const char *reply,
                                   struct str data, char *why);

/* Writes and reads. Waits, for at most wait_ms, only while nothing comes, no message is in the queue
 * and wake_fd (-1: none) can't be read. LOST: why. */
enum broker_result connection_serve(struct connection *c, int wake_fd, int wait_ms, char *why);

/* The oldest message, the caller's from now on; NULL: there is none. */
natsMsg *connection_take(struct connection *c);

/* Attempts to open one that were given up and still hang. */
unsigned connection_hanging(void);

/* Milliseconds of the monotonic clock. */
int64_t connection_now(void);
/* The library's own words for what failed last on this thread, without the place in its sources. */
const char *connection_detail(natsStatus s);
/* Writes one line of text without control characters into why (BROKER_WHY_MAX). */
void connection_why(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
