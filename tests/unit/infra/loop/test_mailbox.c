#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/infra/loop/mailbox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { THREADS = 4, LETTERS = 2000 };

struct letter {
    struct list link;
    unsigned thread, number;
};

struct desk {
    uv_loop_t loop;
    struct mailbox box;
    unsigned next[THREADS];            /* the number that is expected */
    unsigned n, n_drains, n_taken_max; /* at a drain; 0: all */
    bool is_closed;
};

static void desk_on_letters(struct mailbox *m, struct list *letters)
{
    struct desk *d = container_of(m, struct desk, box);

    d->n_drains++;
    for (unsigned taken = 0; !list_is_empty(letters); taken++) {
        struct letter *l = container_of(list_pop_front(letters), struct letter, link);

        if (d->n_taken_max && taken == d->n_taken_max) {
            list_push_front(letters, &l->link);
            return;
        }
        assert_int_equal(l->number, d->next[l->thread]);
        d->next[l->thread]++;
        d->n++;
    }
}

static void desk_on_closed(struct mailbox *m)
{
    container_of(m, struct desk, box)->is_closed = true;
}

static void desk_open(struct desk *d)
{
    *d = (struct desk){ 0 };
    assert_int_equal(uv_loop_init(&d->loop), 0);
    mailbox_init(&d->box, &d->loop, desk_on_letters);
}

static void desk_close(struct desk *d)
{
    mailbox_close(&d->box, desk_on_closed);
    assert_false(d->is_closed);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_true(d->is_closed);
    assert_int_equal(uv_loop_close(&d->loop), 0);
}

struct poster {
    uv_thread_t thread;
    struct mailbox *box;
    struct letter *letters;
};

static void poster_main(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < LETTERS; i++)
        mailbox_post(p->box, &p->letters[i].link);
}

static void mailbox__keeps_the_order_of_each_posting_thread(void **state)
{
    static struct letter letters[THREADS][LETTERS];
    struct poster posters[THREADS];
    struct desk d;

    (void)state;
    desk_open(&d);
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < LETTERS; i++)
            letters[t][i] = (struct letter){ .thread = t, .number = i };
        posters[t].box = &d.box;
        posters[t].letters = letters[t];
        assert_int_equal(uv_thread_create(&posters[t].thread, poster_main, &posters[t]), 0);
    }
    while (d.n < THREADS * LETTERS)
        (void)uv_run(&d.loop, UV_RUN_ONCE);
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(uv_thread_join(&posters[t].thread), 0);
    desk_close(&d);
}

static void mailbox__drains_all_letters_at_one_ring_and_never_inside_post(void **state)
{
    static struct letter letters[10];
    struct desk d;

    (void)state;
    desk_open(&d);
    for (unsigned i = 0; i < 10; i++) {
        letters[i] = (struct letter){ .number = i };
        mailbox_post(&d.box, &letters[i].link);
    }
    assert_int_equal(d.n, 0);
    while (d.n < 10)
        (void)uv_run(&d.loop, UV_RUN_ONCE);
    assert_int_equal(d.n_drains, 1);
    desk_close(&d);
}

static void letters_init(struct letter *letters, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        letters[i] = (struct letter){ .number = i };
}

static void mailbox__gives_what_a_turn_left_in_the_next_before_what_came_meanwhile(void **state)
{
    static struct letter letters[11];
    struct desk d;

    (void)state;
    desk_open(&d);
    d.n_taken_max = 4;
    letters_init(letters, 11);
    for (unsigned i = 0; i < 9; i++)
        mailbox_post(&d.box, &letters[i].link);
    (void)uv_run(&d.loop, UV_RUN_ONCE);
    assert_int_equal(d.n_drains, 1);
    assert_int_equal(d.n, 4);
    mailbox_post(&d.box, &letters[9].link);
    mailbox_post(&d.box, &letters[10].link);
    while (d.n < 11) /* in their order, which the drain looks at */
        (void)uv_run(&d.loop, UV_RUN_ONCE);
    assert_int_equal(d.n_drains, 3);
    (void)uv_run(&d.loop, UV_RUN_NOWAIT);
    assert_int_equal(d.n_drains, 3);
    desk_close(&d);
}

static void mailbox__that_is_rung_drains_though_there_is_no_letter(void **state)
{
    struct desk d;

    (void)state;
    desk_open(&d);
    mailbox_ring(&d.box);
    mailbox_ring(&d.box);
    assert_int_equal(d.n_drains, 0);
    (void)uv_run(&d.loop, UV_RUN_ONCE);
    (void)uv_run(&d.loop, UV_RUN_NOWAIT);
    assert_int_equal(d.n_drains, 1);
    desk_close(&d);
    mailbox_ring(&d.box);
}

static void mailbox__that_is_closed_drops_what_a_turn_left(void **state)
{
    static struct letter letters[3];
    struct desk d;

    (void)state;
    desk_open(&d);
    d.n_taken_max = 2;
    letters_init(letters, 3);
    for (unsigned i = 0; i < 3; i++)
        mailbox_post(&d.box, &letters[i].link);
    (void)uv_run(&d.loop, UV_RUN_ONCE);
    assert_int_equal(d.n, 2);
    desk_close(&d);
    assert_int_equal(d.n, 2);
}

static void mailbox__drops_letters_that_come_after_the_last_turn(void **state)
{
    struct letter l = { .number = 0 };
    struct desk d;

    (void)state;
    desk_open(&d);
    mailbox_post(&d.box, &l.link);
    desk_close(&d);
    assert_int_equal(d.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mailbox__keeps_the_order_of_each_posting_thread),
        cmocka_unit_test(mailbox__drains_all_letters_at_one_ring_and_never_inside_post),
        cmocka_unit_test(mailbox__gives_what_a_turn_left_in_the_next_before_what_came_meanwhile),
        cmocka_unit_test(mailbox__that_is_rung_drains_though_there_is_no_letter),
        cmocka_unit_test(mailbox__that_is_closed_drops_what_a_turn_left),
        cmocka_unit_test(mailbox__drops_letters_that_come_after_the_last_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
