/* One simulation: the whole server on virtual time, from one seed.
 *
 *     config -> sim_run -> outcome: what happened, and whether all invariants held
 *
 * The same config gives the same run, step by step: the trace says so. Not thread safe; a run may end
 * the process, where the server's own checks do. */
#ifndef SRC_SIM_SIM_H
#define SRC_SIM_SIM_H
#include "orderly/base/buf.h"
#include "witness.h"

/* name, what is done */
#define SIM_FAULT_MAP(X)                                                                           \
    X(DELAY, "delay", "a handler begins late")                                                     \
    X(REORDER, "reorder", "a message overtakes one of another order")                              \
    X(DUPLICATE, "duplicate", "an outside message is said again, one to five times")               \
    X(LOST_REPLY, "lost_reply", "the connection is reset before the answer is read")               \
    X(LATE_REPLY, "late_reply", "the answer is read late")                                         \
    X(HANDLER_FAILURE, "handler_failure", "a handler fails")                                       \
    X(UNAVAILABLE, "unavailable", "a handler can't work for a moment")                             \
    X(POISON, "poison", "all messages of an order fail at one subscription")                       \
    X(CRASH, "crash", "the process ends between two steps")                                        \
    X(RESTART, "restart", "the process is stopped in order, and started again")                    \
    X(TORN, "torn", "the process ends inside a commit")                                            \
    X(STORE_FULL, "store_full", "the disk is full for a while")                                    \
    X(STORE_FAILED, "store_failed", "a write fails, and nobody knows what was written")            \
    X(SLOW_COMMIT, "slow_commit", "a commit takes up to seconds")                                  \
    X(LATE_READ, "late_read", "a read takes up to seconds")                                        \
    X(CLOCK_JUMP, "clock_jump", "the wall clock is set, back or forward")                          \
    X(SUSPEND, "suspend", "the machine stands still for minutes")                                  \
    X(CANCEL, "cancel", "a client cancels, whenever it may be")                                    \
    X(SAME_KEY, "retry_same_key", "a client tries again, with the same key")                       \
    X(TWIN, "twin", "a client sends a request twice at the same time")                             \
    X(NEW_KEY, "retry_new_key", "a client tries again, with a new key")                            \
    X(BEFORE_24H, "before_24h", "a key or message comes again just before its day is over")        \
    X(AFTER_24H, "after_24h", "a key or message comes again just after its day is over")           \
    X(SETTINGS, "settings", "the built-in contexts are told to behave otherwise")                  \
    X(SPLIT, "split", "a request comes in pieces")                                                 \
    X(BROKER_AWAY, "broker_away", "a broker takes nothing and brings nothing for a while")         \
    X(LOST_ACK, "lost_ack", "that a broker has a message, or may forget one, is said in vain")

enum sim_fault {
#define X(name, text, what) SIM_FAULT_##name,
    SIM_FAULT_MAP(X)
#undef X
        SIM_FAULT_COUNT
};
#define SIM_FAULTS_ALL ((1u << SIM_FAULT_COUNT) - 1)
const char *sim_fault_name(enum sim_fault f);
const char *sim_fault_text(enum sim_fault f);

#define SIM_ORDERS_DEFAULT 100
#define SIM_ORDERS_MAX 100000
#define SIM_HOURS_DEFAULT 1
#define SIM_HOURS_MAX 1000

struct sim_config {
    uint64_t seed;
    unsigned orders;
    int64_t hours;
    uint32_t faults;      /* bits 1u << enum sim_fault */
    unsigned crashes_max; /* UINT_MAX: as many as the seed says */
    bool tells;           /* keep the story */
};

struct sim_outcome {
    bool is_violated;
    struct sim_violation violation;
    struct digest16 trace; /* over all steps */
    struct witness_counts counts;
    uint64_t steps, requests, orders;
    uint64_t faults[SIM_FAULT_COUNT];
    int64_t simulated_us;
};

/* story: with config->tells, the lines that are about the violation's order, or all lines where it is
 * about none; may be NULL. */
void sim_run(const struct sim_config *config, struct sim_outcome *out, struct buf *story);

/* Where the server has ended itself, from a handler of SIGABRT: the last lines of the story that is
 * being told, if there is one. */
void sim_tell_last(struct buf *out);

/* The command `orderly sim`. Returns the exit code. */
int sim_command_run(unsigned n_args, char *const *args);
#endif
