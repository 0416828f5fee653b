/* Makes a store with a history: the app itself, on virtual time, takes orders until there are so many
 * events, and writes them with the engine of the server. What is there afterwards is what a server
 * would have left that was busy and then stopped; `orderly verify` agrees.
 *
 * Exit status: 0 made, 1 it could not be, 2 the command line is wrong. */
#include "lib/clock_ns.h"
#include "orderly/base/check.h"
#include "orderly/infra/store/lmdb_engine.h"
#include "rows/busy_app.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_FAILED = 1, STATUS_USAGE = 2 };

#define EVENTS_PER_ORDER 7
#define EVENTS_DEFAULT 10000000
#define IN_FLIGHT 3000 /* about as many as the app's door lets in */
#define PROGRESS_NS UINT64_C(5000000000)
#define STOCK 1000000000
#define DAY_MS INT64_C(86400000) /* it begins a day ago, so that nothing is in the future */

static const char HELP[] =
    "Usage: bench_history DIR [--events N]\n"
    "\n"
    "Makes DIR, which is not there yet, a store with at least N events (default 10000000) of\n"
    "stock_first orders from their placing to SHIPPED, seven each.\n";

struct progress {
    uint64_t began_ns, told_ns;
    uint64_t wanted;
};

static _Noreturn void refuse(void)
{
    (void)fputs(HELP, stderr);
    exit(STATUS_USAGE);
}

static uint64_t parse_arguments(int argc, char **argv, const char **dir)
{
    static const struct option options[] = {
        { "events", required_argument, NULL, 'e' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    uint64_t events = EVENTS_DEFAULT;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            (void)fputs(HELP, stdout);
            exit(0);
        }
        if (option != 'e' || !str_to_u64(str_of(optarg), &events) || events < 1 ||
            events > UINT64_C(1000000000))
            refuse();
    }
    if (optind + 1 != argc)
        refuse();
    *dir = argv[optind];
    return events;
}

static void tell(void *ctx, uint64_t events)
{
    struct progress *p = ctx;
    uint64_t now = clock_now_ns();

    if (now - p->told_ns < PROGRESS_NS && events < p->wanted)
        return;
    p->told_ns = now;
    (void)fprintf(stderr, "bench_history: %llu of %llu events in %.0f s\n",
                  (unsigned long long)events, (unsigned long long)p->wanted,
                  (double)(now - p->began_ns) / 1e9);
}

static void make(struct engine *engine, uint64_t events)
{
    struct busy_app_config config = {
        .engine = engine,
        .in_flight = IN_FLIGHT,
        .commit_writes_max = UINT32_MAX, /* the larger a commit, the sooner it is done */
        .stock = STOCK,
        .wall_ms = (int64_t)time(NULL) * 1000 - DAY_MS,
    };
    unsigned orders = (unsigned)((events + EVENTS_PER_ORDER - 1) / EVENTS_PER_ORDER);
    struct progress progress = { .wanted = (uint64_t)orders * EVENTS_PER_ORDER };
    struct busy_app *app = busy_app_create(&config);

    progress.began_ns = progress.told_ns = clock_now_ns();
    busy_app_place(app, orders, tell, &progress);
    busy_app_destroy(app);
}

int main(int argc, char **argv)
{
    struct lmdb_config config = { 0 };
    struct lmdb_report report;
    struct engine *engine;
    uint64_t events = parse_arguments(argc, argv, &config.dir);

    if (access(config.dir, F_OK) == 0) {
        (void)fprintf(stderr, "bench_history: %s is there already\n", config.dir);
        return STATUS_USAGE;
    }
    if (lmdb_engine_open(&config, &engine, &report) != ERR_OK) {
        (void)fprintf(stderr, "bench_history: %s\n", report.why);
        return STATUS_FAILED;
    }
    make(engine, events);
    lmdb_engine_close(engine);
    return 0;
}
