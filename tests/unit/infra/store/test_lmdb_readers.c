/* LMDB's table of readers: the server has its own places in it, and a reader that was killed holds
 * neither a place nor pages for long. */
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "support/lmdb_store.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define READERS_MAX 400 /* more than the table holds */
#define SERVER_READERS 4
#define BIG 100000

/* Another process, as an operator's command: takes places until there are none, or `n`. */
static pid_t start_reader(struct lmdb_store *s, unsigned n, unsigned *taken)
{
    int pipes[2];
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct lmdb_store reader = { .config = { .dir = s->dir.path, .is_reader = true } };
        unsigned got = 0;
        void *txn;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where the test fails */
        (void)close(pipes[0]);
        if (lmdb_store_open(&reader) != ERR_OK)
            _exit(1);
        while (got < n && reader.engine->ops->view_begin(reader.engine, &txn) == ERR_OK)
            got++;
        if (write(pipes[1], &got, sizeof(got)) != (ssize_t)sizeof(got))
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], taken, sizeof(*taken)), sizeof(*taken));
    (void)close(pipes[0]);
    return pid;
}

static void kill_reader(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void open_empty(struct lmdb_store *s)
{
    lmdb_store_init(s);
    lmdb_store_must_open(s);
}

static void server__has_places_of_its_own(void **state)
{
    struct lmdb_store s;
    void *txns[READERS_MAX];
    unsigned taken;
    unsigned n = 0;
    pid_t pid;

    (void)state;
    open_empty(&s);
    pid = start_reader(&s, READERS_MAX, &taken);
    assert_true(taken > 200);
    assert_true(taken < READERS_MAX);
    while (n < READERS_MAX && s.engine->ops->view_begin(s.engine, &txns[n]) == ERR_OK)
        n++;
    assert_true(n >= SERVER_READERS);
    assert_true(n < 20); /* the others are the operator's */
    assert_int_equal(s.engine->ops->view_begin(s.engine, &txns[n]), ERR_BUSY);

    kill_reader(pid); /* and its places are free at once */
    assert_int_equal(s.engine->ops->view_begin(s.engine, &txns[n]), ERR_OK);
    for (unsigned i = 0; i <= n; i++)
        s.engine->ops->view_end(s.engine, txns[i]);
    lmdb_store_deinit(&s);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum err try_write_big(struct lmdb_store *s)
{
    char *big = mem_alloc(BIG);
    enum err err;

    memset(big, 'b', BIG);
    err = lmdb_store_put(s, DB_CARTS, STR("big"), (struct str){ big, BIG });
    mem_free(big);
    return err;
}

static void write_big(struct lmdb_store *s)
{
    assert_int_equal(try_write_big(s), ERR_OK);
}

static void killed_reader__does_not_let_the_file_grow_for_ever(void **state)
{
    int64_t ends_ms = now_ms() + 20000;
    unsigned n_still = 0;
    struct lmdb_store s;
    unsigned taken;
    long size;
    pid_t pid;

    (void)state;
    lmdb_store_init(&s);
    s.config.map_bytes = UINT64_C(2) << 30; /* a quick disk takes much in a second */
    lmdb_store_must_open(&s);
    write_big(&s);
    pid = start_reader(&s, 1, &taken);
    assert_int_equal(taken, 1);
    size = lmdb_store_size(&s);
    for (unsigned i = 0; i < 20; i++)
        write_big(&s);
    assert_true(lmdb_store_size(&s) > size + 10L * BIG); /* what it may still look at is kept */

    kill_reader(pid);
    while (n_still < 50) {
        size = lmdb_store_size(&s);
        write_big(&s);
        n_still = lmdb_store_size(&s) == size ? n_still + 1 : 0;
        assert_true(now_ms() < ends_ms);
    }
    lmdb_store_deinit(&s);
}

static void killed_reader__does_not_keep_the_store_full(void **state)
{
    struct lmdb_store s;
    unsigned taken;
    enum err err;
    pid_t pid;

    (void)state;
    open_empty(&s);
    pid = start_reader(&s, 1, &taken);
    assert_int_equal(taken, 1);
    do {
        err = try_write_big(&s);
    } while (err == ERR_OK);
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(try_write_big(&s), ERR_FULL); /* somebody still looks */
    kill_reader(pid);
    assert_int_equal(try_write_big(&s), ERR_OK);
    lmdb_store_deinit(&s);
}

/* A data file takes the place of one that somebody still looks at, as a restored one does: the lock
 * file that he holds names a transaction of the other. */
static void take_place(unsigned n_old, unsigned n_new)
{
    char from[600], to[600];
    struct lmdb_state state;
    struct lmdb_store old, new;
    enum err status;
    unsigned taken;
    pid_t pid;

    open_empty(&old);
    assert_int_equal(lmdb_store_write(&old, 1, n_old, 1, &status), n_old);
    open_empty(&new);
    assert_int_equal(lmdb_store_write(&new, 1, n_new, 1, &status), n_new);
    lmdb_store_close(&new);
    lmdb_store_close(&old);
    pid = start_reader(&old, 1, &taken);
    assert_int_equal(taken, 1);
    (void)snprintf(from, sizeof(from), "%s/data.mdb", new.dir.path);
    (void)snprintf(to, sizeof(to), "%s/data.mdb", old.dir.path);
    assert_int_equal(rename(from, to), 0);

    for (unsigned n = n_new; n < n_new + 3; n++) {
        lmdb_store_must_open(&old);
        lmdb_engine_state(old.engine, &state);
        assert_int_equal(state.last_position, n);
        lmdb_store_must_have(&old, n);
        lmdb_store_must_be_sound(&old);
        assert_int_equal(lmdb_store_write(&old, n + 1, n + 1, 1, &status), 1);
        lmdb_store_close(&old);
    }
    kill_reader(pid);
    lmdb_store_deinit(&old);
    lmdb_store_deinit(&new);
}

static void lock_of_another_data_file__loses_no_commit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) /* of the two meta pages either may be the newer one */
        take_place(20 + i % 2, 10 + i / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_of_another_data_file__loses_no_commit),
        cmocka_unit_test(server__has_places_of_its_own),
        cmocka_unit_test(killed_reader__does_not_let_the_file_grow_for_ever),
        cmocka_unit_test(killed_reader__does_not_keep_the_store_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
