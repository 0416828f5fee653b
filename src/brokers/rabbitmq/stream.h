/* Bytes to and from the broker, over TCP or TLS, without ever waiting but to connect.
 *
 * Thread: the relay's, where SIGPIPE is ignored (OpenSSL writes to the socket by itself). */
#ifndef ORDERLY_BROKERS_RABBITMQ_STREAM_H
#define ORDERLY_BROKERS_RABBITMQ_STREAM_H
#include "address.h"
#include "orderly/infra/relay/broker.h"
#include <openssl/ssl.h>
#include <sys/types.h>

struct stream {
    int fd;    /* -1: closed */
    SSL *tls;  /* NULL: without */
    char *why; /* BROKER_WHY_MAX; written where a function fails */
    /* TLS: what the last read or write waits for, where that is not its own direction. */
    bool read_wants_room, write_wants_data;
};

/* Milliseconds of a clock that only goes forward. */
int64_t stream_now_ms(void);

/* A context for the configured CA, certificate and key, which are read now, so that renewed ones are
 * taken with the next connection. NULL: why says which file is at fault. */
SSL_CTX *stream_tls_context(const struct broker_config *config, char *why);

/* Connects, and shakes hands where there is a context: the certificate must be of a known CA and for
 * the host's name. Until the deadline. Of a host with several addresses each has its share of the time. */
bool stream_open(struct stream *s, struct address_host *host, SSL_CTX *context,
                 int64_t deadline_ms);
/* Count of bytes; 0: none now; -1: the stream has ended. */
ssize_t stream_read(struct stream *s, void *p, size_t n);
ssize_t stream_write(struct stream *s, const void *p, size_t n);
/* What to poll for. */
short stream_events(const struct stream *s, bool has_output);
void stream_close(struct stream *s);
#endif
