#include "orderly/app/turn.h"

void turn_init(struct turn *t)
{
    *t = (struct turn){ 0 };
    list_init(&t->waiting);
}

bool turn_take(struct turn *t, struct turn_wait *w, turn_cb granted, bool is_command)
{
    REQUIRE(t->holder != w);
    if (is_command && t->holder && t->commands_waiting >= TURN_COMMANDS_WAITING_MAX)
        return false;
    w->granted = granted;
    w->is_command = is_command;
    list_init(&w->link);
    if (t->holder) {
        t->commands_waiting += is_command ? 1 : 0;
        list_push_back(&t->waiting, &w->link);
        return true;
    }
    t->holder = w;
    granted(w);
    return true;
}

void turn_give(struct turn *t, struct turn_wait *w)
{
    REQUIRE(t->holder == w);
    t->holder = NULL;
    if (list_is_empty(&t->waiting))
        return;

    struct turn_wait *next = container_of(list_pop_front(&t->waiting), struct turn_wait, link);

    t->commands_waiting -= next->is_command ? 1 : 0;
    t->holder = next;
    next->granted(next);
}
