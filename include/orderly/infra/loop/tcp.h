/* TCP by libuv: listens, and gives each connection to a transport_acceptor.
 *
 * All connections of a listener share one read buffer; closed ones are kept on a bounded free list.
 * When the process runs out of file descriptors, connections that wait are accepted on a reserve
 * descriptor and closed, and the server goes on (libuv keeps that reserve). The acceptor's flush
 * runs before the loop blocks and after each poll; its tick every TCP_TICK_MS while there are
 * connections.
 * Thread: loop thread only.
 */
#ifndef ORDERLY_INFRA_LOOP_TCP_H
#define ORDERLY_INFRA_LOOP_TCP_H
#include "orderly/base/err.h"
#include "orderly/base/str.h"
#include "orderly/infra/loop/transport.h"
#include <sys/socket.h>
#include <uv.h>

#define TCP_BACKLOG 1024
#define TCP_TICK_MS 100
#define TCP_READ_SIZE 65536
#define TCP_FREE_CONNECTIONS_MAX 1024

/* "127.0.0.1:8080", "[::1]:0", "localhost:80" (which is 127.0.0.1), "*:80" (every IPv6 and IPv4
 * address). No other names: nothing is looked up. */
struct tcp_address {
    struct sockaddr_storage sa;
    bool is_loopback;
    bool is_any;
};
MUST_CHECK enum err tcp_address_parse(struct str text, struct tcp_address *out);
/* "127.0.0.1:8080", "[::1]:8080"; always terminated. */
#define TCP_ADDRESS_TEXT_MAX 64
void tcp_address_format(const struct tcp_address *a, char out[TCP_ADDRESS_TEXT_MAX]);

struct tcp_listener;

struct tcp_listener_config {
    uv_loop_t *loop;                     /* borrowed */
    struct transport_acceptor *acceptor; /* borrowed, outlives the listener */
    /* accept failed (no descriptors, no memory); at most once a second, with the number since the
     * last call and the system's words. May be NULL. */
    void (*on_accept_failed)(void *ctx, uint64_t count, const char *why);
    void *ctx;
};

/* On the heap; tcp_listener_close gives it back. */
struct tcp_listener *tcp_listener_create(const struct tcp_listener_config *config);

/* Binds and listens, once.
 * ERR_IO: the address is taken or not ours; tcp_listener_error says why. Close the listener then. */
MUST_CHECK enum err tcp_listener_start(struct tcp_listener *l, const struct tcp_address *address);
const char *tcp_listener_error(const struct tcp_listener *l);
/* The address that is really bound: port 0 has become one. */
void tcp_listener_address(const struct tcp_listener *l, struct tcp_address *out);
unsigned tcp_listener_port(const struct tcp_listener *l);

/* Accepts no more; connections go on. Repeatable. */
void tcp_listener_stop(struct tcp_listener *l);
/* Stops, waits until the last connection is closed by its user, then closes its own handles, runs
 * closed (may be NULL) from the loop and frees. Once. */
void tcp_listener_close(struct tcp_listener *l, void (*closed)(void *ctx), void *ctx);
#endif
