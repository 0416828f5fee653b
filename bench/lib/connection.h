/* One keep-alive connection of the generator: its socket, the requests on their way, and the answer
 * that is being read. It never blocks and knows nothing of rates. */
#ifndef BENCH_LIB_CONNECTION_H
#define BENCH_LIB_CONNECTION_H
#include "orderly/base/list.h"
#include "response.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum connection_state { CONNECTION_CLOSED, CONNECTION_OPENING, CONNECTION_OPEN };

/* Results of connection_read that are not a number of bytes. */
enum { CONNECTION_ENDED = -1, CONNECTION_AGAIN = -2 };

struct outstanding {
    uint64_t due_ns;  /* what its latency counts from */
    uint64_t sent_ns; /* what its timeout counts from */
};

struct connection {
    enum connection_state state;
    int fd;
    int epoll_fd;
    struct response_parser parser;
    uint64_t rest_until_ns; /* the load sends nothing before */

    /* In the load's list of connections with room. */
    struct list free_link;
    bool is_free;

    /* A ring of pipeline_max entries, answered in order. */
    struct outstanding *outstanding;
    unsigned pipeline_max;
    unsigned outstanding_n;
    unsigned oldest;

    /* What the socket did not take; nothing is sent before it is gone. */
    struct buf unwritten;
    size_t written;
};

void connection_init(struct connection *c, unsigned pipeline_max, bool head_only,
                     bool wants_location);
void connection_deinit(struct connection *c);

/* Begins to connect and watches the socket in epoll_fd with c as its data; false if that failed. */
bool connection_open(struct connection *c, const struct sockaddr_in *address, int epoll_fd);
/* To call at the first event; false when the peer refused. */
bool connection_finish_open(struct connection *c);
/* Forgets what was outstanding; the caller counts it first. */
void connection_close(struct connection *c);

/* How many requests may be sent now. */
unsigned connection_room(const struct connection *c);
void connection_push_outstanding(struct connection *c, uint64_t due_ns, uint64_t sent_ns);
/* Takes the oldest and returns its due_ns. */
uint64_t connection_pop_outstanding(struct connection *c);
uint64_t connection_oldest_sent_ns(const struct connection *c);

/* Writes, keeps what the socket does not take; false when the connection is gone. */
bool connection_write(struct connection *c, const char *bytes, size_t n);
/* To call when the socket can take more; false when the connection is gone. */
bool connection_flush(struct connection *c);
/* A number of bytes, CONNECTION_AGAIN when there are none now, CONNECTION_ENDED when it is over. */
ssize_t connection_read(struct connection *c, char *bytes, size_t n);
#endif
