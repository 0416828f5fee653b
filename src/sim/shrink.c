#include "shrink.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a run leaves, in memory that it shares with who has started it. */
struct tried {
    bool is_done; /* it came to its end */
    struct sim_outcome outcome;
};

struct shrinking {
    struct sim_config *config;
    enum sim_invariant broken;
    unsigned n_runs;
    struct tried *tried;
};

/* What the server says when it ends itself was said once already. */
static void be_silent(void)
{
    int null = open("/dev/null", O_WRONLY);

    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
}

/* In a process of its own, as it may end that. */
static void run_apart(struct shrinking *s, const struct sim_config *smaller)
{
    pid_t pid;

    s->tried->is_done = true; /* where no process can be started nothing is smaller */
    s->tried->outcome = (struct sim_outcome){ 0 };
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        s->tried->is_done = false;
        be_silent();
        sim_run(smaller, &s->tried->outcome, NULL);
        s->tried->is_done = true;
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Takes the smaller one if it breaks as well. */
static bool try_smaller(struct shrinking *s, const struct sim_config *smaller)
{
    const struct tried *t = s->tried;
    bool breaks;

    if (s->n_runs >= SHRINK_RUNS_MAX)
        return false;
    s->n_runs++;
    run_apart(s, smaller);
    if (s->broken == SHRINK_ENDED)
        breaks = !t->is_done;
    else
        breaks =
            t->is_done && t->outcome.is_violated && t->outcome.violation.invariant == s->broken;
    if (breaks)
        *s->config = *smaller;
    return breaks;
}

static bool fewer_orders(struct shrinking *s)
{
    struct sim_config c = *s->config;
    unsigned less = c.orders / 2;
    bool did = false;

    while (less > 0 && s->n_runs < SHRINK_RUNS_MAX) {
        c = *s->config;
        if (c.orders > less) {
            c.orders -= less;
            if (try_smaller(s, &c)) {
                did = true;
                continue;
            }
        }
        less /= 2;
    }
    return did;
}

static bool fewer_faults(struct shrinking *s)
{
    bool did = false;

    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
        struct sim_config c = *s->config;

        if (!(c.faults & 1u << f))
            continue;
        c.faults &= ~(1u << f);
        did |= try_smaller(s, &c);
    }
    return did;
}

static bool fewer_crashes(struct shrinking *s)
{
    static const unsigned tries[] = { 0, 1, 2, 4, 8 };

    for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        struct sim_config c = *s->config;

        if (tries[i] >= c.crashes_max)
            return false;
        c.crashes_max = tries[i];
        if (try_smaller(s, &c))
            return true;
    }
    return false;
}

unsigned shrink(struct sim_config *config, enum sim_invariant broken)
{
    struct shrinking s = { .config = config, .broken = broken };
    bool did = true;

    s.tried =
        mmap(NULL, sizeof(*s.tried), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.tried == MAP_FAILED)
        return 0;
    while (did && s.n_runs < SHRINK_RUNS_MAX) {
        did = fewer_faults(&s);
        did |= fewer_crashes(&s);
        did |= fewer_orders(&s);
    }
    (void)munmap(s.tried, sizeof(*s.tried));
    return s.n_runs;
}
