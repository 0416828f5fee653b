/* Parts of the adapter for NATS that need no broker: when a record of TLS may be read. */
#include "tls_records.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER 5
#define LENGTH 16384 /* of a long record, behind its header */
#define PATIENCE_MS 60000

/* What the server says goes in at theirs. room: bytes of the socket's memory; 0: the usual. */
struct wire {
    int ours, theirs;
    struct tls_records records;
    uint8_t record[HEADER + LENGTH];
    size_t n_sent;
};

static void lay(struct wire *w, int room)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *w = (struct wire){ .record = { 23, 3, 3, LENGTH >> 8, LENGTH & 0xff } };
    assert_true(listening >= 0);
    if (room)
        assert_int_equal(setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &n), 0);
    w->theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(w->theirs, (struct sockaddr *)&at, n), 0);
    w->ours = accept(listening, NULL, NULL);
    assert_true(w->ours >= 0);
    assert_int_equal(fcntl(w->theirs, F_SETFL, O_NONBLOCK), 0);
    close(listening);
}

static void take_up(struct wire *w)
{
    close(w->ours);
    close(w->theirs);
}

/* Up to so many bytes of the record, as many as are taken. */
static void say(struct wire *w, size_t up_to)
{
    ssize_t n = send(w->theirs, w->record + w->n_sent, up_to - w->n_sent, MSG_NOSIGNAL);

    assert_true(n >= 0 || errno == EAGAIN);
    w->n_sent += n > 0 ? (size_t)n : 0;
}

static int arrived(const struct wire *w)
{
    int n = 0;

    assert_int_equal(ioctl(w->ours, FIONREAD, &n), 0);
    return n;
}

static void wait_for(const struct wire *w, int bytes)
{
    int waited_ms = 0;

    for (; arrived(w) < bytes && waited_ms < PATIENCE_MS; waited_ms++)
        (void)poll(NULL, 0, 1);
    assert_true(waited_ms < PATIENCE_MS);
}

static bool is_readable(const struct wire *w, int wait_ms)
{
    struct pollfd p = { w->ours, POLLIN, 0 };

    return poll(&p, 1, wait_ms) > 0;
}

static void records__are_read_when_all_of_one_is_there(void **state)
{
    static const int pieces[] = { 1, HEADER - 1, HEADER, HEADER + 1, HEADER + LENGTH - 1 };
    struct wire w;

    (void)state;
    lay(&w, 0);
    assert_false(tls_records_has_one(&w.records, w.ours));
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        say(&w, (size_t)pieces[i]);
        wait_for(&w, pieces[i]);
        assert_false(tls_records_has_one(&w.records, w.ours));
        assert_false(is_readable(&w, 0)); /* nobody is woken for nothing */
    }
    say(&w, sizeof(w.record));
    assert_true(is_readable(&w, PATIENCE_MS));
    assert_true(tls_records_has_one(&w.records, w.ours));
    take_up(&w);
}

/* The rest would never come: it was waited for until the server was taken for silent. */
static void records__are_read_in_part_where_there_is_no_room_for_all_of_one(void **state)
{
    struct wire w;
    int waited_ms = 0;

    (void)state;
    lay(&w, 2304);
    for (; waited_ms < PATIENCE_MS && !tls_records_has_one(&w.records, w.ours); waited_ms++) {
        say(&w, sizeof(w.record));
        (void)poll(NULL, 0, 1);
    }
    assert_true(waited_ms < PATIENCE_MS);
    assert_in_range(arrived(&w), 1, sizeof(w.record) - 1);
    take_up(&w);
}

static void records__are_read_where_the_connection_has_ended(void **state)
{
    struct wire w;

    (void)state;
    lay(&w, 0);
    close(w.theirs);
    w.theirs = -1;
    assert_true(is_readable(&w, PATIENCE_MS));
    assert_true(tls_records_has_one(&w.records, w.ours));
    close(w.ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records__are_read_when_all_of_one_is_there),
        cmocka_unit_test(records__are_read_in_part_where_there_is_no_room_for_all_of_one),
        cmocka_unit_test(records__are_read_where_the_connection_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
