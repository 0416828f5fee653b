/* The door: pressure is met before new work is taken, so that what was accepted is not kept waiting
 * by what comes after it.
 *
 * A command that makes new work for the contexts enters at once while the loop keeps up. While more
 * than DOOR_READY_MAX things are ready to be worked off, or more than DOOR_WRITES_MAX writes are on
 * their way, it waits, first come first served; beyond DOOR_WAITING_MAX it is refused (503). What
 * waits for a simulator's delay, a retry or a person is no pressure. */
#include "app_private.h"

static bool door_is_shut(const struct app *app)
{
    return bus_ready(&app->bus) + app->log.n_written > DOOR_READY_MAX ||
           app->log.in_flight > DOOR_WRITES_MAX;
}

void door_enter(struct command *c, void (*run)(struct command *c))
{
    struct app *app = c->app;

    c->run = run;
    if (list_is_empty(&app->door) && !door_is_shut(app)) {
        run(c);
        return;
    }
    if (app->n_door >= DOOR_WAITING_MAX) {
        command_refuse(c, ERR_BUSY);
        return;
    }
    app->n_door++;
    list_push_back(&app->door, &c->link);
    scheduler_wake(app->scheduler);
}

/* A bounded number each turn: entering costs as much as handling. At a drain all who wait are let in: they are refused there, each with its answer. */
bool door_run(struct app *app)
{
    unsigned n = 0;

    while (!list_is_empty(&app->door) &&
           (app->is_draining || (n++ < DOOR_TURN_MAX && !door_is_shut(app)))) {
        struct command *c = container_of(list_pop_front(&app->door), struct command, link);

        app->n_door--;
        c->run(c);
    }
    return !list_is_empty(&app->door) && !door_is_shut(app);
}
