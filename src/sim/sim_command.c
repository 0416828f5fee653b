/* orderly sim: many simulations, one process for each job, and what they found. */
#include "orderly/base/mem.h"
#include "shrink.h"
#include "sim.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 256
#define SEEDS_MAX 1000000000

struct sim_options {
    struct sim_config config;
    uint64_t seeds;
    unsigned jobs;
    bool traces;
    bool is_brief;
};

/* What a job has done; in memory that it shares with the one who started it. */
struct job {
    uint64_t seed; /* that it is at */
    uint64_t n_run;
    bool is_violated; /* by that seed */
    struct digest16 trace;
    struct witness_counts counts;
    uint64_t steps, requests, orders;
    uint64_t faults[SIM_FAULT_COUNT];
    int64_t simulated_us;
};

struct jobs {
    pid_t starter;
    volatile bool stops; /* one has found something: the others need not go on */
    struct job all[JOBS_MAX];
};

/* ---- the command line ------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
    va_list args;

    (void)fputs("orderly sim: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static void print_help(void)
{
    (void)printf(
        "usage: orderly sim [--seed N] [--seeds COUNT] [--orders N] [--hours H]\n"
        "                   [--faults all|none|NAME,NAME…] [--jobs N] [--trace] [--brief]\n"
        "\n"
        "Runs the whole server on virtual time, with clients, outside contexts and an operator,\n"
        "lets go wrong what can go wrong, and judges after every step whether the promises hold.\n"
        "No socket, no thread, no disk: a seed repeats its run exactly, step by step.\n"
        "\n"
        "  --seed N      the first seed (1)\n"
        "  --seeds N     how many seeds, one after the other (1)\n"
        "  --orders N    orders of each run, 1 to %d (%d)\n"
        "  --hours H     simulated hours in which they come, 1 to %d (%d)\n"
        "  --faults …    which kinds of faults there are (all)\n"
        "  --jobs N      processes that share the seeds, 1 to %d (1)\n"
        "  --trace       one line for each seed with the sum over all its steps; with one seed\n"
        "                its whole story before that\n"
        "  --brief       of what is found only the seed, without looking for a smaller run\n"
        "\n"
        "Kinds of faults\n",
        SIM_ORDERS_MAX, SIM_ORDERS_DEFAULT, SIM_HOURS_MAX, SIM_HOURS_DEFAULT, JOBS_MAX);
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        (void)printf("  %-16s%s\n", sim_fault_name((enum sim_fault)f),
                     sim_fault_text((enum sim_fault)f));
    (void)printf("\nInvariants\n");
    for (unsigned i = 0; i < SIM_INVARIANT_COUNT; i++)
        (void)printf("  %-16s%s\n", sim_invariant_name((enum sim_invariant)i),
                     sim_invariant_text((enum sim_invariant)i));
    (void)printf("\n"
                 "Exit codes\n"
                 "  0   every invariant held in every run\n"
                 "  1   one did not, or the server ended itself: the seed is named, made smaller,\n"
                 "      and the story of the order told\n"
                 "  64  wrong command line\n");
}

static bool number_of(const char *name, const char *value, uint64_t min, uint64_t max,
                      uint64_t *out)
{
    if (str_to_u64(str_of(value), out) && *out >= min && *out <= max)
        return true;
    complain("--%s must be a number from %llu to %llu, not '%s'", name, (unsigned long long)min,
             (unsigned long long)max, value);
    return false;
}

static bool fault_of(struct str name, uint32_t *bits)
{
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
        if (str_eq(name, str_of(sim_fault_name((enum sim_fault)f)))) {
            *bits |= 1u << f;
            return true;
        }
    }
    complain("there is no fault '" STR_FMT "'; 'orderly sim --help' lists them", STR_ARG(name));
    return false;
}

static bool faults_of(const char *value, uint32_t *bits)
{
    *bits = 0;
    if (strcmp(value, "all") == 0)
        *bits = SIM_FAULTS_ALL;
    if (strcmp(value, "all") == 0 || strcmp(value, "none") == 0)
        return true;
    for (;;) {
        size_t n = strcspn(value, ",");

        if (!fault_of((struct str){ value, n }, bits))
            return false;
        if (value[n] == 0)
            return true;
        value += n + 1;
    }
}

static bool read_option(struct sim_options *o, const char *name, const char *value)
{
    uint64_t n;

    if (strcmp(name, "faults") == 0)
        return faults_of(value, &o->config.faults);
    if (strcmp(name, "seed") == 0)
        return number_of(name, value, 0, UINT64_MAX - SEEDS_MAX, &o->config.seed);
    if (strcmp(name, "seeds") == 0)
        return number_of(name, value, 1, SEEDS_MAX, &o->seeds);
    if (strcmp(name, "orders") == 0) {
        if (!number_of(name, value, 1, SIM_ORDERS_MAX, &n))
            return false;
        o->config.orders = (unsigned)n;
        return true;
    }
    if (strcmp(name, "hours") == 0) {
        if (!number_of(name, value, 1, SIM_HOURS_MAX, &n))
            return false;
        o->config.hours = (int64_t)n;
        return true;
    }
    if (strcmp(name, "jobs") == 0) {
        if (!number_of(name, value, 1, JOBS_MAX, &n))
            return false;
        o->jobs = (unsigned)n;
        return true;
    }
    complain("there is no option '--%s'; 'orderly sim --help' lists them", name);
    return false;
}

static bool read_arguments(struct sim_options *o, unsigned n_args, char *const *args)
{
    for (unsigned i = 0; i < n_args; i++) {
        const char *arg = args[i], *equals = strchr(arg, '=');
        char name[32];
        size_t n;

        if (strcmp(arg, "--trace") == 0) {
            o->traces = true;
            continue;
        }
        if (strcmp(arg, "--brief") == 0) {
            o->is_brief = true;
            continue;
        }
        n = equals ? (size_t)(equals - arg) : strlen(arg);
        if (n < 3 || memcmp(arg, "--", 2) != 0 || n - 2 >= sizeof(name)) {
            complain("'%s' is no option; 'orderly sim --help' lists them", arg);
            return false;
        }
        memcpy(name, arg + 2, n - 2);
        name[n - 2] = 0;
        if (!equals && i + 1 >= n_args) {
            complain("'%s' needs a value, or is no option; see 'orderly sim --help'", arg);
            return false;
        }
        if (!read_option(o, name, equals ? equals + 1 : args[++i]))
            return false;
    }
    return true;
}

/* ---- one job --------------------------------------------------------------------------------- */

static void format_trace(const struct digest16 *d, char out[33])
{
    for (unsigned i = 0; i < sizeof(d->b); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", d->b[i]);
}

static void add_outcome(struct job *j, const struct sim_outcome *o)
{
    for (unsigned i = 0; i < sizeof(j->trace.b); i++)
        j->trace.b[i] ^= o->trace.b[i];
    j->n_run++;
    j->counts.acknowledged += o->counts.acknowledged;
    j->counts.events += o->counts.events;
    j->counts.commits += o->counts.commits;
    j->counts.deliveries += o->counts.deliveries;
    j->counts.failures += o->counts.failures;
    j->counts.passed_over += o->counts.passed_over;
    j->counts.refused += o->counts.refused;
    j->counts.waited += o->counts.waited;
    j->counts.streamed += o->counts.streamed;
    j->counts.relayed += o->counts.relayed;
    j->counts.received += o->counts.received;
    j->counts.judged += o->counts.judged;
    j->counts.whole_judged += o->counts.whole_judged;
    j->steps += o->steps;
    j->requests += o->requests;
    j->orders += o->orders;
    j->simulated_us += o->simulated_us;
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        j->faults[f] += o->faults[f];
}

static void run_one(const struct sim_options *o, struct job *j)
{
    struct sim_config config = o->config;
    struct sim_outcome outcome;
    struct buf story = { 0 };
    char sum[33];

    config.seed = j->seed;
    config.tells = o->traces && o->seeds == 1;
    sim_run(&config, &outcome, config.tells ? &story : NULL);
    j->is_violated = outcome.is_violated;
    add_outcome(j, &outcome);
    if (o->traces) {
        format_trace(&outcome.trace, sum);
        (void)printf(STR_FMT "seed %llu trace %s\n", STR_ARG(buf_str(&story)),
                     (unsigned long long)j->seed, sum);
        (void)fflush(stdout);
    }
    buf_deinit(&story);
}

static void run_job(const struct sim_options *o, struct jobs *js, unsigned n)
{
    struct job *j = &js->all[n];

    /* A job whose starter was ended has nobody to tell. */
    for (uint64_t i = n; i < o->seeds && !js->stops && getppid() == js->starter; i += o->jobs) {
        j->seed = o->config.seed + i;
        run_one(o, j);
        if (j->is_violated) {
            js->stops = true;
            return;
        }
    }
}

/* ---- what was found -------------------------------------------------------------------------- */

static void tell_settings(const struct sim_config *c)
{
    (void)printf("  --orders %u --hours %lld --faults ", c->orders, (long long)c->hours);
    if (c->faults == SIM_FAULTS_ALL || c->faults == 0) {
        (void)printf("%s\n", c->faults ? "all" : "none");
        return;
    }
    for (unsigned f = 0, n = 0; f < SIM_FAULT_COUNT; f++)
        if (c->faults & 1u << f)
            (void)printf("%s%s", n++ ? "," : "", sim_fault_name((enum sim_fault)f));
    (void)printf("\n");
}

static void make_smaller(struct sim_config *config, enum sim_invariant broken)
{
    unsigned n_runs = shrink(config, broken);

    (void)printf("after %u smaller runs, with%s", n_runs,
                 config->crashes_max == UINT_MAX ? "" : " fewer crashes and");
    tell_settings(config);
    (void)fflush(stdout);
}

static void tell_violation(const struct sim_options *o, uint64_t seed)
{
    struct sim_config config = o->config;
    struct sim_outcome outcome;
    struct buf story = { 0 };

    config.seed = seed;
    sim_run(&config, &outcome, NULL);
    (void)printf("seed %llu: %s: %s\n  %s\n", (unsigned long long)seed,
                 sim_invariant_name(outcome.violation.invariant),
                 sim_invariant_text(outcome.violation.invariant), outcome.violation.text);
    (void)fflush(stdout);
    if (o->is_brief)
        return;
    make_smaller(&config, outcome.violation.invariant);
    config.tells = true;
    sim_run(&config, &outcome, &story);
    (void)printf("  %s\n", outcome.violation.text);
    if (outcome.violation.has_order) {
        char id[UUID_TEXT_LEN];

        uuid_format(outcome.violation.order.u, id);
        (void)printf("the story of order %.*s\n", UUID_TEXT_LEN, id);
    } else {
        (void)printf("the last of what happened\n");
    }
    (void)printf(STR_FMT, STR_ARG(buf_str(&story)));
    (void)fflush(stdout);
    buf_deinit(&story);
}

static void print_report(const struct sim_options *o, const struct job *t, double seconds)
{
    uint64_t crashes;
    char sum[33];

    crashes =
        t->faults[SIM_FAULT_CRASH] + t->faults[SIM_FAULT_TORN] + t->faults[SIM_FAULT_STORE_FAILED];
    (void)printf("orders         %llu wished for, %llu acknowledged\n",
                 (unsigned long long)t->orders, (unsigned long long)t->counts.acknowledged);
    (void)printf("requests       %llu, of which %llu were refused and %llu waited for a state\n",
                 (unsigned long long)t->requests, (unsigned long long)t->counts.refused,
                 (unsigned long long)t->counts.waited);
    (void)printf("events         %llu in %llu commits\n", (unsigned long long)t->counts.events,
                 (unsigned long long)t->counts.commits);
    (void)printf("deliveries     %llu, of which %llu failed, and %llu were without effect\n",
                 (unsigned long long)t->counts.deliveries, (unsigned long long)t->counts.failures,
                 (unsigned long long)t->counts.passed_over);
    (void)printf("streamed       %llu events and messages\n",
                 (unsigned long long)t->counts.streamed);
    (void)printf("relayed        %llu messages, and %llu received\n",
                 (unsigned long long)t->counts.relayed, (unsigned long long)t->counts.received);
    (void)printf("crashes        %llu\n", (unsigned long long)crashes);
    (void)printf("faults\n");
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        (void)printf("  %-16s%llu\n", sim_fault_name((enum sim_fault)f),
                     (unsigned long long)t->faults[f]);
    (void)printf("judged         %llu times, of which %llu over the whole state\n",
                 (unsigned long long)t->counts.judged, (unsigned long long)t->counts.whole_judged);
    (void)printf("simulated      %.1f hours, %llu steps\n", (double)t->simulated_us / 3.6e9,
                 (unsigned long long)t->steps);
    format_trace(&t->trace, sum);
    (void)printf("trace          %s\n", sum);
    (void)printf("took           %.1f s with %u jobs, %.1f seeds a second\n", seconds, o->jobs,
                 seconds > 0 ? (double)t->n_run / seconds : 0.0);
}

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- all jobs -------------------------------------------------------------------------------- */

static pid_t start_job(const struct sim_options *o, struct jobs *js, unsigned n)
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        run_job(o, js, n);
        exit(0);
    }
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Raised by abort() on this very stack, in a child that ends with it: nothing else is interrupted. */
static void on_abort(int number)
{
    struct buf last = { 0 };

    (void)number;
    /* NOLINTBEGIN(bugprone-signal-handler): see above. */
    sim_tell_last(&last);
    (void)printf("the last of what happened\n" STR_FMT, STR_ARG(buf_str(&last)));
    (void)fflush(stdout);
    buf_deinit(&last);
    /* NOLINTEND(bugprone-signal-handler): see above. */
}

/* The server has ended itself by one of its own checks: once more, smaller, and with its story. */
static void tell_end(const struct sim_options *o, uint64_t seed)
{
    struct sim_config config = o->config;
    struct sim_outcome outcome;

    config.seed = seed;
    if (!o->is_brief)
        make_smaller(&config, SHRINK_ENDED);
    config.tells = true;
    (void)signal(SIGABRT, on_abort);
    sim_run(&config, &outcome, NULL);
}

static void tell_in_child(const struct sim_options *o, uint64_t seed,
                          void (*tell)(const struct sim_options *o, uint64_t seed))
{
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        tell(o, seed);
        exit(0);
    }
    if (pid > 0)
        (void)wait_for(pid);
}

static void add_job(struct job *sum, const struct job *j)
{
    const struct sim_outcome o = {
        .trace = j->trace,
        .counts = j->counts,
        .steps = j->steps,
        .requests = j->requests,
        .orders = j->orders,
        .simulated_us = j->simulated_us,
    };

    add_outcome(sum, &o);
    sum->n_run += j->n_run - 1;
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        sum->faults[f] += j->faults[f];
}

static int run_jobs(const struct sim_options *o, struct jobs *js)
{
    double began = seconds_now();
    pid_t pids[JOBS_MAX];
    struct job sum = { 0 };
    const struct job *violated = NULL;
    const struct job *died = NULL;

    for (unsigned i = 0; i < o->jobs; i++) {
        pids[i] = start_job(o, js, i);
        if (pids[i] < 0) {
            complain("no process can be started: %s", strerror(errno));
            js->stops = true;
        }
    }
    for (unsigned i = 0; i < o->jobs; i++) {
        struct job *j = &js->all[i];
        int status = pids[i] < 0 ? -1 : wait_for(pids[i]);

        if (status != 0) {
            died = j;
            js->stops = true;
            (void)printf("seed %llu: the server ended itself, with %s %d\n",
                         (unsigned long long)j->seed, WIFSIGNALED(status) ? "signal" : "code",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
        if (j->is_violated && (!violated || j->seed < violated->seed))
            violated = j;
        add_job(&sum, j);
    }
    (void)printf("seeds          %llu from %llu on, %u orders each\n",
                 (unsigned long long)sum.n_run, (unsigned long long)o->config.seed,
                 o->config.orders);
    print_report(o, &sum, seconds_now() - began);
    if (violated)
        tell_in_child(o, violated->seed, tell_violation);
    else if (died)
        tell_in_child(o, died->seed, tell_end);
    if (violated || died)
        return EXIT_FAILURE;
    (void)printf("every invariant held\n");
    return EXIT_SUCCESS;
}

int sim_command_run(unsigned n_args, char *const *args)
{
    struct sim_options o = {
        .config = { .seed = 1,
                    .orders = SIM_ORDERS_DEFAULT,
                    .hours = SIM_HOURS_DEFAULT,
                    .faults = SIM_FAULTS_ALL,
                    .crashes_max = UINT_MAX },
        .seeds = 1,
        .jobs = 1,
    };
    struct jobs *js;
    int code;

    for (unsigned i = 0; i < n_args; i++) {
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0) {
            print_help();
            return EXIT_SUCCESS;
        }
    }
    if (!read_arguments(&o, n_args, args))
        return EX_USAGE;
    if (o.jobs > o.seeds)
        o.jobs = (unsigned)o.seeds;
    js = mmap(NULL, sizeof(*js), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (js == MAP_FAILED) {
        complain("no memory: %s", strerror(errno));
        return EX_OSERR;
    }
    js->starter = getpid();
    code = run_jobs(&o, js);
    (void)munmap(js, sizeof(*js));
    return code;
}
