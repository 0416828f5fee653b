/* What the operator's commands have in common: the command line, the data directory, the output,
 * signals and exit codes.
 *
 * A command is a spec and its functions. operate_main reads the command line, then runs the command
 * in a child (see in_child.h: a broken page of LMDB may end the process that looks, and that must
 * be an answer), opens the store there as a reader, and turns the child's end into an exit code.
 *
 *   parent   command line -> check -> child ............................-> last line, exit code
 *   child                              open -> run -> flush -> exit code
 *
 * SIGINT, SIGTERM and SIGHUP of either process set a flag in both; a command looks at it between
 * two pieces of its work. A reader of our output that goes away ends the command quietly, with 0. */
#ifndef SRC_INFRA_OPERATE_FRAME_H
#define SRC_INFRA_OPERATE_FRAME_H
#include "orderly/base/buf.h"
#include "orderly/base/err.h"
#include "orderly/infra/operate/operate.h"
#include "orderly/infra/store/lmdb_engine.h"
#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

/* Exit codes, beside those of sysexits.h that operate_exit_code and the help name. A signal that cut
 * the work short: 128 and its number. */
#define OPERATE_EX_NOTHING 1 /* what was asked for is not there */

#define OPERATE_FLAGS_MAX 10
#define OPERATE_ARGS_MAX 2
#define OPERATE_DATA_DEFAULT "./orderly-data"

struct operate_flag {
    const char *name;  /* "--limit" */
    const char *value; /* placeholder in the help; NULL: a switch */
    const char *what;  /* one line */
};

struct operate;
struct operate_spec {
    const char *name;
    const char *about;                            /* lines that end with a newline */
    struct operate_flag flags[OPERATE_FLAGS_MAX]; /* name NULL ends; --data and --help come by
                                                     themselves, behind them */
    const char *args[OPERATE_ARGS_MAX];           /* placeholders, all needed; NULL ends */
    const char *examples;                         /* lines, indented by two */
    const char *exit_codes;                       /* beyond the usual ones, lines; NULL: none */
    size_t state_size;                            /* of op->state, zeroed; 0: none */
    /* Turns the texts of the command line into op->state; false after a complaint: exit 64. NULL:
     * nothing to check. Parent. */
    bool (*check)(struct operate *op);
    bool has_no_data;      /* there is no --data; opens_itself, too */
    bool opens_itself;     /* op->engine is NULL when it runs */
    bool dies_of_a_signal; /* its work can't be cut short otherwise; see tidy */
    /* Returns the exit code. Child. */
    int (*run)(struct operate *op);
    /* NULL, or after a child that was cut short: removes what it left. Parent. */
    void (*tidy)(struct operate *op);
};

enum operate_out { OPERATE_OUT_OPEN, OPERATE_OUT_CLOSED, OPERATE_OUT_FAILED };

struct operate {
    const struct operate_spec *spec;
    const char *data; /* the directory */
    /* By the index of the flag in the spec: its value, "" for a switch; NULL: not given. */
    const char *flags[OPERATE_FLAGS_MAX];
    const char *args[OPERATE_ARGS_MAX];
    void *state;
    bool is_endless; /* set by a command that only a signal ends: that is then a success */

    /* Child only. */
    struct engine *engine;
    struct buf out; /* what goes to stdout: whole lines, see operate_flush */
    enum operate_out out_state;
    int out_errno;
    bool has_progress; /* a line that is not ended stands on stderr */
};

/* The whole of a command: what operate_command.run returns. */
int operate_main(const struct operate_spec *spec, unsigned n_args, char *const *args);

/* ---- command line (operate_line.c; pure but for the environment) ---- */

enum operate_parse { OPERATE_PARSE_OK, OPERATE_PARSE_HELP, OPERATE_PARSE_WRONG };
/* Fills op->data, flags and args. WRONG: why holds a line without its end. env_data: the value of
 * ORDERLY_DATA, or NULL. */
enum operate_parse operate_parse(struct operate *op, unsigned n_args, char *const *args,
                                 const char *env_data, struct buf *why);
void operate_print_help(const struct operate_spec *spec, struct buf *out);

/* ---- what a command says ---- */

/* "orderly: …" on stderr. */
void operate_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Complains about a failure of a read, and gives its exit code. what: what could not be done. */
int operate_failed(const struct operate *op, enum err err, const char *what);
int operate_exit_code(enum err err);

/* Text that may hold anything, for a terminal: what could move the cursor or turn the direction of
 * writing becomes '?', longer than n_max bytes is cut. */
void operate_add_text(struct buf *out, struct str text, size_t n_max);

/* Writes op->out, which holds whole lines, and empties it. False: go on no more, because the reader
 * has gone, the output failed, or a signal came while it could not be written. Not to be called
 * within a look at the store, as it may take for ever. */
MUST_CHECK bool operate_flush(struct operate *op);
/* Writes of it what a reader takes at once, so it may be called within a look. */
void operate_flush_ready(struct operate *op);
/* operate_flush when it is worth a write. */
MUST_CHECK bool operate_flush_full(struct operate *op);

/* A progress bar on stderr, where that is a terminal; about 0: how much is not known. Cheap enough
 * to be called a thousand times a second. */
void operate_progress(struct operate *op, const char *what, uint64_t done, uint64_t about);
void operate_progress_end(struct operate *op); /* wipes it; also before any complaint */

/* ---- signals and time ---- */

int operate_signal(void); /* that asks us to end; 0: none */
static inline bool operate_is_stopped(void)
{
    return operate_signal() != 0;
}
/* Sleeps; less if a signal comes or the reader of our output goes away. False: go on no more. */
MUST_CHECK bool operate_pause(struct operate *op, unsigned ms);
int64_t operate_now_us(void); /* monotonic */

/* ---- the store ---- */

/* Opens it as a reader, and says what there is to warn about. ERR_NOT_FOUND and the like with a line in
 * report->why. */
MUST_CHECK enum err operate_open(struct operate *op, struct lmdb_report *report);

/* One look, of at most STORE_READ_MAX_MS if the reader minds is_late: an old one keeps pages from
 * being used again, so a long work takes many. */
void operate_look(struct operate *op, void (*run)(void *ctx, const struct store_view *v),
                  void *ctx);
#endif
