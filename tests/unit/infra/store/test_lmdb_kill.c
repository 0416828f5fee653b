/* A server that is killed at any instant: what it had acknowledged is there, whole and in order, and
 * the next one goes on. */
#include "orderly/base/bytes.h"
#include "support/chance.h"
#include "support/lmdb_store.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KILLS 25

/* Opens, writes batches of changing size until it is killed, and says each time how far it is. */
_Noreturn static void serve(struct lmdb_store *s, int fd)
{
    struct lmdb_state state;
    uint64_t at;
    unsigned batch = 1;

    lmdb_store_must_open(s);
    lmdb_engine_state(s->engine, &state);
    at = state.last_position;
    for (;;) {
        enum err status;

        at += lmdb_store_write(s, at + 1, at + batch, batch, &status);
        REQUIRE(status == ERR_OK);
        if (write(fd, &at, sizeof(at)) != sizeof(at))
            _exit(1);
        batch = batch % 40 + 3;
    }
}

/* Returns the last acknowledged position, at least `before`. */
static uint64_t serve_and_kill(struct lmdb_store *s, struct chance *c, uint64_t before)
{
    size_t acks = chance_below(c, 30);
    uint64_t last = before;
    uint64_t at;
    ssize_t n;
    int pipes[2];
    int status;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pipes[0]);
        serve(s, pipes[1]);
    }
    (void)close(pipes[1]);
    for (size_t i = 0; i < acks && read(pipes[0], &at, sizeof(at)) == sizeof(at); i++)
        last = at;
    /* Not at a moment that the acknowledgements know: the work that this takes differs. */
    for (volatile size_t i = chance_below(c, 2000000); i > 0; i--)
        continue;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    while ((n = read(pipes[0], &at, sizeof(at))) == sizeof(at) || (n < 0 && errno == EINTR))
        if (n > 0)
            last = at;
    (void)close(pipes[0]);
    return last;
}

static void killed_server__loses_nothing_that_it_acknowledged(void **state)
{
    struct chance c = chance_init(__func__);
    struct lmdb_store s;
    uint64_t last = 0;

    (void)state;
    lmdb_store_init(&s);
    for (unsigned i = 0; i < KILLS; i++) {
        struct lmdb_state is;
        struct lmdb_walk w = { 0 };

        last = serve_and_kill(&s, &c, last);
        lmdb_store_must_open(&s);
        lmdb_engine_state(s.engine, &is);
        /* One batch may have become durable without a word. */
        assert_in_range(is.last_position, last, last + 42);
        assert_int_equal(lmdb_engine_walk(s.engine, &w), ERR_OK);
        assert_int_equal(w.last_position, is.last_position);
        assert_int_equal(w.rows_of[DB_EVENTS], is.last_position);
        assert_int_equal(w.rows_of[DB_ORDERS], is.last_position);
        assert_int_equal(w.rows_of[DB_BY_LANE], is.last_position);
        for (uint64_t n = 1; n <= is.last_position; n++)
            lmdb_store_must_have(&s, n);
        last = is.last_position;
        lmdb_store_close(&s);
    }
    print_message("%llu events, %u kills\n", (unsigned long long)last, KILLS);
    assert_true(last > 0);
    lmdb_store_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_server__loses_nothing_that_it_acknowledged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
