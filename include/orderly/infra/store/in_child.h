/* Runs a piece of work in a process of its own. LMDB trusts its pages: one that is broken, or a
 * file that is shorter than it says, can end the process that looks. So what may be broken is
 * looked at by a child, and its end by a signal is an answer. */
#ifndef ORDERLY_INFRA_STORE_IN_CHILD_H
#define ORDERLY_INFRA_STORE_IN_CHILD_H
#include "orderly/base/err.h"
#include <stddef.h>
#include <sys/types.h>

/* Runs in the child; may write a text with its NUL. What it changes is seen by nobody but through
 * its result and this text. */
typedef enum err (*in_child_cb)(void *ctx, char *text, size_t text_size);

/* Returns what run returned; ERR_DAMAGED with a text if it ended as one does that meets a broken page;
 * ERR_IO with a text if there could be no child, or another signal ended it. The child ends when this process ends. text is always a string then.
 * Thread: before there are others in the process. */
MUST_CHECK enum err in_child_run(in_child_cb run, void *ctx, char *text, size_t text_size);

/* The child that in_child_run waits for, 0: none. For a signal handler that hands a signal on. */
pid_t in_child_pid(void);

/* For the child, from anywhere below run: ends it as if run had returned. */
_Noreturn void in_child_leave(enum err status, const char *text);
#endif
