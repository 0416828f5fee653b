/* How many events a second does the store take at most: the same rows by the same calls as in the
 * server, made beforehand, on one thread, without a server around them?
 *
 * Writes them into a fresh directory in batches as the writer thread makes them, each one transaction
 * with its fsync, and prints one JSON object of figures on stdout. Batches are full from the first
 * commit on, or as large as --batch says, since a store is as fast as its batches are large.
 *
 * Exit status: 0 measured, 1 the store failed or lost an event, 2 the command line is wrong. */
#include "lib/clock_ns.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/lmdb_engine.h"
#include "orderly/infra/store/lmdb_walk.h"
#include "rows/made_rows.h"
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STATUS_WRONG = 1, STATUS_USAGE = 2 };

static const char HELP[] =
    "Usage: bench_store_floor [options]\n"
    "\n"
    "  --orders N     orders of seven events each, default 60000\n"
    "  --in-flight N  orders that are under way at a time, default 2048, most 3000\n"
    "  --batch N      events of a commit at most, default and most 4096\n"
    "  --data DIR     a directory that does not exist yet, made and removed; default below the\n"
    "                 current one, since what it stands on is what is measured\n"
    "  --keep         leave the directory\n";

struct arguments {
    unsigned orders, in_flight, batch;
    char data[PATH_MAX];
    bool keep;
};

struct figures {
    uint64_t *commit_ns;
    size_t n_commits;
    uint64_t ns, user_us, system_us;
    uint64_t events, file_bytes, written_bytes;
};

static unsigned number_of(const char *text, unsigned least, unsigned most, const char *option)
{
    uint64_t n;

    if (str_to_u64(str_of(text), &n) && n >= least && n <= most)
        return (unsigned)n;
    (void)fprintf(stderr, "bench_store_floor: %s is a number from %u to %u\n", option, least, most);
    exit(STATUS_USAGE);
}

static void parse_arguments(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        { "orders", required_argument, NULL, 'o' },
        { "in-flight", required_argument, NULL, 'i' },
        { "batch", required_argument, NULL, 'b' },
        { "data", required_argument, NULL, 'd' },
        { "keep", no_argument, NULL, 'k' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *a = (struct arguments){ .orders = 60000, .in_flight = 2048, .batch = STORE_BATCH_EVENTS_MAX };
    (void)snprintf(a->data, sizeof(a->data), "store_floor-%ld", (long)getpid());
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            a->orders = number_of(optarg, 1, 5000000, "--orders");
            break;
        case 'i':
            a->in_flight = number_of(optarg, 1, 3000, "--in-flight");
            break;
        case 'b':
            a->batch = number_of(optarg, 1, STORE_BATCH_EVENTS_MAX, "--batch");
            break;
        case 'd':
            (void)snprintf(a->data, sizeof(a->data), "%s", optarg);
            break;
        case 'k':
            a->keep = true;
            break;
        case 'h':
            (void)fputs(HELP, stdout);
            exit(0);
        default:
            (void)fputs(HELP, stderr);
            exit(STATUS_USAGE);
        }
    }
    if (optind < argc) {
        (void)fputs(HELP, stderr);
        exit(STATUS_USAGE);
    }
}

/* ---- measuring ------------------------------------------------------------------ */

/* What was handed to write calls, by the kernel's books; 0 where it keeps none. Its count of what went
 * to the disk is no better: a page of LMDB's in a larger one of the page cache counts as all of it. */
static uint64_t written_bytes(void)
{
    FILE *io = fopen("/proc/self/io", "re");
    char line[128];
    uint64_t n = 0;

    while (io && fgets(line, sizeof(line), io))
        if (strncmp(line, "wchar: ", 7) == 0)
            n = strtoull(line + 7, NULL, 10);
    if (io)
        (void)fclose(io);
    return n;
}

static uint64_t micros(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* As the writer thread makes a batch, but for the bound of its events. */
static size_t take_batch(const struct made_rows *m, size_t at, unsigned events_max,
                         struct list *batch)
{
    unsigned events = 0;
    size_t bytes = 0;

    list_init(batch);
    do {
        struct store_write *w = &m->writes[at];

        if (!list_is_empty(batch) &&
            (events + w->n_events > events_max || bytes + w->n_bytes > STORE_BATCH_BYTES_MAX))
            break;
        events += w->n_events;
        bytes += w->n_bytes;
        list_push_back(batch, &w->link);
    } while (++at < m->n_writes);
    return at;
}

static void must_apply(struct engine *e, const struct list *batch)
{
    enum err err = e->ops->apply(e, batch);

    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "bench_store_floor: %s: %s\n", err_text(err), lmdb_engine_failure(e));
    exit(STATUS_WRONG);
}

static void measure(struct engine *e, const struct made_rows *m, unsigned events_max,
                    struct figures *f)
{
    struct rusage before;
    struct rusage after;
    struct store_stats stats = { 0 };
    uint64_t written = written_bytes();
    uint64_t began;
    size_t at = 0;

    f->commit_ns = mem_alloc(m->n_writes * sizeof(*f->commit_ns));
    (void)getrusage(RUSAGE_SELF, &before);
    began = clock_now_ns();
    for (uint64_t last = began; at < m->n_writes;) {
        struct list batch;
        uint64_t now;

        at = take_batch(m, at, events_max, &batch);
        must_apply(e, &batch);
        now = clock_now_ns();
        f->commit_ns[f->n_commits++] = now - last;
        last = now;
    }
    f->ns = clock_now_ns() - began;
    (void)getrusage(RUSAGE_SELF, &after);
    e->ops->stats(e, &stats);
    f->user_us = micros(after.ru_utime) - micros(before.ru_utime);
    f->system_us = micros(after.ru_stime) - micros(before.ru_stime);
    f->events = stats.events;
    f->file_bytes = stats.bytes;
    f->written_bytes = written_bytes() - written;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double commit_ms(const struct figures *f, double q)
{
    size_t i = (size_t)(q * (double)f->n_commits);

    return (double)f->commit_ns[i < f->n_commits ? i : f->n_commits - 1] / 1e6;
}

static void print(const struct figures *f, const struct made_rows *m)
{
    double events = (double)f->events;

    qsort(f->commit_ns, f->n_commits, sizeof(*f->commit_ns), compare);
    (void)printf("{\"events\": %llu, \"rows\": %llu, \"seconds\": %.3f, \"events_per_s\": %.0f,\n",
                 (unsigned long long)f->events, (unsigned long long)m->n_rows, (double)f->ns / 1e9,
                 events * 1e9 / (double)f->ns);
    (void)printf(" \"commits\": %zu, \"events_per_commit\": %.1f, \"fsyncs\": %zu,\n", f->n_commits,
                 events / (double)f->n_commits, 2 * f->n_commits);
    (void)printf(
        " \"commit_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"p99_9\": %.3f, \"max\": %.3f},\n",
        commit_ms(f, 0.5), commit_ms(f, 0.99), commit_ms(f, 0.999), commit_ms(f, 1));
    (void)printf(" \"row_bytes_per_event\": %.1f, \"file_bytes_per_event\": %.1f,"
                 " \"written_bytes_per_event\": %.1f,\n",
                 (double)m->n_bytes / events, (double)f->file_bytes / events,
                 (double)f->written_bytes / events);
    (void)printf(" \"user_us_per_event\": %.3f, \"system_us_per_event\": %.3f}\n",
                 (double)f->user_us / events, (double)f->system_us / events);
}

static void remove_data(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct lmdb_config config = { 0 };
    struct lmdb_report report;
    struct lmdb_walk walk = { .events_only = true };
    struct figures f = { 0 };
    struct made_rows rows;
    struct engine *e;
    bool is_whole;

    parse_arguments(&a, argc, argv);
    if (access(a.data, F_OK) == 0) {
        (void)fprintf(stderr, "bench_store_floor: %s is there already\n", a.data);
        return STATUS_USAGE;
    }
    config.dir = a.data;
    made_rows_init(&rows, a.orders, a.in_flight);
    if (lmdb_engine_open(&config, &e, &report) != ERR_OK) {
        (void)fprintf(stderr, "bench_store_floor: %s\n", report.why);
        return STATUS_WRONG;
    }
    measure(e, &rows, a.batch, &f);
    is_whole = lmdb_engine_walk(e, &walk) == ERR_OK && walk.rows_of[DB_EVENTS] == rows.n_events;
    lmdb_engine_close(e);
    if (is_whole)
        print(&f, &rows);
    else
        (void)fprintf(stderr, "bench_store_floor: not all is there: %s\n", walk.first_damage);
    if (!a.keep)
        remove_data(a.data);
    mem_free(f.commit_ns);
    made_rows_deinit(&rows);
    return is_whole ? 0 : STATUS_WRONG;
}
