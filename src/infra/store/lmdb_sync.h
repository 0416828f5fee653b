/* Tells what LMDB keeps to itself: whether a commit that failed had come to its fsync.
 *
 * mdb_txn_commit writes pages, fsyncs them, then writes the meta page, and returns one errno for
 * all three. A write that found the disk full has changed nothing that counts, and the server goes
 * on; an fsync or a meta page that failed with the very same ENOSPC leaves the disk in a state that
 * nobody knows. So this program has an fdatasync of its own, which LMDB's calls resolve to because
 * the linker exports it to the shared library: it notes the call and passes it on to whoever would
 * have got it. Whether that works is looked at with the first commit of an opening
 * (lmdb_sync_begin, commit, lmdb_sync_count() > 0); if it does not, ENOSPC of a commit is taken for
 * the worse of the two. */
#ifndef SRC_INFRA_STORE_LMDB_SYNC_H
#define SRC_INFRA_STORE_LMDB_SYNC_H

/* Counts from zero again, for this thread. */
void lmdb_sync_begin(void);
unsigned lmdb_sync_count(void);

/* For tests: stands in for the fsync of this thread, returns an errno or 0 for the real one. NULL:
 * none. */
extern _Thread_local int (*lmdb_sync_fault)(int fd);
#endif
