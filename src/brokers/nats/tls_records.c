#include "tls_records.h"
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>

#define HEADER 5
/* RFC 5246 §6.2.3: 2^14 of text and 2048 for what encryption adds. */
#define RECORD_MAX (16384 + 2048)

static void set_low_water(struct tls_records *r, int fd, int bytes)
{
    if (r->low_water == bytes || (r->low_water == 0 && bytes == 1))
        return;
    /* Where it can't be set the socket is asked more often than needed, and nothing else. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)) == 0)
        r->low_water = bytes;
}

/* Readable all the same, with fewer bytes there: so many will never be. What earlier records have left of
 * the socket's memory is bound in pieces that are partly read, and the rest of this one waits at the other
 * end for room. With what is read there is room, and the rest is at hand. */
static bool is_full(const struct tls_records *r, int fd, int needed)
{
    struct pollfd p = { fd, POLLIN, 0 };

    return r->low_water == needed && poll(&p, 1, 0) > 0;
}

bool tls_records_has_one(struct tls_records *r, int fd)
{
    uint8_t piece[HEADER + RECORD_MAX];
    ssize_t n = recv(fd, piece, HEADER, MSG_PEEK | MSG_DONTWAIT);
    int needed = HEADER;

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) /* the end, or an error: whoever reads finds out */
        return true;
    if (n == HEADER) {
        needed += piece[3] << 8 | piece[4];
        if (needed > (int)sizeof(piece)) /* no record at all */
            return true;
        n = recv(fd, piece, (size_t)needed, MSG_PEEK | MSG_DONTWAIT);
    }
    if (n < needed) {
        set_low_water(r, fd, needed);
        return is_full(r, fd, needed);
    }
    set_low_water(r, fd, 1);
    return true;
}
