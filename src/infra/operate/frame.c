#include "frame.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/in_child.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WRITE_FULL_BYTES (64u * 1024)
/* After a signal: for a reader that has stalled to take the rest of what is half written. */
#define WRITE_REST_MS 1000
#define SIGNAL_LOOK_MS 250
#define PROGRESS_EVERY_US 100000
#define PROGRESS_WIDTH 30
#define CODE_TEXT_MAX LMDB_TEXT_MAX

int64_t operate_now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void operate_fill_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* stdin is opened for writing and the others for reading, so that a use of them fails. The
         * lowest free number is given, which is this one. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    }
}

/* ---- signals ---------------------------------------------------------------------------------- */

static const int end_signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t signal_seen;

static void on_signal(int number)
{
    pid_t child = in_child_pid();
    int error = errno;

    signal_seen = number;
    if (child > 0)
        (void)kill(child, number);
    errno = error;
}

/* Without SA_RESTART: a write that waits for a reader must end. */
static void handle_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(end_signals); i++) {
        struct sigaction before;

        /* nohup, and shells for what runs behind: they asked that it be ignored. */
        if (sigaction(end_signals[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN)
            continue;
        (void)sigaction(end_signals[i], &action, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write that fails says more */
}

static void stop_handling_signals(void)
{
    struct sigaction before;

    for (size_t i = 0; i < ARRAY_LEN(end_signals); i++)
        if (sigaction(end_signals[i], NULL, &before) == 0 && before.sa_handler == on_signal)
            (void)signal(end_signals[i], SIG_DFL);
}

int operate_signal(void)
{
    return signal_seen;
}

bool operate_pause(struct operate *op, unsigned ms)
{
    struct pollfd out = { .fd = STDOUT_FILENO };

    if (operate_is_stopped())
        return false;
    if (poll(&out, 1, (int)ms) > 0 && (out.revents & (POLLERR | POLLHUP)))
        op->out_state = OPERATE_OUT_CLOSED;
    return op->out_state == OPERATE_OUT_OPEN && !operate_is_stopped();
}

/* ---- what is said ----------------------------------------------------------------------------- */

void operate_complain(const char *fmt, ...)
{
    va_list args;

    (void)fputs("orderly: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

int operate_exit_code(enum err err)
{
    switch (err) {
    case ERR_OK:
        return EX_OK;
    case ERR_NOT_FOUND:
        return EX_NOINPUT;
    case ERR_DAMAGED:
        return EX_DATAERR;
    case ERR_INVALID:
        return EX_CONFIG;
    case ERR_BUSY:
        return EX_UNAVAILABLE;
    default:
        return EX_IOERR;
    }
}

int operate_failed(const struct operate *op, enum err err, const char *what)
{
    if (err == ERR_DAMAGED)
        operate_complain("%s: %s: the data is damaged; restore it from a backup", op->data, what);
    else
        operate_complain("%s: %s: %s", op->data, what, err_text(err));
    return operate_exit_code(err);
}

/* C0 and C1 controls, and what turns the direction of writing. Returns the length of the sequence
 * at p, 0 where it is harmless. */
static size_t unsafe_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x20 || p[0] == 0x7f)
        return 1;
    if (n >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
        return 2;
    if (n >= 3 && p[0] == 0xe2 && p[1] == 0x80 &&
        (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae)))
        return 3;
    if (n >= 3 && p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)
        return 3;
    return 0;
}

void operate_add_text(struct buf *out, struct str text, size_t n_max)
{
    size_t n = text.n;
    bool is_utf8 = str_is_utf8(text);

    if (n > n_max) {
        n = n_max;
        while (is_utf8 && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            n--; /* not within a character */
    }
    for (size_t i = 0; i < n;) {
        const unsigned char *p = (const unsigned char *)text.p + i;
        size_t unsafe = !is_utf8 && p[0] >= 0x80 ? 1 : unsafe_len(p, n - i);

        buf_add(out, unsafe ? "?" : (const char *)p, 1);
        i += unsafe ? unsafe : 1;
    }
    if (n < text.n)
        buf_add_str(out, STR("..."));
}

/* Until a write would not wait: a signal that came just before it would not end it. Returns false at
 * the end of all writing. */
static bool wait_for_reader(struct operate *op, int64_t *rest_until_us)
{
    for (;;) {
        struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
        int n = poll(&out, 1, SIGNAL_LOOK_MS);

        if (n > 0)
            return true; /* also for what the write will say */
        if (n < 0 && errno != EINTR) {
            op->out_state = OPERATE_OUT_FAILED;
            op->out_errno = errno;
            return false;
        }
        if (operate_is_stopped()) {
            int64_t now = operate_now_us();

            if (*rest_until_us == 0)
                *rest_until_us = now + WRITE_REST_MS * INT64_C(1000);
            if (now >= *rest_until_us)
                return false;
        }
    }
}

bool operate_flush(struct operate *op)
{
    int64_t rest_until_us = 0;
    size_t at = 0;
    size_t piece = SIZE_MAX;
    struct stat st;

    if (fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode))
        piece = PIPE_BUF; /* what a pipe that can be written takes without waiting */
    while (at < op->out.n && op->out_state == OPERATE_OUT_OPEN) {
        size_t rest = op->out.n - at;
        ssize_t n;

        if (piece == PIPE_BUF && !wait_for_reader(op, &rest_until_us))
            break;
        n = write(STDOUT_FILENO, op->out.p + at, rest < piece ? rest : piece);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            op->out_state = OPERATE_OUT_CLOSED;
        } else if (errno != EAGAIN && errno != EINTR) {
            op->out_state = OPERATE_OUT_FAILED;
            op->out_errno = errno;
        }
    }
    op->out.n = 0;
    return op->out_state == OPERATE_OUT_OPEN && !operate_is_stopped();
}

void operate_flush_ready(struct operate *op)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };
    size_t n = op->out.n < PIPE_BUF ? op->out.n : PIPE_BUF;
    ssize_t done;

    if (n == 0 || op->out_state != OPERATE_OUT_OPEN || poll(&out, 1, 0) <= 0)
        return;
    done = write(STDOUT_FILENO, op->out.p, n); /* what fails is met by the next flush */
    if (done <= 0)
        return;
    op->out.n -= (size_t)done;
    memmove(op->out.p, op->out.p + done, op->out.n);
}

bool operate_flush_full(struct operate *op)
{
    return op->out.n >= WRITE_FULL_BYTES
               ? operate_flush(op)
               : op->out_state == OPERATE_OUT_OPEN && !operate_is_stopped();
}

void operate_progress(struct operate *op, const char *what, uint64_t done, uint64_t about)
{
    static int64_t due_us;
    static const char full[] = "##############################";
    static const char empty[] = "..............................";
    int64_t now = operate_now_us();
    unsigned part;

    if (now < due_us || !isatty(STDERR_FILENO))
        return;
    due_us = now + PROGRESS_EVERY_US;
    op->has_progress = true;
    if (about == 0) {
        (void)fprintf(stderr, "\r\033[K%s %llu", what, (unsigned long long)done);
        return;
    }
    part =
        done >= about ? PROGRESS_WIDTH : (unsigned)((double)done / (double)about * PROGRESS_WIDTH);
    (void)fprintf(stderr, "\r\033[K%s [%.*s%.*s] %llu of %llu", what, (int)part, full,
                  PROGRESS_WIDTH - (int)part, empty, (unsigned long long)done,
                  (unsigned long long)(about > done ? about : done));
}

void operate_progress_end(struct operate *op)
{
    if (op->has_progress)
        (void)fputs("\r\033[K", stderr);
    op->has_progress = false;
}

/* ---- the store -------------------------------------------------------------------------------- */

/* In the child, and whatever it was about to say: the parent has the last word. */
static void on_broken(void *ctx, const char *why)
{
    struct operate *op = ctx;

    operate_progress_end(op);
    (void)!operate_flush(op);
    in_child_leave(ERR_DAMAGED, why);
}

enum err operate_open(struct operate *op, struct lmdb_report *report)
{
    const struct lmdb_config config = {
        .dir = op->data,
        .is_reader = true,
        .on_broken = on_broken,
        .broken_ctx = op,
    };
    enum err err;

    REQUIRE(!op->engine);
    err = lmdb_engine_open(&config, &op->engine, report);
    if (report->warning[0])
        operate_complain("%s", report->warning);
    return err;
}

struct look {
    struct store_read read;
    void (*run)(void *ctx, const struct store_view *v);
    void *ctx;
};

static void look_run(struct store_read *read, const struct store_view *v)
{
    struct look *look = container_of(read, struct look, read);

    look->run(look->ctx, v);
}

void operate_look(struct operate *op, void (*run)(void *ctx, const struct store_view *v), void *ctx)
{
    struct look look = { .read.run = look_run, .run = run, .ctx = ctx };

    REQUIRE(op->engine != NULL);
    engine_run_read(op->engine, operate_now_us,
                    operate_now_us() + STORE_READ_MAX_MS * INT64_C(1000), &look.read);
}

/* ---- running ---------------------------------------------------------------------------------- */

static int run_opened(struct operate *op)
{
    struct lmdb_report report;
    enum err err;

    if (operate_is_stopped())
        return 128 + operate_signal();
    if (op->spec->opens_itself)
        return op->spec->run(op);
    err = operate_open(op, &report);
    if (err != ERR_OK) {
        operate_complain("%s", report.why);
        return operate_exit_code(err);
    }
    return op->spec->run(op);
}

static int code_at_end(struct operate *op, int code)
{
    operate_progress_end(op);
    (void)!operate_flush(op);
    if (op->out_state == OPERATE_OUT_FAILED) {
        operate_complain("can't write to stdout: %s", strerror(op->out_errno));
        return EX_IOERR;
    }
    if (code != EX_OK || op->is_endless || op->out_state == OPERATE_OUT_CLOSED)
        return code;
    return operate_is_stopped() ? 128 + operate_signal() : EX_OK;
}

static enum err child_run(void *ctx, char *text, size_t text_size)
{
    struct operate *op = ctx;
    int code;

    if (op->spec->dies_of_a_signal)
        stop_handling_signals();
    code = code_at_end(op, run_opened(op));
    if (op->engine)
        lmdb_engine_close(op->engine);
    buf_deinit(&op->out);
    /* The exit code comes back as the text. */
    (void)snprintf(text, text_size, "%d", code);
    return ERR_OK;
}

static int run_in_child(struct operate *op)
{
    char text[CODE_TEXT_MAX] = "";
    enum err err;
    uint64_t code;

    handle_signals();
    err = in_child_run(child_run, op, text, sizeof(text));
    if (err == ERR_OK && str_to_u64(str_of(text), &code))
        return (int)code;
    if (op->spec->tidy)
        op->spec->tidy(op);
    if (operate_is_stopped())
        return 128 + operate_signal();
    if (err == ERR_DAMAGED)
        operate_complain("%s is damaged: %s; restore it from a backup", op->data, text);
    else
        operate_complain("%s: %s", op->data, text);
    return operate_exit_code(err == ERR_OK ? ERR_IO : err);
}

static int print_help(const struct operate_spec *spec)
{
    struct buf help = { 0 };
    bool is_written;

    operate_print_help(spec, &help);
    is_written = fwrite(help.p, 1, help.n, stdout) == help.n && fflush(stdout) == 0;
    buf_deinit(&help);
    return is_written ? EX_OK : EX_IOERR;
}

int operate_main(const struct operate_spec *spec, unsigned n_args, char *const *args)
{
    struct operate op = { .spec = spec };
    struct buf why = { 0 };
    int code = EX_USAGE;

    op.state = spec->state_size ? mem_zalloc(spec->state_size) : NULL;
    switch (operate_parse(&op, n_args, args, getenv("ORDERLY_DATA"), &why)) {
    case OPERATE_PARSE_HELP:
        code = print_help(spec);
        break;
    case OPERATE_PARSE_WRONG:
        operate_complain("%.*s; 'orderly %s --help' explains it", (int)why.n, why.p, spec->name);
        break;
    case OPERATE_PARSE_OK:
        code = spec->check && !spec->check(&op) ? EX_USAGE : run_in_child(&op);
        break;
    }
    buf_deinit(&why);
    mem_free(op.state);
    return code;
}
