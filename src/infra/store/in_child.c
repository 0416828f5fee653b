#include "orderly/infra/store/in_child.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int report_fd = -1; /* in the child only */
static volatile sig_atomic_t child_pid;

pid_t in_child_pid(void)
{
    return (pid_t)child_pid;
}

static void write_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t done = write(fd, at, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        at += done;
        n -= (size_t)done;
    }
}

void in_child_leave(enum err status, const char *text)
{
    unsigned char code = (unsigned char)status;

    write_all(report_fd, &code, 1);
    write_all(report_fd, text, strlen(text));
    /* Not exit(): what the parent had buffered is the parent's to write. */
    _exit(0);
}

/* What looking at a broken file may end with; other signals are somebody's wish. */
static const int broken_ends[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

static bool is_broken_end(int number)
{
    for (size_t i = 0; i < sizeof(broken_ends) / sizeof(broken_ends[0]); i++)
        if (broken_ends[i] == number)
            return true;
    return false;
}

_Noreturn static void child_main(int fd, pid_t parent, in_child_cb run, void *ctx, size_t text_size)
{
    char *text = mem_zalloc(text_size);
    enum err status;

    report_fd = fd;
    /* Also those that a sanitizer or the program caught: here they are an answer. */
    for (size_t i = 0; i < sizeof(broken_ends) / sizeof(broken_ends[0]); i++)
        (void)signal(broken_ends[i], SIG_DFL);
    (void)prctl(PR_SET_DUMPABLE, 0); /* no core file */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    status = run(ctx, text, text_size);
    in_child_leave(status, text);
}

/* Until the child closes its end. Returns how much came. */
static size_t read_all(int fd, char *out, size_t size)
{
    size_t n = 0;

    for (;;) {
        char rest[64];
        bool has_room = n < size;
        ssize_t got = has_room ? read(fd, out + n, size - n) : read(fd, rest, sizeof(rest));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return n;
        if (has_room)
            n += (size_t)got;
    }
}

static enum err child_status(pid_t pid, const char *answer, size_t n, char *text, size_t text_size)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            (void)snprintf(text, text_size, "the process that looked is lost: %s", strerror(errno));
            return ERR_IO;
        }
    if (WIFSIGNALED(status)) {
        bool is_broken = is_broken_end(WTERMSIG(status));

        /* A number only: strsignal is not safe and the names say little more. */
        (void)snprintf(text, text_size,
                       is_broken ? "its pages could not be read (signal %d)"
                                 : "the process that looked was ended by signal %d",
                       WTERMSIG(status));
        return is_broken ? ERR_DAMAGED : ERR_IO;
    }
    if (n == 0) {
        (void)snprintf(text, text_size, "the process that looked ended with %d",
                       WEXITSTATUS(status));
        return ERR_IO;
    }
    (void)snprintf(text, text_size, "%.*s", (int)(n - 1), answer + 1);
    return (enum err)(unsigned char)answer[0];
}

/* A signal that comes meanwhile waits until its handler can see the child. */
static pid_t fork_unseen(void)
{
    sigset_t all;
    sigset_t before;
    pid_t pid;
    int error;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    error = errno;
    child_pid = pid > 0 ? pid : 0;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

enum err in_child_run(in_child_cb run, void *ctx, char *text, size_t text_size)
{
    size_t answer_size = text_size + 1;
    char *answer;
    pid_t parent = getpid();
    enum err err;
    int pipes[2];
    pid_t pid;
    size_t n;

    if (pipe(pipes) != 0) {
        (void)snprintf(text, text_size, "no process to look with: %s", strerror(errno));
        return ERR_IO;
    }
    (void)fflush(NULL); /* what is buffered now is written once */
    pid = fork_unseen();
    if (pid == 0) {
        (void)close(pipes[0]);
        child_main(pipes[1], parent, run, ctx, text_size);
    }
    (void)close(pipes[1]);
    if (pid < 0) {
        (void)snprintf(text, text_size, "no process to look with: %s", strerror(errno));
        (void)close(pipes[0]);
        return ERR_IO;
    }
    answer = mem_alloc(answer_size);
    n = read_all(pipes[0], answer, answer_size);
    (void)close(pipes[0]);
    child_pid = 0; /* it has ended, and once it was waited for its number may be another's */
    err = child_status(pid, answer, n, text, text_size);
    mem_free(answer);
    return err;
}
